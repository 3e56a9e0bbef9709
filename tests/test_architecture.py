"""The layers of docs/architecture.md: who may import whom, what pure packages stay away from, how long a module is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import fastscp

ROOT = Path(fastscp.__file__).parent
DOCUMENT = ROOT.parent / "docs" / "architecture.md"
MODULES = sorted(ROOT.rglob("*.py"))

#: what a pure package reaches the world with: time comes in as an argument, facts go out as return values
OUTSIDE = {"socket", "select", "selectors", "signal", "os", "time", "logging", "threading", "subprocess",
           "multiprocessing", "sqlite3", "asyncio"}
LONGEST_MODULE = 350
LONGEST_CLASS = 300
#: modules that are data: one table each
TABLES = {"dicom/uids.py"}


def table() -> dict[str, tuple[set[str], bool]]:
    """Read the table of packages: name -> (packages it may import, whether it is pure)."""
    found = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and re.fullmatch(r"`[a-z]+`", cells[0]):
            found[cells[0].strip("`")] = set(re.findall(r"`([a-z]+)`", cells[3])), cells[4] == "pure"
    return found


TABLE = table()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in MODULES}


def imports(path: Path) -> set[str]:
    """Return the names of every module that ``path`` imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in NAMES else node.module)
    return found


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_the_table_names_every_package_and_no_other() -> None:
    packages = {package_of(path) for path in MODULES} - {"__init__", "__main__"}
    assert set(TABLE) == packages
    assert len(MODULES) > 100


def test_nothing_in_the_table_points_upward() -> None:
    """A package may import what stands above it in the table: no circle is possible."""
    order = list(TABLE)
    for package, (may_import, _) in TABLE.items():
        assert may_import <= set(order[: order.index(package)]), package


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_what_its_package_may(path: Path) -> None:
    package = package_of(path)
    if package in {"__init__", "__main__"}:
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("fastscp.") and name in NAMES}
    assert used - {package} <= TABLE[package][0]


def test_no_import_goes_round_in_a_circle() -> None:
    graph = {module_name(path): {name for name in imports(path) if name in NAMES} - {module_name(path)}
             for path in MODULES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("path", [path for path in MODULES if TABLE.get(package_of(path), (set(), False))[1]],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_packages_touch_nothing_outside(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & OUTSIDE == set()


def test_the_receive_path_never_imports_pydicom() -> None:
    users = [str(path.relative_to(ROOT)) for path in MODULES
             if any(name.split(".")[0] in {"pydicom", "pynetdicom"} for name in imports(path))]
    assert users == ["study/transliterate.py"]  # only with --transliterate-names, in the coordinator


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_or_class_has_two_jobs(path: Path) -> None:
    """What has outgrown one sentence is found by its length."""
    text = path.read_text(encoding="utf-8")
    if str(path.relative_to(ROOT)) not in TABLES:
        assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_CLASS, node.name


#: what a process begins with, or puts one together; beside these nobody is handed the whole configuration
ROOTS_OF_PROCESSES = {
    "service/run.py": {"run", "completed", "serve", "acceptor_policy", "children", "run_worker", "preload"},
    "service/trial.py": {"try_out", "_check_paths"},
    "service/inetd.py": {"serve_descriptor", "run_coordinator", "start_coordinator"},
}


@pytest.mark.parametrize("path", [path for path in MODULES if package_of(path) in {"process", "net", "tls", "acceptor", "service"}],
                         ids=lambda path: str(path.relative_to(ROOT)))
def test_the_whole_configuration_is_for_the_roots_of_processes(path: Path) -> None:
    holders = {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
               if any(isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Config"
                      for argument in (*node.args.args, *node.args.kwonlyargs))}
    assert holders <= ROOTS_OF_PROCESSES.get(str(path.relative_to(ROOT)), set())
