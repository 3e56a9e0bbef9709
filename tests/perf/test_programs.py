"""Every program of perf/, in a run of seconds: it ends well, and what it prints and writes has its shape."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perf import paced
from perf.peers import dcmtk
from perf.report import FIGURES
from tests.support.balancer import needed as haproxy_needed
from tests.support.postgres import needed as postgres_needed

ROOT = Path(__file__).parents[2]
PROGRAMS = {path.stem for path in (ROOT / "perf").glob("*.py") if path.read_text().startswith("#!")} | {"compare"}
TRIED = {"bench", "compare", "coordinator", "durability", "fleet", "ingest", "plans", "plot", "profiled", "quarantine", "receivers", "rewrite",
         "simulation", "startup", "wire"}

pytestmark = pytest.mark.slow
beside_storescp = pytest.mark.oracle


def run(program: str, *arguments: object) -> str:
    done = subprocess.run([sys.executable, ROOT / "perf" / program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def table(text: str) -> list[dict[str, str]]:
    """Read the first Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(lines[0], line, strict=False)) for line in lines[2:]]


def bench(tmp_path: Path, *arguments: object) -> dict[str, object]:
    path = tmp_path / "result.json"
    text = run("bench.py", *arguments, "--rounds", 1, "--json", path, "--svg", tmp_path / "plot.svg", "--directory", tmp_path)
    found = json.loads(path.read_text())
    assert table(text)
    assert "</svg>" in (tmp_path / "plot.svg").read_text()
    for row in found["rows"]:
        assert len(row["rounds"]) == 1
        assert set(row["rounds"][0]) == set(FIGURES)
        assert all(value >= 0 for value in row["rounds"][0].values())
        assert row["rounds"][0]["peak_mb"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.svg", "result.json"], "every server's directory was removed"
    return found


def servers(found: dict[str, object]) -> list[str]:
    return [row["server"] for row in found["rows"]]


def test_every_program_is_tried_here() -> None:
    assert PROGRAMS == TRIED


@beside_storescp
def test_bench_with_every_server(tmp_path: Path) -> None:
    found = bench(tmp_path, "mr", "--objects", 16)
    assert {"fastscp", "fastscp +B", "storescp", "storescp +B", "dcmrecv", "dcmrecv +B", "pynetdicom"} <= set(servers(found))
    left_out = {skipped["server"] for skipped in found["skipped"]}
    assert set(servers(found)) | left_out == {"fastscp", "fastscp +B", "storescp", "storescp +B", "dcmrecv", "dcmrecv +B", "pynetdicom",
                                              "orthanc", "floor"}


@beside_storescp
@pytest.mark.parametrize(("row", "objects"), [
    ("each-sr", 8), ("enhanced-ti", 4), ("4mb", 4), ("sorted-hooked-mr", 8), ("events-mr", 8), ("tls-mr", 8), ("mixed", 16)])
def test_bench_of_each_kind_of_row(tmp_path: Path, row: str, objects: int) -> None:
    row = "tls-4mb" if row == "4mb" else row
    found = bench(tmp_path, row, "--objects", objects)
    assert len(servers(found)) >= 2
    assert {entry["row"] for entry in found["rows"]} == {row}


def test_bench_waits_for_the_ends_of_studies(tmp_path: Path) -> None:
    found = bench(tmp_path, "sorted-sr", "--objects", 8, "--peers", "fastscp")
    assert servers(found) == ["fastscp"]


def test_bench_with_senders_idle_associations_and_an_earlier_checkout(tmp_path: Path) -> None:
    found = bench(tmp_path, "idle-1000", "--objects", 16, "--senders", "1,2", "--peers", "fastscp", "--before", ROOT)
    assert [(row["row"], row["server"], row["senders"]) for row in found["rows"]] == [
        (f"idle-1000 x{n}", server, n) for n in (1, 2) for server in ("fastscp", "before: fastscp")]


def test_bench_counts_system_calls_or_says_why_not(tmp_path: Path) -> None:
    found = bench(tmp_path, "sr", "--objects", 40, "--calls", "--peers", "fastscp")
    (row,) = found["rows"]
    assert row["calls"]["per_object"] > 1 if row["calls"] else found["skipped"][0]["why"].startswith("system calls: ")


def test_bench_with_a_paced_network_or_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    run("bench.py", "paced-mr", "--objects", 8, "--rounds", 1, "--json", path, "--peers", "fastscp", "--directory", tmp_path)
    found = json.loads(path.read_text())
    assert servers(found) == ([] if paced.why_not() else ["fastscp"])
    assert bool(found["skipped"]) == bool(paced.why_not())


def test_bench_lists_its_rows_and_refuses_others() -> None:
    assert "sorted-mr" in run("bench.py", "--list")
    for wrong in (["nothing"], ["mr", "--peers", "nobody"]):
        done = subprocess.run([sys.executable, ROOT / "perf/bench.py", *wrong], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "--list" in done.stderr or "nobody" in done.stderr


@beside_storescp
def test_coordinator() -> None:
    found = table(run("coordinator.py", "--rounds", 1, "--objects", 8))
    assert {row["mode"] for row in found} == {"plain", "-su P", "--event-log", "-xcr true", "-su P -xcr true"}
    assert len(found) == 9


def test_durability(tmp_path: Path) -> None:
    found = table(run("durability.py", "--rounds", 1, "--objects", 16, "--directory", tmp_path))
    assert len(found) == 12
    assert {row["beside none"] for row in found if row["`--sync`"] == "none"} == {"1.00"}


def test_fleet(tmp_path: Path) -> None:
    haproxy_needed()
    postgres_needed()
    text = run("fleet.py", "--rounds", 1, "--gateways", 2, "--load", "sr", "--traffic-studies", 3, "--objects", 6, "--idle", 1, "--studies", 0,
               "--directory", tmp_path, "--json", tmp_path / "f.json")
    assert [row["for each object"] for row in table(text)][:3] == ["alone", "alone behind haproxy", "fleet of 2"]
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["rounds"]["alone"]["statements"] == 0
    assert found["rounds"]["fleet of 2"]["rows"] > 1
    assert all(value > 0 for key, value in found["costs"].items() if key != "object_us")
    assert {"INSERT objects", "UPDATE studies", "UPDATE gateways"} <= {kind["name"] for kind in found["statements"]}


def test_fleet_with_kills(tmp_path: Path) -> None:
    """One study through three gateways ends once, whatever dies: haproxy and the object store, too."""
    haproxy_needed()
    postgres_needed()
    text = run("fleet.py", "--kills", "--object-store", "--seed", 12, "--studies", 6, "--directory", tmp_path)
    assert text.startswith("6 studies, ")
    assert ", 8 ends, " in text
    assert text.endswith(" 0 faults\n")


def test_ingest() -> None:
    found = table(run("ingest.py", "--rounds", 1, "--objects", 8, "--loads", "sr"))
    assert [row["what"] for row in found] == ["cp -r", "ingest", "ingest +B", "ingest -su", "network", "network -su"]


def test_quarantine() -> None:
    lines = run("quarantine.py", "--rounds", 1, "--objects", 2).splitlines()
    assert [line.split()[0] for line in lines] == ["load", "SR", "MR", "CT"]


@beside_storescp
def test_receivers() -> None:
    found = table(run("receivers.py", "--rounds", 1, "--objects", 8, "--loads", "sr", "--receivers", "fastscp,storescp --fork"))
    assert [row["receiver"] for row in found] == ["fastscp", "storescp --fork"]
    assert all(float(row["objects/s"]) > 0 for row in found)


@beside_storescp
def test_rewrite_beside_storescp(tmp_path: Path) -> None:
    run("rewrite.py", "--rounds", 1, "--objects", 2, "--loads", "sequences", "--options=+te", "--json", tmp_path / "r.json")
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert set(row) == {"load", "options", "fastscp_us", "storescp_us", "ratio"}


def test_rewrite_of_the_engine_alone(tmp_path: Path) -> None:
    run("rewrite.py", "--engine", "--loads", "enhanced", "--options=+ti", "--json", tmp_path / "r.json")
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["engine_us"] > 0


def test_simulation() -> None:
    found = table(run("simulation.py", "--gateways", 3, "--associations", 6, "--parts", 2, "--objects", 2, "--limits", "2,4"))
    assert [row[""] for row in found] == ["2 gateways", "4 gateways"]


def test_startup(tmp_path: Path) -> None:
    found = table(run("startup.py", "--rounds", 1, "--json", tmp_path / "s.json"))
    assert [row["server"] for row in found][:2] == ["fastscp", "fastscp pure"]
    assert dcmtk("storescp") == "" or found[2]["server"] == "storescp"
    assert set(json.loads((tmp_path / "s.json").read_text())["milliseconds"]["fastscp"]) == {"version", "listening"}


def test_wire() -> None:
    assert json.loads(run("wire.py", "--read", 65536))["pdvs"] == 3


def test_plot_and_compare_of_one_result(tmp_path: Path) -> None:
    bench(tmp_path, "sr", "--objects", 8, "--peers", "fastscp")
    result = tmp_path / "result.json"
    assert run("plot.py", result, "--figure", "p99_ms", "--peer", "fastscp").count("<rect") == 2
    assert run("compare", result, result).rstrip().endswith("0 worse, 0 better, 0 noise, 6 same")


def test_profile_has_a_table_for_each_process(tmp_path: Path) -> None:
    text = run("profiled.py", "sorted-sr", "--objects", 8, "--lines", 5, "--keep", tmp_path)
    assert {line.split("-")[0].split()[1] for line in text.splitlines() if line.startswith("== ")} >= {"worker", "coordinator"}
    assert "function calls" in text
    assert list(tmp_path.glob("worker*.pstats"))


@pytest.mark.skipif(shutil.which("perf") is None or os.geteuid() != 0, reason="needs perf and root")
def test_profile_with_perf() -> None:
    assert run("profiled.py", "sr", "--objects", 400, "--with", "perf")


def test_each_statement_of_a_fleet_finds_its_rows_by_an_index(tmp_path: Path) -> None:
    """With as many rows as a test has time for; ``perf/plans.py`` fails for a statement that reads a big table from end to end."""
    postgres_needed()
    path = tmp_path / "plans.json"
    rows = table(run("plans.py", "--objects", 60_000, "--json", path))
    assert [row["what"] for row in rows][:2] == ["a gateway registers", "256 new objects are shipped"]
    found = json.loads(path.read_text())
    said = " ".join(statement["text"] for statement in found["statements"])
    for name in ("shipping", "ending", "outbox", "consuming", "retention"):  # every statement, but for those of schemas and locks
        source = (ROOT / "fastscp" / "fleet" / f"{name}.py").read_text()
        assert all(f"fastscp.{table}" in said for table in re.findall(r"(?:FROM|INTO|UPDATE) fastscp\.(\w+)", source))
    assert {"objects_pkey", "studies_due", "studies_quiet", "ends_waiting", "ends_leased", "outbox_pkey"} <= {
        name for statement in found["statements"] for name in statement["reads"]}
    assert {size["name"] for size in found["sizes"]} >= {"objects", "objects_pkey", "studies"}
