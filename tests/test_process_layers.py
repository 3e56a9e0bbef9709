"""What the packages of the processes may know of each other; only ``service`` knows them all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fastscp

ROOT = Path(fastscp.__file__).parent

MAY_IMPORT = {
    "process": {"errors", "log"},
    "net": {"errors", "log", "config"},
    "tls": {"errors", "log", "config", "net"},
    "acceptor": {"errors", "log", "config", "access", "net", "process"},
}
#: these know nothing of each other
APART = ("worker", "coordinator", "acceptor")
#: functions that a process begins with; beside them nobody is handed the whole configuration
ROOTS = {
    "run.py": {"run", "completed", "serve", "acceptor_policy", "children", "run_worker"},
    "inetd.py": {"serve_descriptor", "run_coordinator"},
}


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imports(path):
    """Return the modules of ours that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.update(name for name in names if name.startswith("fastscp."))
    return {name for name in found if is_module(name)}


def is_module(name):
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_of_a_package(package):
    assert modules(package)
    used = {name.split(".")[1] for path in modules(package) for name in imports(path)}
    assert used - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("package", APART)
def test_processes_know_nothing_of_each_other(package):
    used = {name.split(".")[1] for path in modules(package) for name in imports(path)}
    assert used & set(APART) <= {package}


@pytest.mark.parametrize("package", ["process", "net", "tls", "acceptor", "service"])
def test_no_module_imports_itself_by_way_of_others(package):
    graph = {f"fastscp.{package}.{path.stem}": imports(path) for path in modules(package)}

    def reach(name, seen):
        for used in graph.get(name, ()):
            if used not in seen:
                seen.add(used)
                reach(used, seen)
        return seen

    assert [name for name in graph if name in reach(name, set())] == []


@pytest.mark.parametrize("path", [path for package in ("process", "net", "tls", "acceptor", "service") for path in modules(package)],
                         ids=lambda path: f"{path.parent.name}/{path.name}")
def test_whole_configuration_is_for_the_roots_of_processes(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    holders = {function.name for function in functions
               if any(isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Config"
                      for argument in (*function.args.args, *function.args.kwonlyargs))}
    assert holders <= (ROOTS.get(path.name, set()) if path.parent.name == "service" else set())
