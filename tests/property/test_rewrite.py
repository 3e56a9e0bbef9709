"""Random data sets: fragmentation changes nothing, rewriting twice changes nothing more, and the real
dcmconv writes the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastscp.dicom.options import OutputOptions
from tests.support.memory import pieces, rewritten
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
