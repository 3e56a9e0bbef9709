from __future__ import annotations

import json
import os
from dataclasses import dataclass

import orjson
import pytest

from fastscp import jsontext

ODD = os.fsdecode(b"/data/caf\xe9/\xff\x80")


@dataclass
class Plan:
    directory: str
    names: tuple[tuple[str, str], ...]


@pytest.mark.parametrize("value", [ODD, {"a": [ODD, 1, None, {"b": ODD}]}, {ODD: True}, [], "caf\u00e9 \U0001f600", {"\xff": 1.5}])
def test_any_path_comes_back(value: object) -> None:
    octets = jsontext.dumps(value)
    assert jsontext.loads(octets) == value
    assert jsontext.loads(memoryview(octets)) == value
    json.loads(octets.decode("utf-8"))


def test_an_octet_has_the_same_place_in_every_json() -> None:
    told = json.loads(jsontext.dumps({"directory": os.fsdecode(b"/caf\xe9")}))
    assert told == {"directory": "/caf\U0010dce9"}
    meant = told["directory"].translate({0x100000 + code: code for code in range(0xDC80, 0xDD00)})
    assert os.fsencode(meant) == b"/caf\xe9"


def test_records_and_tuples_are_what_they_are_without_odd_paths() -> None:
    for directory in ("/data", ODD):
        plan = Plan(directory, (("CT.1", "CT000001"),))
        assert jsontext.loads(jsontext.dumps(plan)) == {"directory": directory, "names": [["CT.1", "CT000001"]]}


def test_options_hold_for_odd_paths_too() -> None:
    assert jsontext.dumps(ODD, orjson.OPT_APPEND_NEWLINE).endswith(b'"\n')


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        jsontext.dumps({"a": object()})
    with pytest.raises(orjson.JSONDecodeError):
        jsontext.loads(b"\xf4\x8d")


def test_texts_of_a_database() -> None:
    jsontext.safe(ODD).encode()
    assert jsontext.meant(jsontext.safe(ODD)) == ODD
    assert jsontext.meant("/data/caf\u00e9") == "/data/caf\u00e9"
