from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.store.own_paths import OwnPaths


def test_directories_and_the_way_to_them(tmp_path: Path) -> None:
    own = OwnPaths([f"{tmp_path}/out/Kept/inner"])
    for name, expected in (("kept", True), ("KEPT", True), ("kept/inner", True), ("kept/inner/1.2", False), ("kept.1", False),
                           ("1.2", False)):
        assert own.include(f"{tmp_path}/out/{name}") is expected, name


def test_files_and_what_rotation_makes_of_them(tmp_path: Path) -> None:
    own = OwnPaths(files=[f"{tmp_path}/events.jsonl"])
    for name, expected in (("events.jsonl", True), ("events.jsonl.1", True), ("events.jsonl-20260101", True),
                           ("events", False), ("events.jsonls", False)):
        assert own.include(f"{tmp_path}/{name}") is expected, name


@pytest.mark.parametrize(("file", "name", "expected"), [
    ("CT.log", "CT.log", True), ("ct.log", "CT.LOG", True), ("CT.log", "CT.log.1", True), ("CT.log", "CT.logs", False),
    ("UNKNOWN.1", "UNKNOWN.1", True), ("events.jsonl", "CT.1", False), ("CT.log", "MR.log", False),
])
def test_names_of_instances(tmp_path: Path, file: str, name: str, expected: bool) -> None:
    assert OwnPaths(files=[f"{tmp_path}/{file}"]).include_name(name) is expected


def test_nothing_is_kept_free_where_nothing_is_configured(tmp_path: Path) -> None:
    assert not OwnPaths().include(str(tmp_path))
    assert not OwnPaths().include_name("CT.1")
    assert not OwnPaths().instances_concerned
    assert not OwnPaths(files=[f"{tmp_path}/events"]).instances_concerned
    assert OwnPaths(files=[f"{tmp_path}/CT.log"]).instances_concerned
