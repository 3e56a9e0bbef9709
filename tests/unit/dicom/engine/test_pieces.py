"""Ranges, octets and zeros in order, as few as possible."""

from __future__ import annotations

from fastscp.dicom.engine.pieces import Pieces
from tests.support.memory import MemorySink


def _octets(pieces: Pieces) -> bytes:
    sink = MemorySink(0)
    sink.write([bytes(range(100))])
    return b"".join(pieces.read(index, 0, 1000, sink) for index in range(len(pieces)))


def test_neighbours_in_the_file_become_one() -> None:
    pieces = Pieces()
    pieces.add(10, 5)
    pieces.add(15, 5)
    pieces.add(30, 2)
    assert len(pieces) == 2
    assert (pieces.offset(0), pieces.length(0)) == (10, 10)
    assert _octets(pieces) == bytes([*range(10, 20), 30, 31])


def test_nothing_is_joined_across_the_barrier() -> None:
    pieces = Pieces()
    pieces.add(10, 5)
    pieces.barrier = 1
    pieces.add(15, 5)
    pieces.add(20, 5)
    assert len(pieces) == 2
    pieces.fold(0, 0)
    assert len(pieces) == 1
    assert pieces.length(0) == 15


def test_folding_joins_what_is_whole_and_leaves_the_rest() -> None:
    pieces = Pieces()
    for offset in (0, 8, 16, 20):
        pieces.barrier = len(pieces)
        pieces.add(offset, 8 if offset < 16 else 4)
    pieces.fold(1, 1)  # three pieces from there on: something between them may have changed
    assert len(pieces) == 4
    pieces.fold(2, 3)  # what is at 2 is not joined to what is before it
    assert len(pieces) == 3
    pieces.fold(2, 0)
    assert len(pieces) == 2


def test_octets_and_zeros_stand_among_ranges() -> None:
    pieces = Pieces()
    pieces.add_octets(b"ab")
    pieces.add(2, 2)
    pieces.add_zeros(3)
    pieces.add_octets(b"cd")
    pieces.add(7, 1)
    pieces.replace(1, b"xyz")
    assert _octets(pieces) == b"abxyz\0\0\0cd\7"
    assert [pieces.is_range(index) for index in range(len(pieces))] == [False, False, False, False, True]
    assert pieces.read(2, 1, 1, MemorySink()) == b"\0"
    assert pieces.read(3, 1, 9, MemorySink()) == b"d"


def test_what_was_added_since_a_mark_is_forgotten() -> None:
    pieces = Pieces()
    pieces.add_octets(b"ab")
    mark = pieces.mark()
    pieces.add_octets(b"cd")
    pieces.add(5, 5)
    pieces.back(mark)
    pieces.add_octets(b"ef")
    assert _octets(pieces) == b"abef"


def test_pieces_move_into_a_list_apart_and_come_back() -> None:
    pieces = Pieces()
    pieces.add(0, 2)
    for offset in (40, 20, 22, 42):
        pieces.barrier = len(pieces)
        pieces.add(offset, 2)
    target = pieces.apart()
    pieces.move(2, 4, target)
    pieces.move(1, 2, target)
    pieces.move(4, 5, target)
    pieces.put(1, target)
    assert _octets(pieces) == bytes([0, 1, 20, 21, 22, 23, 40, 41, 42, 43])
    assert pieces.length(len(pieces) - 1) == 4
