"""Alert rules and dashboard of docs/examples/monitoring: they are valid, and ask for metrics that there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastscp.metrics.table import METRICS, Kind
from tests.support.metrics import Scraper
from tests.support.servers import FastscpServer, free_port, wait_until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples" / "monitoring"
RULES = EXAMPLES / "fastscp-alerts.yml"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None and not os.environ.get("CI"),
                                    reason="needs promtool (apt-get install prometheus)")
SERVED = {name for metric in METRICS for name in (
    [f"{metric.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")] if metric.kind is Kind.HISTOGRAM else [metric.exposed])}
LABELS = {label for metric in METRICS for label in metric.labels} | {"le", "instance", "job"}


def expressions() -> list[str]:
    dashboard = json.loads((EXAMPLES / "fastscp-dashboard.json").read_text(encoding="utf-8"))
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [*found, *re.findall(r"expr:(?: >\n)?(.*?)\n\s+(?:for|labels):", RULES.read_text(encoding="utf-8"), flags=re.DOTALL)]


def promtool(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, arguments)], input=text, capture_output=True, text=True, timeout=60, check=False,
                          cwd=EXAMPLES)


def test_only_metrics_that_are_served_are_asked_for() -> None:
    assert len(expressions()) > 30
    for expression in expressions():
        assert set(re.findall(r"fastscp_\w+", expression)) <= SERVED, expression
        assert {label for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(", ")} <= LABELS, expression


def test_panels_do_not_lie_over_each_other() -> None:
    panels = json.loads((EXAMPLES / "fastscp-dashboard.json").read_text(encoding="utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@pytest.mark.slow
@needs_promtool
def test_rules_are_valid_and_fire_when_they_should() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", "fastscp-alerts-test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@needs_promtool
def test_panels_ask_in_the_language_of_prometheus(tmp_path: Path) -> None:
    rules = {"groups": [{"name": "panels", "rules": [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, expression in enumerate(expressions())]}]}
    (tmp_path / "panels.yml").write_text(json.dumps(rules))
    done = promtool("check", "rules", tmp_path / "panels.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@needs_promtool
def test_what_is_served_pleases_promtool(tmp_path: Path) -> None:
    port = free_port()
    with FastscpServer(["--workers", "1", "--metrics", str(port), "-od", tmp_path]):
        wait_until(lambda: Scraper(port).get("/readyz")[0] == 200, "ready")
        text = Scraper(port).get("/metrics")[1].decode()
    done = promtool("check", "metrics", text=text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None and not os.environ.get("CI"), reason="needs Prometheus")
def test_a_real_prometheus_scrapes_it(tmp_path: Path) -> None:
    port, own = free_port(), free_port()
    (tmp_path / "in").mkdir()
    (tmp_path / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s"}, "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "fastscp", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}))
    with FastscpServer(["--workers", "1", "--metrics", str(port), "-od", tmp_path / "in"]):
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address=127.0.0.1:{own}",
                                        f"--storage.tsdb.path={tmp_path / 'data'}"], stdout=log, stderr=log)
        try:
            server = Scraper(own)

            def scraped() -> bool:
                try:
                    found = server.json("/api/v1/query?query=fastscp_receiving")
                except (OSError, ValueError):
                    return False
                return bool([one for one in found["data"]["result"] if one["value"][1] == "1"])

            wait_until(scraped, "Prometheus has scraped", 60.0)
            (target,) = server.json("/api/v1/targets")["data"]["activeTargets"]
            assert target["health"] == "up"
        finally:
            process.terminate()
            process.wait(30)
