"""fastscp-blast against the Storage SCPs of others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.blast import blast
from tests.support.receivers import RECEIVERS, has_dcmrecv, orthanc

WANTED = {"Orthanc": orthanc, "dcmrecv": has_dcmrecv}


@pytest.mark.oracle
@pytest.mark.slow
@pytest.mark.parametrize("name", RECEIVERS)
def test_every_receiver_keeps_what_it_acknowledges(tmp_path: Path, name: str) -> None:
    if not WANTED.get(name, lambda: True)():
        if os.environ.get("CI"):
            pytest.fail(f"in CI {name} must be there")
        pytest.skip(f"{name} is not installed")
    directory = tmp_path / "in"
    directory.mkdir()
    with RECEIVERS[name](directory) as server:
        for load in ("sr", "enhanced"):
            run = blast(tmp_path, server.port, "--load", load, "--studies", 2, "--series", 2, "--objects", 5, "--associations", 2,
                        "--objects-per-association", 5, "--verify", directory)
            assert run.status == 0, run.output + run.errors
            assert (run.result["objects"], run.result["associations"]) == (20, 4)
            assert run.result["verified"][str(directory)]["found"] == 20
