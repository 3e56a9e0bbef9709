"""Logs of the running service: several processes, one log."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import FastscpServer, StorescpServer, free_port, wait_until

pytestmark = pytest.mark.oracle  # the clients are DCMTK's

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TCP_NODELAY": "1"}
LINE = re.compile(rb"[FEWIDT]: .*")


def associations(port, count=12):
    """Open ``count`` associations at once; all must succeed."""
    clients = [subprocess.Popen(["echoscu", "-aet", f"CLIENT{number}", "127.0.0.1", str(port)])
               for number in range(count)]
    assert [client.wait(30) for client in clients] == [0] * count


def test_lines_of_several_workers_stay_whole(tmp_path):
    with FastscpServer(["-d", "--workers", "3", "-od", tmp_path]) as server:
        associations(server.port)
        server.stop()
        lines = server.log().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    for number in range(12):
        assert sum(line.endswith(f": CLIENT{number} -> ANY-SCP".encode()) for line in lines) == 1


def test_quiet_service_says_nothing(tmp_path):
    with FastscpServer(["-q", "-od", tmp_path]) as server:
        associations(server.port, 2)
        server.stop()
        assert server.log() == b""


def test_json_lines_of_several_workers(tmp_path):
    with FastscpServer(["-v", "--log-json", "--workers", "3", "-od", tmp_path]) as server:
        associations(server.port)
        server.stop()
        entries = [json.loads(line) for line in server.log().splitlines()]
    received = [entry for entry in entries if entry["message"].startswith("Association Received")]
    assert len(received) == 12
    assert {entry["level"] for entry in entries} == {"info"}


def test_several_workers_share_the_file_of_a_configuration(tmp_path):
    (tmp_path / "log.cfg").write_text(f"""
        log4cplus.rootLogger = INFO, file
        log4cplus.appender.file = log4cplus::RollingFileAppender
        log4cplus.appender.file.File = {tmp_path}/${{appname}}.log
        log4cplus.appender.file.layout = log4cplus::PatternLayout
        log4cplus.appender.file.layout.ConversionPattern = %D{{%Y-%m-%d %H:%M:%S.%q}} %p %i %c: %m%n
    """)
    with FastscpServer(["-lc", tmp_path / "log.cfg", "--workers", "3", "-od", tmp_path]) as server:
        associations(server.port)
        server.stop()
        assert server.log() == b""
    (log,) = tmp_path.glob("*.log")
    lines = log.read_text().splitlines()
    shape = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO \d+ dcmtk\.\S+: .*")
    assert [line for line in lines if not shape.fullmatch(line)] == []
    assert sum("Association Received" in line for line in lines) == 12


def test_service_goes_on_when_nobody_reads_its_log_any_more(tmp_path):
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "fastscp", "-d", "-od", str(tmp_path), str(port)],
                               stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    try:
        process.stderr.readline()
        process.stderr.close()
        wait_until(lambda: subprocess.run(["echoscu", "127.0.0.1", str(port)], check=False).returncode == 0, "echo")
        associations(port, 3)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.parametrize("server", [FastscpServer, StorescpServer])
def test_port_in_use_is_an_error_and_ends_the_program(server, tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as busy:
        one = server(["-od", tmp_path])
        command = [*one.command(), *one.arguments, str(busy.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60,
                              env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match("E: .*ddress already in use", done.stderr)
