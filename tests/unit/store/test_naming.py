from __future__ import annotations

import datetime
import itertools

import pytest

from fastscp.errors import InstanceError
from fastscp.store import naming


def test_name_of_an_instance() -> None:
    assert naming.instance_file_name("CT", "1.2.3", ".dcm") == "CT.1.2.3.dcm"


@pytest.mark.parametrize("uid", ["../../x", "/etc/cron.d/x", "..\\x", ".", "..", "1.2;id", "1.2`id`", "1.2|x", "a\nb", "a\0b", "\xff"])
def test_hostile_uids_stay_in_the_directory(uid: str) -> None:
    name = naming.instance_file_name("CT", uid, "")
    assert "/" not in name
    assert name.startswith("CT.")
    assert name not in {".", ".."}
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -.:@_")


@pytest.mark.parametrize("uid", ["", "1" * 256])
def test_uid_that_makes_no_name_is_an_invalid_instance(uid: str) -> None:
    with pytest.raises(InstanceError) as caught:
        naming.instance_file_name("CT", uid, "")
    assert caught.value.status == 0x0117


def test_time_names_count_from_the_second_file_on() -> None:
    now = datetime.datetime(2026, 3, 4, 5, 6, 7, 89_999)
    names = list(itertools.islice(naming.time_file_names("MR", ".x", now), 3))
    assert names == ["20260304050607089.MR.x", "20260304050607089_0000.MR.x", "20260304050607089_0001.MR.x"]


def test_time_names_end_after_ten_thousand_serial_numbers() -> None:
    names = list(naming.time_file_names("MR", "", datetime.datetime(2026, 1, 1)))
    assert len(names) == len(set(names)) == 10_001


def test_unique_names_differ() -> None:
    first, second = naming.unique_file_name("CT", ""), naming.unique_file_name("CT", "")
    assert first != second
    assert first.startswith("CT.X.2.25.")


def test_distinct_name_depends_on_the_uid_alone() -> None:
    name = naming.distinct_file_name("CT.1_2", "1;2")
    assert name == naming.distinct_file_name("CT.1_2", "1;2")
    assert name != naming.distinct_file_name("CT.1_2", "1|2")
