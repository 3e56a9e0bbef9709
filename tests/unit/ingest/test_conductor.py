"""The order of an ingest, with workers and a coordinator that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastscp.ingest.books import Books
from fastscp.ingest.conductor import Conductor
from fastscp.ingest.feeding import CHUNK
from fastscp.ingest.journal import Intent
from fastscp.ingest.policy import Placement
from fastscp.ingest.sources import ARCHIVE, Kind, Source, unpacked
from tests.support.fakes import FakeLoop


class Notebook(Books):
    """Books that remember what was done, in order."""

    def __init__(self) -> None:
        super().__init__(None, None, Placement.COPY)
        self.story: list[Any] = []
        self.groups = 0

    def enter(self, source: Source, facts: dict[str, Any], outcome: dict[str, Any]) -> None:
        super().enter(source, facts, outcome)
        self.story.append(("entered", source.path, outcome.get("result"), outcome.get("target")))

    def intend(self, intents: list[Intent]) -> int:
        self.groups += 1
        self.story.append(("intended", [one.path for one in intents], [one.event for one in intents]))
        return self.groups

    def over(self, group: int) -> None:
        self.story.append(("over", group))


class Teller:
    """A coordinator that answers when it is told to."""

    def __init__(self, notebook: Notebook, *, hooks_first: bool = False) -> None:
        self.hooks_first = hooks_first
        self.story = notebook.story
        self.places: list[tuple[str, Callable[[Any], None]]] = []
        self.settled: list[Callable[[], None]] = []
        self.ran: list[Callable[[], None]] = []
        self.events = 0
        self.notes: list[Any] = []

    def place(self, study: str, _patient: str, _charset: str, answer: Callable[[Any], None]) -> int:
        self.story.append(("place", study))
        self.places.append((study, answer))
        return len(self.places)

    def abandoned(self, request: int) -> None:
        self.story.append(("abandoned", request))

    def next_event(self) -> int:
        self.events += 1
        return self.events

    def stored(self, packet: Any, *, settled: Callable[[], None], ran: Callable[[], None]) -> None:
        self.story.append(("stored", packet["file"], packet["event"], packet["request"]))
        self.settled.append(settled)
        self.ran.append(ran)

    def note(self, packet: Any) -> None:
        self.notes.append(packet)

    def answer(self, status: int = 0) -> None:
        places, self.places[:] = list(self.places), []
        for study, answer in places:
            answer({"directory": f"/out/{study}", "status": status, "message": "no", "late": False, "lasting": False, "request": 1, "kind": "placed"})

    def settle(self) -> None:
        settled, self.settled = self.settled, []
        for step in settled:
            step()


class Bench:
    """A conductor with workers that prepare and publish when they are told to."""

    def __init__(self, sources: Iterator[Source | None], *, workers: int = 2, places: bool = False, teller: bool = False,
                 hooks_first: bool = False) -> None:
        self.loop = FakeLoop()
        self.books = Notebook()
        self.sent: list[tuple[int, dict[str, Any]]] = []
        self.teller = Teller(self.books, hooks_first=hooks_first) if teller else None
        self.ends = 0
        self.conductor = Conductor(self.loop, sources, workers, self, self.books, teller=self.teller,  # type: ignore[arg-type]
                                   places=places, output_directory="/out", finished=self.finished)
        self.conductor.start()

    def finished(self) -> None:
        self.ends += 1

    def send(self, worker: int, message: dict[str, Any]) -> None:
        self.sent.append((worker, message))

    def chunks(self) -> list[tuple[int, int, list[str]]]:
        return [(worker, message["chunk"], [unpacked(one).path for one in message["sources"]])
                for worker, message in self.sent if message["kind"] == "prepare"]

    def publishing(self) -> list[dict[str, Any]]:
        return [message for _, message in self.sent if message["kind"] == "publish"]

    def prepare(self, chunk: int, *, states: dict[str, str] | None = None, part: int = 0, last: bool = True,
                facts: list[dict[str, Any]] | None = None) -> None:
        names = next(names for _, number, names in self.chunks() if number == chunk)
        made = [fact(name, (states or {}).get(name, "ready")) for name in names] if facts is None else facts
        self.conductor.take({"kind": "prepared", "chunk": chunk, "part": part, "last": last, "facts": made})

    def publish(self, **changes: dict[str, Any]) -> None:
        """Answer the last order to publish."""
        order = self.publishing()[-1]
        chunk = next(chunk for chunk in self.conductor._chunks if chunk.number == order["chunk"])
        part = next(part for part in chunk.parts if part.number == order["part"])
        outcomes = []
        for item in order["items"]:
            name = part.sources[item["index"]].path
            outcome: dict[str, Any] = {"result": "stored", "directory": item.get("directory") or "/out", "file": name, "size": 10, "reason": ""}
            if part.facts[item["index"]]["state"] != "ready":
                outcome = {"result": "foreign"}
            elif self.teller is not None:
                outcome["packet"] = {"file": name, "directory": outcome["directory"]}
            changed = changes.get(name)
            outcomes.append(outcome if changed is None else changed)
        self.conductor.take({"kind": "published", "chunk": order["chunk"], "part": order["part"], "outcomes": outcomes})

    def run(self) -> None:
        while self.loop.next_round():
            pass


def fact(name: str, state: str = "ready", study: str | None = None) -> dict[str, Any]:
    return {"state": state, "reason": "why", "failed": state == "bad", "study": study or name[0], "patient": "", "charset": "",
            "instance": name, "inode": 7, "size": 1, "mtime": 1, "identity": [1, 1]} | ({"state": "ready"} if state == "bad" else {})


def files(*names: str) -> Iterator[Source | None]:
    return iter([Source(name) for name in names])


def entered(bench: Bench) -> list[str]:
    return [entry[1] for entry in bench.books.story if entry[0] == "entered"]


def test_chunks_go_to_who_has_the_fewest_and_no_more_than_two() -> None:
    bench = Bench(files(*map(str, range(10 * CHUNK))))
    assert [(worker, chunk) for worker, chunk, _ in bench.chunks()] == [(0, 1), (1, 2), (0, 3), (1, 4)]


def test_what_is_prepared_first_waits_for_its_turn() -> None:
    bench = Bench(files(*map(str, range(2 * CHUNK))))
    bench.prepare(2)
    assert bench.publishing() == []
    bench.prepare(1)
    assert [(order["chunk"], len(order["items"])) for order in bench.publishing()] == [(1, CHUNK)]
    bench.publish()
    assert [order["chunk"] for order in bench.publishing()] == [1, 2]
    bench.publish()
    assert entered(bench) == [str(number) for number in range(2 * CHUNK)]


def test_a_chunk_that_is_published_makes_room_for_another() -> None:
    bench = Bench(files(*map(str, range(5 * CHUNK))))
    bench.prepare(1)
    bench.publish()
    bench.run()
    assert [(worker, chunk) for worker, chunk, _ in bench.chunks()][-1] == (0, 5)


def test_everything_is_intended_before_it_is_published() -> None:
    bench = Bench(files("a", "b", "c"))
    bench.prepare(1, states={"b": "foreign"})
    assert bench.books.story == [("intended", ["a", "c"], [0, 0])]
    bench.publish()
    assert bench.books.story[1:] == [("entered", "a", "stored", "/out/a"), ("entered", "b", "not-dicom", None),
                                     ("entered", "c", "stored", "/out/c"), ("over", 1)]
    bench.run()
    assert (bench.ends, bench.conductor.complete) == (1, True)


def test_objects_of_one_study_in_a_row_are_one_group() -> None:
    bench = Bench(files("a1", "a2", "b1", "x", "b2", "a3"), places=True, teller=True)
    assert bench.teller is not None
    bench.prepare(1, states={"x": "foreign"})
    assert bench.books.story == [("place", "a"), ("place", "a")]
    assert bench.publishing() == []
    bench.teller.answer()
    assert [item["directory"] for item in bench.publishing()[0]["items"]] == ["/out/a", "/out/a"]
    bench.publish()
    assert bench.books.story[2:] == [("intended", ["a1", "a2"], [1, 2]), ("stored", "a1", 1, 1), ("stored", "a2", 2, 2),
                                     ("place", "b"), ("place", "b")]
    bench.teller.answer()
    assert [item["index"] for item in bench.publishing()[1]["items"]] == [2, 3, 4]
    bench.publish()
    bench.teller.answer()
    assert [item["index"] for item in bench.publishing()[2]["items"]] == [5]


def test_outcomes_are_entered_when_they_are_settled_in_order() -> None:
    bench = Bench(files("a1", "a2", "a3"), teller=True)
    assert bench.teller is not None
    bench.prepare(1)
    bench.publish(a2={"result": "refused", "reason": "no", "notes": ["note"]})
    assert bench.teller.notes == ["note"]
    first, second = bench.teller.settled
    second()
    assert entered(bench) == []
    assert bench.ends == 0
    first()
    assert entered(bench) == ["a1", "a2", "a3"]
    assert bench.books.story[-1] == ("over", 1)
    bench.run()
    assert bench.ends == 1


def test_what_is_settled_while_it_is_told_begins_no_second_turn() -> None:
    bench = Bench(files("a1", "a2"), teller=True)
    assert bench.teller is not None
    told = bench.teller.stored

    def at_once(packet: Any, *, settled: Callable[[], None], ran: Callable[[], None]) -> None:
        told(packet, settled=settled, ran=ran)
        settled()

    bench.teller.stored = at_once  # type: ignore[method-assign]
    bench.prepare(1)
    bench.publish()
    assert len(bench.publishing()) == 1
    assert entered(bench) == ["a1", "a2"]


def test_a_place_that_is_refused_refuses_the_object() -> None:
    bench = Bench(files("a1"), places=True, teller=True)
    assert bench.teller is not None
    bench.prepare(1)
    bench.teller.answer(status=0xA700)
    assert bench.publishing()[0]["items"][0]["status"] == 0xA700
    bench.publish(a1={"result": "refused", "reason": "no"})
    assert ("abandoned", 1) in bench.books.story
    assert entered(bench) == ["a1"]


def test_what_failed_already_gets_no_place_and_is_published_as_a_failure() -> None:
    bench = Bench(files("a1", "a2"), places=True, teller=True)
    assert bench.teller is not None
    bench.prepare(1, states={"a1": "bad"})
    assert bench.books.story == [("place", "a")]
    bench.teller.answer()
    assert "directory" not in bench.publishing()[0]["items"][0]
    assert bench.books.story[-1] == ("intended", ["a2"], [1])


def test_hooks_come_before_the_next_object() -> None:
    bench = Bench(files("a1", "a2"), teller=True, hooks_first=True)
    assert bench.teller is not None
    bench.prepare(1)
    bench.publish()
    bench.teller.settle()
    assert len(bench.publishing()) == 1
    bench.teller.ran.pop()()
    assert [item["index"] for item in bench.publishing()[-1]["items"]] == [1]


def test_stop_finishes_what_is_being_published_and_no_more() -> None:
    bench = Bench(files("a1", "b1", *map(str, range(100))), places=True, teller=True)
    assert bench.teller is not None
    bench.prepare(1)
    bench.teller.answer()
    bench.conductor.stop()
    assert bench.ends == 0
    bench.publish()
    assert bench.ends == 0
    bench.teller.settle()
    assert entered(bench) == ["a1"]
    assert (bench.ends, bench.conductor.complete) == (1, False)
    assert len(bench.publishing()) == 1


def test_stop_with_nothing_under_way_ends_at_once() -> None:
    bench = Bench(files("a1"))
    bench.conductor.stop()
    assert (bench.ends, bench.conductor.complete) == (1, False)


def test_nothing_to_do_is_complete() -> None:
    bench = Bench(iter([]))
    bench.run()
    assert (bench.ends, bench.conductor.complete) == (1, True)


def test_unsettled_objects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastscp.ingest.conductor._UNSETTLED", 2)
    bench = Bench(files("a1", "a2", "b1"), places=True, teller=True)
    assert bench.teller is not None
    bench.prepare(1)
    bench.teller.answer()
    bench.publish()
    assert bench.teller.places == []
    bench.teller.settle()
    assert [study for study, _ in bench.teller.places] == ["b"]


def test_what_an_earlier_run_published_is_only_told_of() -> None:
    bench = Bench(files("a1", "a2"), places=True, teller=True)
    assert bench.teller is not None
    bench.books.adopted["a1", -1] = Intent("a1", -1, "/out/old", 99, 41, "a1"), "CT.1"
    bench.books.adopted["a2", -1] = Intent("a2", -1, "/out/old", 98, 42, "another instance"), "CT.2"
    bench.prepare(1)
    (first,) = bench.publishing()[0]["items"]
    assert (first["directory"], first["file"], first["inode"]) == ("/out/old", "CT.1", 99)
    bench.publish()
    bench.teller.answer()
    (second,) = bench.publishing()[1]["items"]
    assert (second["directory"], second.get("file")) == ("/out/a", None)
    bench.publish()
    # told before another place is asked for: the coordinator may know nothing of that directory
    assert [entry for entry in bench.books.story if entry[0] in {"stored", "place"}] == [
        ("stored", "a1", 41, None), ("place", "a"), ("stored", "a2", 1, 1)]


@pytest.mark.parametrize("places", [True, False])
def test_what_an_earlier_run_replaced_keeps_its_place_and_its_turn(places: bool) -> None:
    bench = Bench(files("a1", "a2"), places=places, teller=True)
    assert bench.teller is not None
    bench.books.adopted["a1", -1] = Intent("a1", -1, "/out/old", 99, 41, "a1"), None
    bench.books.adopted["a2", -1] = Intent("a2", -1, "/out/old", 98, 42, "a2"), "CT.2"
    bench.prepare(1)
    first, second = bench.publishing()[0]["items"]
    assert (first.get("directory"), first.get("file"), second["directory"], second["file"]) == (
        "/out/old" if places else None, None, "/out/old", "CT.2")
    bench.publish()
    assert [entry for entry in bench.books.story if entry[0] in {"stored", "place"}] == [("stored", "a1", 41, None), ("stored", "a2", 42, None)]


def test_members_of_a_stream_come_in_parts() -> None:
    stream = Source("x.tgz", Kind.STREAM)
    bench = Bench(iter([Source("a"), stream, Source("x.tgz", Kind.END, ARCHIVE), Source("b")]))
    assert [names for _, _, names in bench.chunks()] == [["a"], ["x.tgz"], ["x.tgz", "b"]]
    bench.prepare(1)
    bench.publish()
    for part in range(2):
        facts = [fact(str(part)) | {"source": Source("x.tgz", Kind.STREAM, part, f"m{part}").packed()}]
        bench.prepare(2, part=part, last=False, facts=facts)
        assert (bench.publishing()[-1]["chunk"], bench.publishing()[-1]["part"]) == (2, part)
        bench.publish()
    bench.prepare(2, part=2, facts=[])
    bench.prepare(3, states={"x.tgz": "ended"})
    bench.publish()
    assert entered(bench) == ["a", "x.tgz", "x.tgz", "x.tgz", "b"]


def test_sources_that_are_still_to_come_are_looked_for_again() -> None:
    waiting: list[Source | None] = [None, Source("a")]
    bench = Bench(iter(waiting))
    assert bench.chunks() == []
    bench.loop.advance(1.0)
    assert [names for _, _, names in bench.chunks()] == [["a"]]


def test_a_dry_run_publishes_nothing() -> None:
    bench = Bench(files("a", "b"))
    facts = [fact("a") | {"outcome": {"result": "would-store", "target": "/out/a", "size": 1}}, fact("b", "foreign") | {"outcome": None}]
    bench.prepare(1, facts=facts)
    assert bench.publishing() == []
    assert bench.books.story == [("entered", "a", "would-store", "/out/a"), ("entered", "b", "not-dicom", None)]
