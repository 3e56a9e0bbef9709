"""Manifests: whole, never changed, made of the one before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fastscp.objects import manifest
from fastscp.objects.manifests import ContendedError, write
from fastscp.objects.store import DamagedError
from tests.support.fake_store import FakeStore


def entry(instance: str, sha256: str = "aa") -> dict[str, Any]:
    return {"sop_instance_uid": instance, "sop_class_uid": "1", "transfer_syntax_uid": "2", "series_uid": "3", "modality": "CT", "size": 5,
            "sha256": sha256, "key": f"p/objects/{instance}/{sha256}", "path": "/not/for/others"}


def put(store: FakeStore, *entries: dict[str, Any], revision: int = 1) -> str:
    return write(store, "p", "", "1.2", revision, entries)


def listed(store: FakeStore, revision: int) -> list[tuple[str, str, int]]:
    content = json.loads(store.held[f"p/studies/1.2/{revision:08d}.json"])
    assert content["revision"] == revision
    assert content["counts"]["objects"] == len(content["objects"])
    assert "path" not in content["objects"][0]
    return [(one["sop_instance_uid"], one["sha256"], one["revision"]) for one in content["objects"]]


def test_a_revision_has_everything_before_it() -> None:
    store = FakeStore()
    assert put(store, entry("1"), entry("2")) == "p/studies/1.2/00000001.json"
    assert put(store, entry("3"), entry("2", "bb"), revision=2) == "p/studies/1.2/00000002.json"
    assert listed(store, 1) == [("1", "aa", 1), ("2", "aa", 1)]
    assert listed(store, 2) == [("1", "aa", 1), ("2", "aa", 1), ("2", "bb", 2), ("3", "aa", 2)]


def test_saying_it_again_changes_nothing() -> None:
    store = FakeStore()
    put(store, entry("1"))
    assert put(store, entry("1")) == ""
    assert put(store) == ""
    assert len(store.held) == 1


def test_a_study_without_objects_has_no_manifest() -> None:
    store = FakeStore()
    assert put(store) == ""
    assert store.held == {}


def test_a_state_that_was_lost_goes_on_where_the_store_is() -> None:
    store = FakeStore()
    for number in range(1, 4):
        put(store, entry(str(number)), revision=number)
    assert put(store, entry("9"), revision=1) == "p/studies/1.2/00000004.json"
    assert len(listed(store, 4)) == 4


def test_who_writes_at_the_same_time_gets_the_next_revision() -> None:
    store = FakeStore()

    def meanwhile(what: str, _key: str) -> None:
        if what == "put":
            store.before = lambda _what, _key: None
            put(store, entry("other"))

    store.before = meanwhile
    assert put(store, entry("1")) == "p/studies/1.2/00000002.json"
    assert listed(store, 2) == [("1", "aa", 2), ("other", "aa", 1)]


def test_it_is_given_up_when_others_are_always_faster() -> None:
    store = FakeStore()
    numbers = iter(range(100))

    def meanwhile(what: str, _key: str) -> None:
        if what == "put":
            before, store.before = store.before, lambda _what, _key: None
            put(store, entry(f"other{next(numbers)}"))
            store.before = before

    store.before = meanwhile
    with pytest.raises(ContendedError):
        put(store, entry("1"))


def test_a_manifest_that_is_damaged_on_its_way_is_written_again() -> None:
    store = FakeStore(says=False, verifies=False)
    damaged = iter([True, False])
    store.way = lambda octets: b"x" + octets if next(damaged) else octets
    put(store, entry("1"))
    assert listed(store, 1) == [("1", "aa", 1)]
    store.way = lambda octets: b"x" + octets
    with pytest.raises(DamagedError):
        put(store, entry("2"))


def test_something_else_in_the_place_of_a_manifest_is_told() -> None:
    store = FakeStore()
    for octets in (b"not JSON", b"[]", b'{"schema": 2}', b"{}"):
        store.held["p/studies/1.2/00000001.json"] = octets
        with pytest.raises(manifest.ManifestError):
            put(store, entry("1"))
