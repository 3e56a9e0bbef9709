"""The completion for bash, run in bash."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fastscp.cli import studies
from fastscp.cli.completion import bash_completion, zsh_completion
from fastscp.cli.completion_studies import studies_bash_completion, studies_zsh_completion
from fastscp.cli.options import OPTIONS

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


def completions(directory, *line):
    """What bash offers for the last word of ``line``."""
    words = " ".join(f"'{word}'" for word in ("fastscp", *line))
    script = f"{bash_completion()}\nCOMP_WORDS=({words}); COMP_CWORD={len(line)}; _fastscp; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=directory)
    return sorted(done.stdout.split())


@pytest.mark.parametrize(("line", "expected"), [
    (["--exec-on"], ["--exec-on-eoseries", "--exec-on-eostudy", "--exec-on-reception"]),
    (["+x4"], ["+x4"]),
    (["-v", "-ll", "f"], ["fatal"]),
    (["--on-late", ""], ["append", "new-study"]),
    (["-lc", "f"], ["file.cfg", "folder"]),
    (["-od", "f"], ["folder"]),
    (["+tls", "f"], ["file.cfg", "folder"]),
    (["+tls", "key", "file"], ["file.cfg"]),
    (["@fi"], ["@file.cfg"]),
    (["-ta", ""], []),
    (["-ta", "-"], []),
    (["111"], []),
])
def test_bash(tmp_path, line, expected):
    (tmp_path / "file.cfg").touch()
    (tmp_path / "folder").mkdir()
    assert completions(tmp_path, *line) == expected


def test_bash_offers_every_flag(tmp_path):
    offered = completions(tmp_path, "-") + completions(tmp_path, "+")
    assert sorted(offered) == sorted(flag for option in OPTIONS for flag in option.flags)


def test_zsh_names_every_flag_once():
    specifications = [line for line in zsh_completion().splitlines() if line.startswith("    '") and "1:port" not in line]
    assert len(specifications) == sum(len(option.flags) for option in OPTIONS)


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_manual_page_can_be_read():
    page = Path(__file__).parents[3] / "docs" / "fastscp.1"
    done = subprocess.run(["man", "--warnings", "-l", str(page)], capture_output=True, text=True, check=True,
                          env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8", "PAGER": "cat"})
    assert done.stderr == ""
    assert "-ll, --log-level level" in done.stdout
    assert "+x=, --prefer-uncompr" in done.stdout


@pytest.mark.parametrize(("line", "expected"), [
    (["re"], ["retry"]), (["retry", ""], ["all"]), (["-od", "f"], ["folder"]), (["--state-dir", ""], ["folder"]),
    (["--j"], ["--json"]), (["failed", "-o"], ["-od"]),
])
def test_bash_of_studies(tmp_path, line, expected):
    (tmp_path / "folder").mkdir()
    words = " ".join(f"'{word}'" for word in ("fastscp-studies", *line))
    script = (f"{studies_bash_completion()}\nCOMP_WORDS=({words}); COMP_CWORD={len(line)}; _fastscp_studies; "
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert sorted(done.stdout.split()) == expected


def test_zsh_of_studies_names_every_flag():
    text = studies_zsh_completion()
    assert all(f"'{flag}[" in text for short, long, _, _ in studies.OPTIONS for flag in (short, long) if flag)
