"""Data sets with storescp's recorded answers (3.6.7), replayed under several fragmentations.

Where ours differs on purpose, ``DIFFERENT`` says why.
"""

from __future__ import annotations

from typing import Any

import pytest

from fastscp.dicom.options import OutputOptions
from tests.corpus.record import OPTION_SETS, load
from tests.support.memory import outcome
from tests.support.options import output_options

CASES = load()

#: case: the status of ours, and why storescp's answer is not copied
DIFFERENT: dict[str, tuple[int, str]] = {
    "stray delim top": (0xC000, "storescp stores what precedes the delimiter and says Success"),
}

#: cases stored by both; under +g storescp's group length counts the value that is missing, ours does not
COUNTED = {"trailing header without value OB", "trailing header without value LT",
           "trailing large header without value", "trailing garbage of 8", "trailing garbage of 8 implicit",
           "trailing FF"}


def _replay(case: dict[str, Any], words: str) -> None:
    dataset = bytes.fromhex(case["input"])
    status, recorded = case["answers"][words]
    options: OutputOptions = output_options(words)
    ours = outcome(dataset, case["syntax"], options)
    for size in (1, 3, 16):
        assert outcome(dataset, case["syntax"], options, size) == ours, f"cut into pieces of {size}"
    if case["name"] in DIFFERENT:
        assert ours == DIFFERENT[case["name"]][0]
    elif status is None:
        assert isinstance(ours, int), "storescp aborts"
        assert ours >> 12 in {0xA, 0xC}
    elif isinstance(ours, int):
        assert ours == status
    elif case["name"] in COUNTED and "+g" in words:
        assert len(ours) == len(recorded) // 2
        assert ours.hex() != recorded
    else:
        assert ours.hex(" ", 2) == (dataset if recorded == "=" else bytes.fromhex(recorded or "")).hex(" ", 2)


@pytest.mark.parametrize("words", OPTION_SETS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]).replace(" ", "-"))
def test_answer_is_storescps(case: dict[str, Any], words: str) -> None:
    if words not in case["answers"]:
        pytest.skip("storescp does not negotiate this transfer syntax under these options")
    _replay(case, words)


def test_every_difference_is_one() -> None:
    names = {case["name"] for case in CASES}
    assert set(DIFFERENT) | COUNTED <= names
