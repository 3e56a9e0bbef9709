from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastscp.fleet.batch import batch_of


@dataclass
class Said:
    kind: str
    body: dict[str, Any]


def hold(number: int, key: str = "1.2", timeout_s: float = 2) -> Said:
    return Said("hold", {"number": number, "key": key, "study_uid": key, "timeout_s": timeout_s})


def stored(number: int, instance: str, path: str = "", digest: str = "d", *, key: str = "1.2", kind: str = "object") -> Said:  # noqa: PLR0913 - what is varied
    row = {"sop_instance_uid": instance, "sha256": digest, "path": path or f"/in/{instance}"}
    return Said(kind, {"number": number, "key": key, "timeout_s": 2, "caller": {"calling_aet": instance}, "objects": [row]})


def release(number: int, key: str = "1.2") -> Said:
    return Said("release", {"number": number, "key": key, "reason": "timeout"})


def test_what_is_opened_and_released_in_one_batch_is_not_held() -> None:
    assert batch_of([hold(1), release(1)]).holds == {1: None}


def test_what_is_released_and_opened_again_is_held() -> None:
    assert batch_of([release(1), hold(1)]).holds == {1: "1.2"}


def test_the_last_object_in_a_file_is_the_one_that_is_there() -> None:
    batch = batch_of([stored(1, "1", "/in/a", "old"), stored(1, "2"), stored(1, "1", "/in/a", "new")])
    assert [(row["sop_instance_uid"], row["sha256"]) for row in batch.objects.values()] == [("2", "d"), ("1", "new")]


def test_files_of_two_studies_do_not_replace_each_other() -> None:
    assert len(batch_of([stored(1, "1", "/in/a"), stored(2, "1", "/in/a", key="1.3")]).objects) == 2


def test_the_last_place_of_an_object_counts() -> None:
    batch = batch_of([stored(1, "1", "/in/a", kind="final"), stored(1, "1", "/done/a", kind="final")])
    assert [row["path"] for row in batch.finals.values()] == ["/done/a"]


def test_a_study_has_the_caller_of_its_last_object_and_the_longest_timeout() -> None:
    row = batch_of([hold(1, timeout_s=7), stored(1, "1"), stored(1, "2"), hold(2)]).studies["1.2"]
    assert row["caller"] == {"calling_aet": "2"}
    assert row["timeout_s"] == 7


def test_a_study_of_a_section_has_its_name() -> None:
    row = batch_of([hold(1, key="scanner 1.2")]).studies["scanner 1.2"]
    assert (row["sender"], row["study_uid"]) == ("scanner", "1.2")


def test_a_release_opens_nothing() -> None:
    assert batch_of([release(1)]).studies == {}
