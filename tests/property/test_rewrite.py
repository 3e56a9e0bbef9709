"""Random data sets: fragmentation and interruptions change nothing, rewriting twice changes nothing more, and the
real dcmconv writes the same."""

from __future__ import annotations

import itertools
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastscp.dicom import rewriter
from fastscp.dicom.engine import deflate, scan
from fastscp.dicom.options import OutputOptions
from tests.support import datasets as ds
from tests.support.memory import pieces, rewritten, rewritten_in_turns
from tests.support.options import output_options
from tests.support.oracle import dcmconv
from tests.support.rawscu import DEFLATED, inflate
from tests.support.strategies import datasets

_OPTIONS = st.sampled_from(["", "+te", "+tb", "+ti", "+td", "-u", "+g", "-g", "-e", "+te -e +g", "+ti -g -e",
                            "+tb +g", "+uc"])
_relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(datasets(), _OPTIONS, st.integers(1, 40))
@settings(_relaxed, max_examples=150)
def test_fragmentation_changes_nothing(drawn: tuple[str, bytes], words: str, size: int) -> None:
    syntax, dataset = drawn
    options = output_options(words)
    whole = rewritten(dataset, syntax, options)
    assert rewritten(dataset, syntax, options, pieces(dataset, size)) == whole


@pytest.fixture(scope="module")
def tiny_steps() -> Iterator[None]:
    """Let every step of the engine be about as long as an element."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "WINDOW", 24)
        patch.setattr(scan, "_STEPS", 0)
        for name in ("_STEP_OCTETS", "_CODED_OCTETS", "_DEFLATED_OCTETS"):
            patch.setattr(rewriter, name, 20)
        patch.setattr(deflate, "_STEP_OCTETS", 16)
        patch.setattr(deflate, "_DEFLATED_AT_ONCE", 16)
        patch.setattr(deflate, "_IN_MEMORY_OCTETS", 64)
        yield


@pytest.mark.usefixtures("tiny_steps")
@given(datasets(), _OPTIONS, st.integers(1, 400), st.lists(st.booleans(), min_size=1, max_size=12), st.booleans())
@settings(_relaxed, max_examples=300)
def test_interruptions_change_nothing(drawn: tuple[str, bytes], words: str, size: int, answers: list[bool],
                                      deflated: bool) -> None:
    syntax, dataset = drawn
    options = output_options(words)
    whole = rewritten(dataset, syntax, options)
    if deflated and syntax == ds.EXPLICIT:
        deflater = zlib.compressobj(wbits=-15)
        syntax, dataset = DEFLATED, deflater.compress(dataset) + deflater.flush()
        if options.transfer_syntax is None:
            whole = rewritten(dataset, syntax, options)
    enough = itertools.cycle(answers)
    result = rewritten_in_turns(dataset, syntax, options, size, lambda: next(enough))
    if DEFLATED in {options.transfer_syntax, syntax if options.transfer_syntax is None else ""}:
        result, whole = inflate(result), inflate(whole)
    assert result == whole


@given(datasets())
@settings(_relaxed, max_examples=150)
def test_rewriting_twice_changes_nothing_more(drawn: tuple[str, bytes]) -> None:
    syntax, dataset = drawn
    once = rewritten(dataset, syntax, OutputOptions())
    assert rewritten(once, syntax, OutputOptions()) == once


@pytest.mark.oracle
@given(datasets(), _OPTIONS)
@settings(_relaxed, max_examples=120)
def test_dcmconv_writes_the_same(drawn: tuple[str, bytes], words: str) -> None:
    syntax, dataset = drawn
    with tempfile.TemporaryDirectory() as directory:
        theirs = dcmconv(dataset, syntax, words.split(), Path(directory))
    ours = rewritten(dataset, syntax, output_options(words))
    if output_options(words).transfer_syntax == DEFLATED:
        assert theirs is not None
        theirs, ours = inflate(theirs), inflate(ours)
    assert theirs == ours
