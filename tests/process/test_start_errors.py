"""Mistakes that the program names before it listens, and what storescp lets pass that ours does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, free_port

ROOT = Path(__file__).parents[2]
PORT = str(free_port())
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def start(*arguments: str | Path) -> tuple[int, str]:
    """Start the program with what it refuses; return its exit status and the last lines of its complaint."""
    done = subprocess.run([sys.executable, "-m", "fastscp", *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False, cwd=ROOT)
    return done.returncode, done.stderr.partition("(C-STORE) SCP\n")[2] or done.stderr


def test_mistyped_option(tmp_path: Path) -> None:
    assert start("--forq", "-od", tmp_path, PORT) == (
        1, "error: Unknown option --forq\nhint: did you mean --fork?\n")


def test_tls_with_one_argument(tmp_path: Path) -> None:
    status, complaint = start("-od", tmp_path, "+tls", "key.pem", PORT)
    assert (status, complaint.splitlines()[0]) == (1, "error: Missing parameter port")
    assert f"'{PORT}' was taken for the certificate of --enable-tls" in complaint


def test_title_that_is_too_long(tmp_path: Path) -> None:
    assert start("-od", tmp_path, "-aet", "A_TITLE_THAT_IS_LONG", PORT) == (
        1, "error: Invalid value for option --aetitle (A_TITLE_THAT_IS_LONG): more than 16 characters\n")


def test_output_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert start("-od", tmp_path / "file", PORT) == (
        1, f"F: specified output directory is not a directory: {tmp_path}/file\n")


@pytest.mark.parametrize("options", [[], ["--exec-argv"]])
def test_hook_whose_program_is_not_there(tmp_path: Path, options: list[str]) -> None:
    assert start("-od", tmp_path, *options, "-xcr", "nosuchprogram #p/#f", PORT) == (
        1, "F: --exec-on-reception: no such program: nosuchprogram\n")


@pytest.mark.parametrize("option", ["--hosts-allow", "--hosts-deny"])
def test_named_table_of_access_rules_that_is_not_there(tmp_path: Path, option: str) -> None:
    assert start("-od", tmp_path, "+ac", option, tmp_path / "rules", PORT) == (
        1, f"F: cannot read access rules: {tmp_path}/rules: No such file or directory\n")


@NEEDS_ROOT
def test_ignore_needs_no_writable_directory(tmp_path: Path) -> None:
    """Root may write anywhere, so it runs without that capability; it stays the user who can read this checkout."""
    class Bounded(FastscpServer):
        def command(self) -> list[str]:
            return ["setpriv", "--bounding-set=-dac_override", *super().command()]

    (tmp_path / "out").mkdir(mode=0o555)
    with pytest.raises(AssertionError, match="specified output directory is not writeable"):
        Bounded(["-od", tmp_path / "out"]).start()
    with Bounded(["-od", tmp_path / "out", "--ignore", "-xcr", "true"]) as server, RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        assert scu.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        scu.release()


def test_study_directory_that_cannot_be_made_is_for_want_of_resources(tmp_path: Path) -> None:
    """A link to nowhere stands for a file system that takes nothing: its directory is there only at the start."""
    (tmp_path / "out").mkdir()
    with (FastscpServer(["-od", tmp_path / "out", "-su", "P", "--state-dir", tmp_path / "state"]) as server,
          RawSCU("127.0.0.1", server.port) as scu):
        scu.associate(CT_CONTEXT)
        (tmp_path / "out").rmdir()
        assert scu.store(1, CT, "1.2.3", data_set("1.2.3")) == 0xA700
        (tmp_path / "out").mkdir()
        assert scu.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        scu.release()


@pytest.mark.parametrize("options", [["-lc", "FIFO"], ["+tls", "FIFO", "cert.pem"]])
def test_orders_during_the_start_do_not_end_it(tmp_path: Path, options: list[str]) -> None:
    """logrotate may send SIGHUP at any time, and systemd takes a death by it for a clean end. The start waits in a file here."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    arguments = [str(fifo) if option == "FIFO" else option for option in options]
    with subprocess.Popen([sys.executable, "-m", "fastscp", "-od", tmp_path, *arguments, PORT], stderr=subprocess.DEVNULL, cwd=ROOT) as starting:
        writer = os.open(fifo, os.O_WRONLY)  # it reads
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGTERM):
            starting.send_signal(number)
        assert starting.wait(60) == -signal.SIGTERM
        os.close(writer)
