"""A seeded run of a fleet has to see what is wrong in a store: each manifest exactly, each object once, nothing unfinished."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fleet_store import faults_of

WANTED = {"1.2": [["1.2.1", "1.2.2"], ["1.2.1", "1.2.2", "1.2.3"]], "1.3": [["1.3.1"]]}


def manifest(study: str, revision: int) -> dict[str, Any]:
    return {"study_uid": study, "revision": revision, "objects": [{"sop_instance_uid": instance} for instance in WANTED[study][revision - 1]]}


class Contents:
    """A bucket that is as it should be."""

    def __init__(self) -> None:
        self.said = {f"p/studies/{study}/{revision:08d}.json": manifest(study, revision)
                     for study, ends in WANTED.items() for revision in range(1, len(ends) + 1)}
        self.held = {f"p/objects/{study}/1/{instance}/d.dcm": b"" for study, ends in WANTED.items() for instance in ends[-1]}
        self.parts: list[str] = []
        self.damaged = ""

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in (*self.said, *self.held) if key.startswith(prefix))

    def objects(self, prefix: str = "p/") -> dict[str, bytes]:
        assert prefix == "p/"
        assert not self.damaged, self.damaged
        return self.held

    def manifests(self, prefix: str = "p/") -> dict[str, dict[str, Any]]:
        assert prefix == "p/"
        return copy.deepcopy(self.said)

    def unfinished(self) -> list[str]:
        return self.parts


def test_a_store_that_is_as_it_should_be_has_no_faults() -> None:
    assert faults_of(Contents(), WANTED, 0) == []


FIRST, SECOND = "p/studies/1.2/00000001.json", "p/studies/1.2/00000002.json"


@pytest.mark.parametrize(("harm", "said"), [
    (lambda bucket: bucket.said.pop(FIRST), "manifest of every end"),
    (lambda bucket: bucket.said.pop(SECOND), "manifest of every end"),
    (lambda bucket: bucket.said[FIRST]["objects"].pop(), FIRST),
    (lambda bucket: bucket.said[FIRST]["objects"].append({"sop_instance_uid": "1.2.3"}), FIRST),
    (lambda bucket: bucket.said[SECOND]["objects"].append({"sop_instance_uid": "1.2.3"}), SECOND),
    (lambda bucket: bucket.said[SECOND].update(revision=1), SECOND),
    (lambda bucket: bucket.said[SECOND].update(study_uid="1.3"), SECOND),
    (lambda bucket: bucket.said.update({"p/studies/1.2/00000003.json": manifest("1.2", 2)}), "00000003.json"),
    (lambda bucket: bucket.said.update({"p/studies/1.4/00000001.json": manifest("1.2", 2)}), "1.4"),
    (lambda bucket: bucket.held.pop("p/objects/1.3/1/1.3.1/d.dcm"), "in the store"),
    (lambda bucket: bucket.held.update({"p/objects/1.3/1/1.3.1/e.dcm": b""}), "in the store"),
    (lambda bucket: bucket.held.update({"p/objects/1.3/1/1.2.3/d.dcm": bucket.held.pop("p/objects/1.2/1/1.2.3/d.dcm")}), "in the store"),
    (lambda bucket: setattr(bucket, "damaged", "other octets"), "other octets"),
    (lambda bucket: bucket.parts.append("p/objects/1.3/1/1.3.1/d.dcm"), "unfinished"),
])
def test_whatever_is_wrong_is_one_of_its_faults(harm: Callable[[Contents], object], said: str) -> None:
    bucket = Contents()
    harm(bucket)
    found = faults_of(bucket, WANTED, 0)
    assert any(said in fault for fault in found)
    assert len(found) <= 2


def test_what_is_asserted_hides_no_other_fault() -> None:
    bucket = Contents()
    bucket.damaged = "other octets"
    bucket.said[FIRST]["objects"].clear()
    assert len(faults_of(bucket, WANTED, 0)) == 2
