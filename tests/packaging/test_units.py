"""The units of docs/examples and the configuration that goes with them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.config.network import NetworkPolicy

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs" / "examples"
UNIT = (EXAMPLES / "systemd" / "fastscp.service").read_text(encoding="utf-8")
SERVICE = EXAMPLES / "service.toml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT, flags=re.MULTILINE)
    return value


def key(name: str) -> str:
    (value,) = re.findall(rf"^{name} = (.*)$", SERVICE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return value.strip('"')


def test_unit_leaves_the_time_that_a_drain_may_take() -> None:
    """Once for the associations and once for the hooks."""
    assert float(key("drain-timeout")) == NetworkPolicy().drain_timeout_s
    assert float(setting("TimeoutStopSec")) > 2 * NetworkPolicy().drain_timeout_s + 15


def test_unit_tells_systemd_what_it_has_to_know() -> None:
    assert (setting("Type"), setting("NotifyAccess"), setting("KillMode")) == ("notify", "main", "mixed")
    assert float(setting("WatchdogSec")) > 0
    assert setting("ExecStart").split() == ["/usr/local/bin/fastscp", "--config", "/etc/fastscp/fastscp.toml"]


def test_what_the_configuration_writes_to_is_what_the_unit_makes() -> None:
    made = {f"/var/lib/{name}" for name in setting("StateDirectory").split()} | {f"/var/log/{setting('LogsDirectory')}"}
    assert {key("output-directory"), key("state-dir")} <= made
    assert re.search(r'^#event-log = "/var/log/fastscp/', SERVICE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert key("metrics") == "127.0.0.1:9100"  # what fastscp-top and the health check of the image ask


@pytest.mark.parametrize("everything", [False, True], ids=["as it is", "with what is offered in comments"])
def test_configuration_is_accepted(tmp_path: Path, everything: bool) -> None:
    text = SERVICE.read_text(encoding="utf-8").replace("/var/lib/fastscp", str(tmp_path)).replace("/var/log/fastscp", str(tmp_path))
    if everything:
        text = re.sub(r"^#(?=[\w-]+ = )", "", text, flags=re.MULTILINE).replace("/usr/local/bin/study-is-here", "/bin/true")
    (tmp_path / "received").mkdir()
    (tmp_path / "state").mkdir()
    file = tmp_path / "fastscp.toml"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "fastscp", "--config", file, "--check-config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("exec-on-eostudy" in text.replace("#exec-on-eostudy", "")) == everything


def test_lines_that_operations_shows_are_those_of_the_unit() -> None:
    (shown,) = re.findall(r"^```ini\n\[Service\]\n(.*?)^```", OPERATIONS, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip() for line in shown.splitlines()]
    assert len(lines) >= 6
    assert [line for line in lines if line not in UNIT.splitlines()] == []


@pytest.mark.parametrize("unit", ["fastscp.service", "fastscp.socket", "fastscp-inetd.socket"])
def test_systemd_understands_the_unit(tmp_path: Path, unit: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for path in (EXAMPLES / "systemd").iterdir():
        text = path.read_text(encoding="utf-8").replace("/usr/local/bin/fastscp", "/bin/true").replace("man:fastscp(1)", "man:true(1)")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / unit], capture_output=True, text=True, check=False)
    if "Failed to" in done.stderr and str(tmp_path) not in done.stderr:
        pytest.skip(f"systemd-analyze does not work here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) not in done.stderr, done.stderr
