"""Every target of ``scripts/fuzz``: on its seeds, on damaged seeds, and, where atheris is installed, guided by coverage.

FASTSCP_FUZZ_RUNS chooses how many; the seeds of what is random are fixed.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp import core
from tests.fuzz import lane
from tests.fuzz.found import FOUND
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS, seeds

RUNS = int(os.environ.get("FASTSCP_FUZZ_RUNS", "4000")) // 4
ROOT = Path(__file__).parents[2]


def test_every_target_has_seeds_and_a_place_for_what_is_found() -> None:
    assert set(FOUND) == {*TARGETS, "lane"}  # which is no target where the core is not compiled
    assert all(seeds(name) for name in TARGETS)
    assert len(seeds("datasets")) > 80, "pydicom's files among them"


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_was_found(name: str) -> None:
    for octets in seeds(name):
        TARGETS[name](octets)
    for _, octets in FOUND[name]:
        TARGETS[name](octets)


@pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")
def test_the_target_of_the_lane_leaves_nothing_open() -> None:
    some = list(seeds("lane"))[:4]
    for octets in some:
        lane.check(octets)
    before = len(os.listdir("/proc/self/fd"))
    for octets in some:
        lane.check(octets)
    assert len(os.listdir("/proc/self/fd")) < before + 4


@pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")
def test_the_lane_has_seeds_that_it_takes_and_others() -> None:
    taken = [lane.check(octets) for octets in seeds("lane")]
    assert sum(count > 0 for count in taken) > 20
    assert sum(count == 0 for count in taken) > 5
    assert max(taken) > 2 * len(lane.HEAD) + 2000, "two messages at once"


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_seeds(name: str) -> None:
    chance = random.Random(1)
    sources = seeds(name)
    for _ in range(RUNS // 2 if name == "datasets" else RUNS):
        TARGETS[name](mutated(chance.choice(sources), chance))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed (pip install -e '.[fuzz]')")
@pytest.mark.parametrize("name", TARGETS)
def test_guided_by_coverage(name: str, tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-m", "tests.fuzz", name, f"-runs={RUNS}", "-seed=1", f"-artifact_prefix={tmp_path}/"],
                         cwd=ROOT, capture_output=True, check=False, timeout=250)
    assert run.returncode == 0, run.stderr.decode("latin-1")[-3000:]
    assert b"Done " in run.stderr
    assert not list(tmp_path.iterdir())
