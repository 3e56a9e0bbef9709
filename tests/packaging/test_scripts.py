"""Every program of scripts/ and perf/ says what it is for, and a checkout's commands can be linked where others find them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK))
PROGRAMS = sorted(path for path in (ROOT / "perf").iterdir()
                  if path.suffix in {"", ".py"} and path.is_file() and '__name__ == "__main__"' in path.read_text(encoding="utf-8"))
#: prints the help of a module, from the environment that it makes first
MAKES_ITS_ENVIRONMENT = {"fleet", "profile", "soak"}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **environment})


def test_there_are_programs() -> None:
    assert {"build-deb", "check", "serve", "test"} <= {path.name for path in SCRIPTS}
    assert {"bench.py", "compare", "keeper.py"} <= {path.name for path in PROGRAMS}


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.name not in MAKES_ITS_ENVIRONMENT], ids=lambda path: path.name)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_scripts_say_what_they_are_for(script: Path, option: str, tmp_path: Path) -> None:
    """Without making or installing anything; -h of serve is storescp's."""
    if (script.name, option) == ("serve", "-h"):
        return
    first = [sys.executable] if script.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3") else []
    done = run(*first, script, option, FASTSCP_VENV=str(tmp_path / "venv"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 2
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("script", sorted(MAKES_ITS_ENVIRONMENT))
def test_scripts_that_hand_help_on(script: str) -> None:
    text = (ROOT / "scripts" / script).read_text(encoding="utf-8")
    module, = re.findall(r'exec "\$python" (?:-m ([\w.]+)|"\$root/([\w/.]+)") "\$@"', text)
    done = run(sys.executable, *(["-m", module[0]] if module[0] else [ROOT / module[1]]), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_measurements_say_what_they_measure(program: Path) -> None:
    done = run(sys.executable, program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 2


@pytest.mark.parametrize("program", [path for path in PROGRAMS if path.name != "keeper.py"], ids=lambda path: path.name)
def test_measurements_say_which_python_they_need(program: Path) -> None:
    done = run(sys.executable, "-S", "-E", program, "--help")  # without what is installed
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.match(rf"{program} needs orjson, .*pydicom.*, which .* has not got", done.stderr)


def test_no_document_says_python() -> None:
    """Debian has no such command without python-is-python3, and an environment has both."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "perf").iterdir()]
    said = [(page.name, line) for page in pages if page.is_file()
            for line in page.read_text(encoding="utf-8").splitlines() if re.search(r"(?<![\w/.])python (perf/|-m |-c )", line)]
    assert said == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with an environment that was made before."""
    (tmp_path / "scripts").mkdir()
    for name in ("serve", "environment"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts" / name)
    for name in ("setup.cfg", "pyproject.toml", "fastscp/_core.pyx", "fastscp/_files.pxi", "fastscp/_walk.pxi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    for name in ("fastscp", "fastscp-top"):
        (binaries / name).write_text(f"#!/bin/sh\necho {name}\n", encoding="utf-8")
        (binaries / name).chmod(0o755)
    # what make_environment compares with
    wanted = run("sh", "-c", 'cd "$0" && cat setup.cfg pyproject.toml fastscp/_core.pyx fastscp/_*.pxi | cksum', tmp_path).stdout
    (tmp_path / ".venv" / ".installed").write_text(wanted, encoding="utf-8")
    return tmp_path


def test_commands_of_a_checkout_are_linked_and_unlinked(checkout: Path) -> None:
    place = checkout / "bin"
    for _ in range(2):  # again is as good as once
        done = run(checkout / "scripts/serve", "--install", place, FASTSCP_VENV="", PATH=f"{place}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        assert "not in PATH" not in done.stderr
        assert sorted(path.name for path in place.iterdir()) == ["fastscp", "fastscp-top"]
        assert run(place / "fastscp-top").stdout == "fastscp-top\n"
    (place / "fastscp-other").write_text("", encoding="utf-8")
    assert run(checkout / "scripts/serve", "--uninstall", place, FASTSCP_VENV="").returncode == 0
    assert [path.name for path in place.iterdir()] == ["fastscp-other"]


def test_commands_of_others_are_not_replaced(checkout: Path) -> None:
    place = checkout / "bin"
    place.mkdir()
    (place / "fastscp-top").write_text("another one", encoding="utf-8")
    done = run(checkout / "scripts/serve", "--install", place, FASTSCP_VENV="")
    assert done.returncode == 1
    assert "fastscp-top is there already" in done.stderr
    assert [path.name for path in place.iterdir()] == ["fastscp-top"]  # nothing by halves
    assert (place / "fastscp-top").read_text(encoding="utf-8") == "another one"


def test_a_place_that_is_not_searched_is_told(checkout: Path) -> None:
    done = run(checkout / "scripts/serve", "--install", checkout / "bin", FASTSCP_VENV="")
    assert "not in PATH" in done.stderr
