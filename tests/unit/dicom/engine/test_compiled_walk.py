"""The walk of the compiled core beside the one in Python: the same output, values and errors, whatever comes.

FASTSCP_FUZZ_SEED chooses another seed, FASTSCP_FUZZ_RUNS how many data sets are made.
"""

from __future__ import annotations

import os
import random
import struct
import sys
import threading
from typing import Any

import pytest

from fastscp import core
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriter import Rewriter, _plan
from fastscp.errors import InstanceError
from tests.conftest import real_dicom_files
from tests.fuzz.mutations import mutated
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink, pieces
from tests.support.rawscu import IMPLICIT, read_instance

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")

SEED = int(os.environ.get("FASTSCP_FUZZ_SEED", "1"))
RUNS = int(os.environ.get("FASTSCP_FUZZ_RUNS", "4000"))
EXPLICIT, BIG = ds.EXPLICIT, "1.2.840.10008.1.2.2"
OPTIONS = {
    "default": {}, "+ti": {"transfer_syntax": IMPLICIT}, "+tb": {"transfer_syntax": BIG}, "+te": {"transfer_syntax": EXPLICIT},
    "+g": {"group_lengths": GroupLengths.CREATE}, "-g": {"group_lengths": GroupLengths.REMOVE}, "-e": {"explicit_lengths": False},
    "-u": {"new_vrs": False}, "+p": {"file_padding": 64, "item_padding": 32}, "depth": {"max_depth": 2},
    "+ti -e +g": {"transfer_syntax": IMPLICIT, "explicit_lengths": False, "group_lengths": GroupLengths.CREATE},
    "+tb +g +p": {"transfer_syntax": BIG, "group_lengths": GroupLengths.CREATE, "item_padding": 30},
    "-e +p": {"explicit_lengths": False, "item_padding": 16}, "+tb -u -e": {"transfer_syntax": BIG, "new_vrs": False, "explicit_lengths": False},
}
TAGS = (0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x00081140, 0x00090010, 0x00091001, 0x00100010, 0x00100020, 0x0020000D,
        0x00280010, 0x00280103, 0x00290010, 0x00291000, 0x00400275, 0x00409096, 0x0040A730, 0x50000010, 0x52009229, 0x52009230,
        0x54000100, 0x60001500, 0x60003000, 0x7FDF0010, 0x7FE00009)
SEQUENCES = (0x00081140, 0x00091001, 0x00291000, 0x00400275, 0x00409096, 0x0040A730, 0x52009229, 0x52009230)
VALUES = {
    "CS": (b"ORIGINAL", b"A ", b"", b"AB  "), "PN": (b"A^B ", b"A^B", b"  "), "UI": (b"1.2.3\0", b"1.2", b"1.2.3 ", b"1.2\0\0\0", b""),
    "US": (b"\1\0", b"\1\0\2\0", b"", b"\1\0\2"), "UL": (b"\1\0\2\0", b""), "FD": (bytes(range(8)), bytes(16), bytes(10)), "AT": (b"\x08\0\x10\0",),
    "OB": (b"ab", b"", bytes(300), b"odd"), "OW": (b"abcd", b"abc", b"abcdef"), "UN": (b"ab", b"\xfe\xff\0\xe0\0\0\0\0", b""), "UT": (b"text", b"t   "),
    "LO": (b"GEMS_IDEN_01", b"x "), "OD": (bytes(range(16)),), "SV": (bytes(range(8)),), "??": (b"ab",), "ZZ": (b"ab",),
}


CREATOR, OF_CREATOR = 0x00290010, 0x00291000  #: the dictionary has a sequence there, of this creator
CREATOR_VALUE = b"CARDIO-D.R. 1.0 "
ITEMS = (b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\0\xe0\4\0\0\0", b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"abcd")


class Maker:
    """Makes data sets that nest, most of them well."""

    def __init__(self, chance: random.Random, explicit: bool, order: str) -> None:
        self.chance, self.explicit, self.order = chance, explicit, order
        self.spoiled = chance.randrange(3) == 0  #: else nothing needs a correction

    def elements(self, depth: int) -> bytes:
        chance = self.chance
        tags = sorted({*chance.sample(TAGS, chance.randrange(1, 9)), *((CREATOR, OF_CREATOR) if chance.randrange(6) == 0 else ())})
        if self.spoiled and chance.randrange(12) == 0:
            chance.shuffle(tags)
        return b"".join(self.element(tag, depth) for tag in tags)

    def element(self, tag: int, depth: int) -> bytes:
        chance = self.chance
        out = b""
        if self.spoiled and chance.randrange(15) == 0:
            value = struct.pack(self.order + "L", chance.randrange(200))
            out = ds.explicit(tag & 0xFFFF0000, "UL", value, order=self.order) if self.explicit else ds.implicit(tag & 0xFFFF0000, value)
        if depth and chance.randrange(5 if tag in SEQUENCES else 80) < (4 if tag in SEQUENCES else 1):
            return out + self.sequence(tag, depth)
        vr = chance.choice(list(VALUES)) if chance.randrange(3) else "CS"
        value = chance.choice(VALUES[vr]) if self.spoiled else VALUES[vr][0]
        if tag == CREATOR and chance.randrange(4):
            vr, value = "LO", CREATOR_VALUE
        elif tag == OF_CREATOR:
            vr, value = chance.choice(("UN", "OB", "UT")), chance.choice(ITEMS)
        return out + (ds.explicit(tag, vr, value, order=self.order) if self.explicit else ds.implicit(tag, value))

    def sequence(self, tag: int, depth: int) -> bytes:
        chance = self.chance
        items = b"".join(ds.item(self.elements(depth - 1) if chance.randrange(6) else b"", delimited=bool(chance.randrange(2)), order=self.order)
                         for _ in range(chance.randrange(4)))
        delimited = bool(chance.randrange(2))
        if self.explicit:
            return ds.sequence(tag, items, delimited=delimited, order=self.order)
        return ds.implicit_sequence(tag, items, delimited=delimited)


def result(dataset: bytes, syntax: str, options: OutputOptions, size: int) -> tuple[Any, ...]:
    """Return what becomes of a data set that comes in pieces: octets, values, or the error with all that it says."""
    sink = MemorySink(BASE)
    rewriter = Rewriter(syntax, options, sink, BASE)
    try:
        for view in pieces(dataset, size):
            rewriter.feed([view])
        rewriter.finish()
    except InstanceError as error:
        return error.status, error.tag, error.offset, str(error), rewriter.attributes
    return sink.dataset, rewriter.attributes


def compared(dataset: bytes, syntax: str, options: OutputOptions, size: int) -> bool:
    """Tell whether it was stored."""
    plan = _plan(syntax, options, None)
    compiled = result(dataset, syntax, options, size)
    kept, plan.walk = plan.walk, None
    try:
        pure = result(dataset, syntax, options, size)
    finally:
        plan.walk = kept
    assert compiled == pure, (dataset, syntax, options, size)
    return isinstance(compiled[0], bytes)


@pytest.mark.parametrize("words", OPTIONS)
def test_data_sets_that_are_made(words: str) -> None:
    chance = random.Random(f"{SEED} {words}")
    options = OutputOptions(**OPTIONS[words])
    stored = 0
    runs = RUNS // len(OPTIONS)
    for _ in range(runs):
        syntax = chance.choice((EXPLICIT, EXPLICIT, IMPLICIT, BIG))
        maker = Maker(chance, syntax != IMPLICIT, ">" if syntax == BIG else "<")
        dataset = maker.elements(chance.randrange(5))
        if chance.randrange(3) == 0:
            dataset = mutated(dataset, chance)
        stored += compared(dataset, syntax, options, chance.choice((1 << 20, len(dataset) // 2 + 1, chance.randrange(1, 40))))
    assert runs // 20 < stored < runs


@pytest.mark.parametrize("words", OPTIONS)
def test_real_files_and_mutations_of_them(words: str) -> None:
    chance = random.Random(f"{SEED} {words}")
    options = OutputOptions(**OPTIONS[words])
    for path in real_dicom_files():
        instance = read_instance(path)
        dataset = instance.dataset[:20_000]
        compared(dataset, instance.transfer_syntax or IMPLICIT, options, 1 << 20)
        compared(mutated(dataset, chance), instance.transfer_syntax or IMPLICIT, options, chance.choice((1 << 20, 997)))


def test_threads_that_share_a_plan_do_not_meet_in_its_walk() -> None:
    """A walk that takes a Private Creator calls Python, where another thread may go on."""
    options = OutputOptions(transfer_syntax=IMPLICIT)
    made = [b"".join(ds.explicit(group << 16 | 0x10, "LO", CREATOR_VALUE) + ds.explicit(group << 16 | 0x1001, "LO", letter * 10)
                     for group in range(0x0029, 0x0229, 2)) for letter in (b"A", b"B", b"C")]
    expected = [result(dataset, EXPLICIT, options, 1 << 20) for dataset in made]
    wrong: list[int] = []

    def run(number: int) -> None:
        wrong.extend(number for _ in range(50) if result(made[number], EXPLICIT, options, 1 << 20) != expected[number])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(made))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
