from __future__ import annotations

from fastscp.dicom.engine.cursor import ITEM, ITEMS, NO_END, Cursor, Level


def _level(kind: int = ITEM) -> Level:
    return Level(kind, NO_END, explicit=True, little=True, fast=True)


def test_levels_are_left_in_the_order_they_were_entered() -> None:
    dataset, sequence, item = _level(), _level(ITEMS), _level()
    cursor = Cursor(dataset)
    cursor.enter(sequence)
    cursor.enter(item)
    assert cursor.stack == [dataset, sequence]
    assert cursor.leave() is item
    assert cursor.leave() is sequence
    assert cursor.level is dataset


def test_waiting_is_said_by_a_position_that_is_none() -> None:
    cursor = Cursor(_level())
    assert cursor.want(20, header=8) == -1
    assert (cursor.need, cursor.header) == (20, 8)


def test_a_position_is_resumed_elsewhere_in_a_file() -> None:
    level = _level()
    level.last, level.group, level.group_at, level.group_start, level.group_value = 0x00080018, 8, 108, 112, 0
    level.bits, level.signed, level.creators = 16, True, {0x000910: "ACME"}
    other = _level()
    other.resume(level.position(100), 500)
    assert (other.last, other.group, other.group_at, other.group_start) == (0x00080018, 8, 508, 512)
    assert (other.bits, other.signed, other.creators) == (16, True, {0x000910: "ACME"})
    assert other.creators is not level.creators, "what follows in one data set is none of another's business"


def test_a_position_without_counted_group_leaves_none() -> None:
    other = _level()
    other.resume(_level().position(100), 500)
    assert other.group_at == -1
