"""``fastscp-… | head``: a reader that has read enough is no failure, of no command; an output that is closed is one without a traceback."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from tests.unit.cli.test_top import STATUS

ROOT = Path(__file__).parent.parent.parent


def commands() -> dict[str, str]:
    """Return the module of each command that is installed."""
    text = (ROOT / "setup.cfg").read_text(encoding="utf-8").partition("console_scripts =\n")[2]
    return {name.strip(): module.strip().removesuffix(":main") for name, _, module in (line.partition("=") for line in text.splitlines())}


COMMANDS = commands()


def run(command: str, arguments: Sequence[str], *, closed: bool = False) -> tuple[int, str]:
    """Run a command whose output nobody reads, or is closed; return its status and what it complained of."""
    reader, writer = os.pipe()
    os.close(reader)
    line = [sys.executable, "-m", COMMANDS[command], *arguments]
    try:
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *line] if closed else line, stdout=writer, stderr=subprocess.PIPE,
                              text=True, check=False, timeout=60)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


def test_every_command_is_tried() -> None:
    assert {"fastscp", "fastscp-conv", "fastscp-top"} <= set(COMMANDS)
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nobody_reads_on(command: str, option: str) -> None:
    assert run(command, [option]) == (0, "")


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"fastscp-events", "fastscp-top"}))  # which do not print it
def test_nobody_reads_the_help_of_a_command_without_arguments(command: str) -> None:
    assert run(command, []) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_output_is_closed(command: str) -> None:
    assert run(command, ["--help"], closed=True) == (1, "")


@pytest.mark.parametrize("arguments", [["--print-config", "11112"], ["--list-ciphers"], ["--list-profiles"]], ids=lambda words: words[0])
def test_nobody_reads_what_the_service_prints(arguments: list[str]) -> None:
    assert run("fastscp", arguments) == (0, "")


class _Status(http.server.BaseHTTPRequestHandler):
    """Serves what fastscp-top shows."""

    def do_GET(self) -> None:
        octets = orjson.dumps(STATUS)
        self.send_response(200)
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_nobody_reads_what_the_service_does() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Status) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        assert run("fastscp-top", ["--once", f"127.0.0.1:{server.server_port}"]) == (0, "")
        server.shutdown()
        thread.join()
