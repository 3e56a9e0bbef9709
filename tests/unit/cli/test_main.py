import os
import shlex
import subprocess
import sys
import types

import pytest

from fastscp import __date__, __version__
from fastscp.cli import main as program
from fastscp.cli import startup
from fastscp.cli.help import usage, version
from fastscp.config.network import NetworkPolicy, ProcessMode
from fastscp.process import succession
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, StudyPolicy


@pytest.fixture
def run(capfd):
    """Run the program as far as it gets without touching the logging of the tests."""
    def run(*arguments):
        status = program.main(["/usr/bin/fastscp", *arguments])
        return status, *capfd.readouterr()
    return run


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["-v", "--help", "a", "b", "c"], ["--version", "-h"]])
def test_help(run, arguments):
    assert run(*arguments) == (0, usage(), "")


def test_version(run):
    status, out, err = run("--version", "whatever", "else")
    assert (status, out, err) == (0, version(), "")
    assert out.splitlines()[0] == f"$fastscp: fastscp v{__version__} {__date__} $"
    # programs in the field ask for storescp 3.7.0 or later
    assert int(__version__.partition(".")[0]) >= 4


@pytest.mark.parametrize(("flag", "listed"), [
    ("+cc", "ciphers"), ("--list-ciphers", "ciphers"), ("+ph", "profiles"), ("--list-profiles", "profiles"),
])
def test_lists_need_no_port_and_no_tls(run, monkeypatch, flag, listed):
    tls = types.ModuleType("fastscp.tls.profiles")
    tls.list_ciphers, tls.list_profiles = (lambda: "ciphers\n"), (lambda: "profiles\n")
    monkeypatch.setitem(sys.modules, "fastscp.tls.profiles", tls)
    status, out, err = run("-v", flag)
    assert (status, out.splitlines()[-1], err) == (0, listed, "")
    assert out.startswith("$fastscp: fastscp v")


def test_refusal_stands_below_the_header(run):
    status, out, err = run("--foo")
    assert (status, out) == (1, "")
    assert err == (f"$fastscp: fastscp v{__version__} {__date__} $\n\nfastscp: DICOM storage (C-STORE) SCP\n"
                   "error: Unknown option --foo\n")


def test_help_fits_storescps_layout():
    lines = usage().splitlines()
    assert "  -h      --help                 print this help text and exit" in lines
    assert "    +x=   --prefer-uncompr       prefer explicit VR local byte order (default)" in lines
    assert lines[3] == "usage: fastscp [options] [port]"
    assert max(map(len, lines)) <= 85


def test_help_and_version_import_nothing_heavy():
    """Programs in the field call --version before each start."""
    code = ("import sys; from fastscp.cli.main import main; main(['fastscp', sys.argv[1]]); "
            "print(sorted({'pydicom', 'logging', 'ssl', 'socket', 'asyncio', 'orjson'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_module_can_be_run():
    done = subprocess.run([sys.executable, "-m", "fastscp", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("$fastscp: fastscp v")


NO_HOOKS = HookPolicy()


def test_directory_must_exist_and_be_writable(tmp_path, monkeypatch):
    network = NetworkPolicy(port=11112)
    assert startup.complaint(network, StorePolicy(str(tmp_path)), StudyPolicy(), NO_HOOKS) == ""
    assert startup.complaint(network, StorePolicy(str(tmp_path), quarantine=str(tmp_path)), StudyPolicy(), NO_HOOKS) == ""
    assert startup.complaint(network, StorePolicy(str(tmp_path), quarantine=str(tmp_path / "no")), StudyPolicy(),
                             NO_HOOKS) == "specified quarantine directory does not exist"
    assert startup.complaint(network, StorePolicy(str(tmp_path / "no")), StudyPolicy(), NO_HOOKS) == (
        "specified output directory does not exist")
    (tmp_path / "file").touch()
    assert startup.complaint(network, StorePolicy(str(tmp_path / "file")), StudyPolicy(), NO_HOOKS) == (
        f"specified output directory is not a directory: {tmp_path}/file")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert startup.complaint(network, StorePolicy(str(tmp_path)), StudyPolicy(), NO_HOOKS) == (
        "specified output directory is not writeable")


def test_nothing_is_written_with_ignore(tmp_path, monkeypatch):
    network = NetworkPolicy(port=11112)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert startup.complaint(network, StorePolicy(str(tmp_path), ignore=True), StudyPolicy(), NO_HOOKS) == ""
    assert startup.complaint(network, StorePolicy(str(tmp_path / "no"), ignore=True), StudyPolicy(), NO_HOOKS) == (
        "specified output directory does not exist")  # as in storescp


def test_program_of_a_hook_must_be_there(tmp_path):
    hooks = HookPolicy(on_end_of_study=f"{tmp_path}/nowhere #p")
    assert startup.complaint(NetworkPolicy(port=11112), StorePolicy(str(tmp_path)), StudyPolicy(), hooks) == (
        f"--exec-on-eostudy: no such program: {tmp_path}/nowhere")


@pytest.mark.parametrize(("port", "user", "first_free", "refused"), [
    (104, 1000, 1024, True), (104, 0, 1024, False), (104, 1000, 80, False), (1023, 1000, 1024, True),
    (1024, 1000, 1024, False), (None, 1000, 1024, False), (0, 1000, 1024, False),
])
def test_privileged_ports(tmp_path, monkeypatch, port, user, first_free, refused):
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr(startup, "_first_free_port", lambda: first_free)
    monkeypatch.setattr(startup, "_may_bind", lambda: False)
    complaint = startup.complaint(NetworkPolicy(port=port), StorePolicy(str(tmp_path)), StudyPolicy(), NO_HOOKS)
    assert complaint == (f"cannot listen on port {port}, insufficient privileges" if refused else "")
    inetd = NetworkPolicy(port=port, mode=ProcessMode.INETD)
    assert startup.complaint(inetd, StorePolicy(str(tmp_path)), StudyPolicy(), NO_HOOKS) == ""


@pytest.mark.parametrize("name", ["LISTEN_PID", succession.VARIABLE])
def test_privileged_port_that_is_open_already(tmp_path, monkeypatch, name):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(startup, "_first_free_port", lambda: 1024)
    monkeypatch.setattr(startup, "_may_bind", lambda: False)
    monkeypatch.setenv(name, str(os.getpid()))
    assert startup.complaint(NetworkPolicy(port=104), StorePolicy(str(tmp_path)), StudyPolicy(), NO_HOOKS) == ""


@pytest.mark.parametrize(("capabilities", "free"), [("0000000000000400", True), ("000001fffffffbff", False)])
def test_privileged_port_with_the_capability_to_bind_it(tmp_path, monkeypatch, capabilities, free):
    status = tmp_path / "status"
    status.write_text(f"Name:\tfastscp\nCapPrm:\t000001ffffffffff\nCapEff:\t{capabilities}\n")
    opened = open
    monkeypatch.setattr("builtins.open", lambda path, *more, **named: opened(status if path == "/proc/self/status" else path, *more, **named))
    assert startup._may_bind() == free


COMMAND = f"{shlex.quote(sys.executable)} -m fastscp"


@pytest.mark.parametrize(("line", "status", "out", "err"), [
    ("--help | head -n 1", 0, "$fastscp: ", ""),
    ("--version | true", 0, "", ""),
    ("--list-ciphers | head -n 1", 0, "$fastscp: ", ""),
    ("--version >&-", 1, "", ""),
    ("--version >/dev/full", 1, "", ""),
    ("--foo 2>&-", 1, "", ""),
    ("-d -od /nonexistent 11112 2>&-", 1, "", ""),
    ("-d -od /nonexistent 11112 0<&- 1>&- 2>&-", 1, "", ""),
    ("-od /nonexistent 11112 0<&- 1>&-", 1, "", "F: specified output directory does not exist\n"),
])
def test_closed_and_full_outputs(line, status, out, err):
    script = f"set -o pipefail; {COMMAND} {line}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (status, err)
    assert done.stdout.startswith(out)


def test_arguments_that_are_not_utf8_are_shown():
    done = subprocess.run([*shlex.split(COMMAND), b"--\xe4"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"error: Unknown option --\\udce4\n" in done.stderr
