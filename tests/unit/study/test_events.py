"""The stream, its types, and the document that describes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from fastscp.study import event_types, events
from tests.support import said
from tests.support.fakes import FakeSink

DOCUMENT = (Path(__file__).parents[3] / "docs" / "events.md").read_text(encoding="utf-8")
WHEN = 1_700_000_000.25
CALLER = said.opened("a")
NOTE = {**said.refused("a"), "reason": "why"}
HOOK: event_types.Hook = {"hook": "study", "number": 1, "study_uid": "1.2", "directory": "/d", "command": "true", "sender": "ct"}
MADE: list[event_types.Event] = [
    events.association_opened(WHEN, CALLER), events.association_closed(WHEN, said.closed("a")),
    events.association_lost(WHEN, "a"), events.association_rejected(WHEN, NOTE), events.connection_refused(WHEN, NOTE),
    events.object_stored(WHEN, CALLER, said.stored(1, "1.2", "/d")), events.object_refused(WHEN, NOTE),
    events.object_quarantined(WHEN, {**NOTE, "size": 1000}),
    events.object_repeated(WHEN, "1.2", "1.3", kept=("/d", "CT000001"), removed="/d/CT.1.3"),
    events.study_opened(WHEN, "1.2", "/d"),
    events.study_completed(WHEN, {"study_uid": "1.2", "directory": "/d", "reason": "timeout", "revision": 1}, CALLER,
                           [events.study_object("CT1", said.stored(1, "1.2", "/d"))]),
    events.study_released(WHEN, "1.2", "/d", "timeout", 3),
    events.series_completed(WHEN, "1.2", "1.2.1", "/d"), events.hook_started(WHEN, HOOK, ["true"]),
    events.hook_ended(WHEN, HOOK, 3, 0.5), events.events_dropped(WHEN, 7),
]


def name_of(kind: type[Any]) -> str:
    (name,) = get_args(get_type_hints(kind)["event"])
    return str(name)


BY_NAME = {name_of(kind): kind for kind in event_types.KINDS}


def test_every_kind_is_made_and_named_once() -> None:
    assert len(BY_NAME) == len(event_types.KINDS)
    assert {event["event"] for event in MADE} == set(BY_NAME)


@pytest.mark.parametrize("event", MADE, ids=lambda event: event["event"])
def test_event_has_the_fields_of_its_type(event: event_types.Event) -> None:
    assert set(event) == set(get_type_hints(BY_NAME[event["event"]]))
    assert event["schema"] == 1
    assert event["time"] == "2023-11-14T22:13:20.250000Z"


@pytest.mark.parametrize("name", BY_NAME)
def test_event_and_its_fields_are_in_the_document(name: str) -> None:
    at = DOCUMENT.index(f"`{name}`:")
    following = re.search(r"\n(?:`[a-z]+\.[a-z]+`:|### )", DOCUMENT[at + 1 :])
    described = DOCUMENT[at : at + 1 + following.start() if following else None]
    fields = set(get_type_hints(BY_NAME[name])) - {"schema", "event", "time"}
    assert {field for field in fields if f"`{field}`" not in described} == set()


def test_stream_gives_every_event_to_every_reader_in_order() -> None:
    first, second = FakeSink(), FakeSink()
    stream = events.stream_to(first, None, second)
    assert stream is not None
    for event in MADE:
        stream.put(event)
    assert first.events == second.events == MADE


def test_without_readers_there_is_no_stream() -> None:
    assert events.stream_to(None, None) is None
