"""What the engine is made of: parts, not ancestors; small modules; no circle among them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from fastscp import dicom

ROOT = Path(dicom.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
TABLES = {"uids.py"}
_RECORDS = {"Protocol", "NamedTuple", "Exception", "enum.Enum"}


def _name(path: Path) -> str:
    return ".".join(("fastscp.dicom", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_classes_are_composed_and_not_inherited(path: Path) -> None:
    assert [node.name for node in _classes(path) if {ast.unparse(base) for base in node.bases} - _RECORDS] == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_and_classes_are_short(path: Path) -> None:
    if path.name not in TABLES:
        assert len(path.read_text().splitlines()) <= 350
    assert [node.name for node in _classes(path) if (node.end_lineno or 0) - node.lineno > 300] == []


def test_modules_do_not_import_in_a_circle() -> None:
    names = {_name(path): path for path in MODULES}
    edges: dict[str, set[str]] = {}
    for name, path in names.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        edges[name] = found & (set(names) - {"fastscp.dicom", "fastscp.dicom.engine", "fastscp.dicom.engine.recognise"})
    while free := {name for name, used in edges.items() if not used}:
        edges = {name: used - free for name, used in edges.items() if name not in free}
    assert edges == {}


def test_the_rest_of_the_program_knows_the_engine_by_its_facade() -> None:
    outside = [path for path in ROOT.parent.rglob("*.py") if ROOT not in path.parents]
    assert [str(path) for path in outside if "fastscp.dicom.engine" in path.read_text()] == []
