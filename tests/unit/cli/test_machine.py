"""On the wrong machine every program ends with one line that says so."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.cli import machine

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("platform", "python", "complaint"), [
    ("linux", (3, 10), ""), ("linux", (3, 15), ""), ("linux", (4, 0), ""),
    ("darwin", (3, 12), "runs on Linux only, not on darwin"),
    ("linux", (3, 9), "needs Python 3.10 or later, this is 3.9"),
])
def test_complaint(platform, python, complaint):
    assert machine.complaint(platform, python) == complaint


@pytest.mark.parametrize("program", ["fastscp", "fastscp.cli.main", "fastscp.cli.conv"])
def test_elsewhere_the_message_comes_before_any_import_that_could_fail(program):
    code = ("import runpy, sys; sys.platform = 'darwin'\n"
            "try: runpy.run_module(sys.argv[1], run_name='__main__')\n"
            "except SystemExit as end: print(end.code)\n"
            "print(*sorted(name for name in sys.modules if name.startswith('fastscp')))")
    done = subprocess.run([sys.executable, "-c", code, program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["fastscp: runs on Linux only, not on darwin", "fastscp fastscp.cli.machine fastscp.lazy"]


@pytest.mark.parametrize("name", ["__init__.py", "__main__.py", "cli/__init__.py", "cli/machine.py"])
def test_older_pythons_understand_what_precedes_the_message(name):
    tree = ast.parse((ROOT / "fastscp" / name).read_text(encoding="utf-8"), feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
