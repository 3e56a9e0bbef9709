"""Layers: who may import whom, and what pure packages stay away from."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fastscp

ROOT = Path(fastscp.__file__).parent

#: package -> packages it may import (itself always)
MAY_IMPORT = {
    "errors": set(),
    "ul": {"errors"},
    "dicom": {"errors"},
    "dimse": {"errors", "ul", "dicom"},
    "study": {"errors"},
    "access": {"errors"},
    "store": {"errors", "dicom"},
    "log": {"errors"},
    "config": {"errors", "ul", "dicom", "store", "study", "access", "log", "proc"},
    "proc": {"errors", "ul", "dicom", "dimse", "study", "access", "store", "log", "config"},
    "cli": {"errors", "ul", "dicom", "dimse", "study", "access", "store", "log", "config", "proc"},
}
#: modules of pure packages that do touch the outside, each for its one reason
TOUCHES_OUTSIDE = {
    "dicom/dictionary.py": "dictionaries are files",
    "access/rules.py": "the tables of hosts_access(5) are files",
}
OUTSIDE = {"socket", "select", "selectors", "signal", "os", "time", "logging", "threading", "subprocess", "multiprocessing"}
PURE = {"ul", "dicom", "dimse", "study", "access", "errors"}

MODULES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Return the names of every module that ``path`` imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 40
    assert {package_of(path) for path in MODULES} >= set(MAY_IMPORT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_points_upward(path: Path) -> None:
    package = package_of(path)
    if package in {"__init__", "__main__"}:
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("fastscp.") and name.count(".") >= 1}
    used = {name for name in used if (ROOT / name).exists() or (ROOT / f"{name}.py").exists()}
    if package == "config":  # composes policies: of proc it may take nothing else
        assert {name for name in imports(path) if name.startswith("fastscp.proc")} <= {
            name for name in imports(path) if name.startswith("fastscp.config.network")}
    assert used - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("path", [path for path in MODULES if package_of(path) in PURE],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_packages_touch_nothing_outside(path: Path) -> None:
    if str(path.relative_to(ROOT)) in TOUCHES_OUTSIDE:
        return
    assert {name.split(".")[0] for name in imports(path)} & OUTSIDE == set()


def test_the_receive_path_never_imports_pydicom() -> None:
    users = [str(path.relative_to(ROOT)) for path in MODULES
             if any(name.split(".")[0] in {"pydicom", "pynetdicom"} for name in imports(path))
             and path.name != "transliterate.py"]  # only with --transliterate-names, in the coordinator
    assert users == []


def test_no_module_has_two_jobs() -> None:
    """A module that has outgrown one sentence is found by its length; tables of data are exempt."""
    tables = {"dicom/uids.py", "cli/options_general.py", "cli/options_output.py"}
    long = [str(path.relative_to(ROOT)) for path in MODULES
            if len(path.read_text().splitlines()) > 450 and str(path.relative_to(ROOT)) not in tables]
    assert long == []
