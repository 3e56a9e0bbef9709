from __future__ import annotations

import logging
from typing import Any

import orjson

from fastscp.log.jsonlines import JSONLayout


def line(**extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("dcmtk.apps.storescp", logging.ERROR, "", 0, "refused %s", ("it",), None)
    record.__dict__.update(extra)
    text = JSONLayout().format(record)
    assert text.endswith("\n")
    return dict(orjson.loads(text))


def test_line_has_five_fields() -> None:
    found = line()
    assert list(found) == ["time", "level", "logger", "process", "message"]
    assert (found["level"], found["message"]) == ("error", "refused it")


def test_facts_of_a_message_follow_as_fields_and_replace_none_of_the_line() -> None:
    found = line(fields={"time": "never", "status": 49152, "tag": None, "reason": "x\n"})
    assert list(found) == ["time", "level", "logger", "process", "message", "status", "tag", "reason"]
    assert found["time"] != "never"
    assert (found["status"], found["tag"], found["reason"]) == (49152, None, "x\n")
