from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from fastscp.store.comparing import PIECE_OCTETS, Likeness, compare_files


def run(comparison: Generator[None, None, Any]) -> tuple[Any, int]:
    """Return the result and how often somebody else had a turn."""
    turns = 0
    while True:
        try:
            next(comparison)
        except StopIteration as end:
            return end.value, turns
        turns += 1


def compare(directory: Path, one: bytes, other: bytes) -> tuple[Any, int]:
    (directory / "one").write_bytes(one)
    (directory / "other").write_bytes(other)
    return run(compare_files(str(directory / "one"), str(directory / "other")))


@pytest.mark.parametrize(("one", "other", "likeness"), [
    (b"", b"", Likeness.EQUAL), (b"a", b"a", Likeness.EQUAL), (b"a", b"b", Likeness.DIFFERENT),
    (b"a", b"ab", Likeness.DIFFERENT),
])
def test_octets_decide(tmp_path: Path, one: bytes, other: bytes, likeness: Likeness) -> None:
    assert compare(tmp_path, one, other) == (likeness, 0)


def test_long_files_are_compared_to_their_end_a_piece_at_a_time(tmp_path: Path) -> None:
    content = os.urandom(2 * PIECE_OCTETS + 1)
    assert compare(tmp_path, content, content) == (Likeness.EQUAL, 2)
    assert compare(tmp_path, content, content[:-1] + bytes([content[-1] ^ 1])) == (Likeness.DIFFERENT, 2)


def test_one_file_under_two_names_is_not_two(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    os.link(tmp_path / "one", tmp_path / "link")
    assert run(compare_files(str(tmp_path / "one"), str(tmp_path / "link")))[0] is Likeness.ONE_FILE
    assert run(compare_files(str(tmp_path / "one"), f"{tmp_path}/./one"))[0] is Likeness.ONE_FILE


def test_what_is_no_file_is_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    (tmp_path / "symlink").symlink_to("one")
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "symlink", "fifo", "."):
        for pair in ((name, "one"), ("one", name)):
            assert run(compare_files(*(str(tmp_path / path) for path in pair)))[0] is Likeness.DIFFERENT


def test_nothing_stays_open_when_a_comparison_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(bytes(2 * PIECE_OCTETS))
    (tmp_path / "other").write_bytes(bytes(2 * PIECE_OCTETS))
    before = len(os.listdir("/proc/self/fd"))
    comparison = compare_files(str(tmp_path / "one"), str(tmp_path / "other"))
    next(comparison)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    comparison.close()
    assert len(os.listdir("/proc/self/fd")) == before
