"""``--inetd`` and socket activation: inetd's contract, the real xinetd, the real systemd-socket-activate."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pydicom.data import get_testdata_file

from fastscp.dicom.uids import VERIFICATION
from tests.support.pki import Authority
from tests.support.rawscu import RawSCU, read_instance
from tests.support.servers import DEADLINE_S, FastscpServer, free_port, wait_until

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).parents[2]
CT = get_testdata_file("CT_small.dcm")
CT_NAME = "CT.1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
PYTHON = {**os.environ, "PYTHONPATH": str(ROOT)}


class Inetd:
    """What inetd does with ``nowait``: accept, and start a program with the connection as 0, 1 and 2."""

    def __init__(self, *options, inherit_stderr=True):
        self.options = [str(option) for option in options]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.processes = []
        self.inherit_stderr = inherit_stderr

    def serve_one(self):
        connection, _ = self.listener.accept()
        descriptor = connection.fileno()
        self.processes.append(subprocess.Popen(
            [sys.executable, "-m", "fastscp", *self.options], stdin=descriptor, stdout=descriptor,
            stderr=descriptor if self.inherit_stderr else subprocess.PIPE, env=PYTHON))
        connection.close()
        return self.processes[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for process in self.processes:
            process.kill()
            process.communicate()


def client(*command):
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("flag", ["-id", "--inetd"])
def test_stores_one_association_and_ends(tmp_path, flag):
    with Inetd(flag, "-od", tmp_path, "-v") as inetd:
        sender = client("storescu", "localhost", inetd.port, CT)
        process = inetd.serve_one()
        assert finish(sender) == ""
        assert process.wait(DEADLINE_S) == 0
    assert os.listdir(tmp_path) == [CT_NAME]
    assert read_instance(tmp_path / CT_NAME).sop_instance


def test_every_connection_has_a_process_of_its_own(tmp_path):
    with Inetd("-id", "-od", tmp_path) as inetd:
        with RawSCU("127.0.0.1", inetd.port) as first, RawSCU("127.0.0.1", inetd.port) as second:
            processes = [inetd.serve_one(), inetd.serve_one()]
            for scu in (second, first):
                scu.associate([(1, VERIFICATION, ["1.2.840.10008.1.2"])])
            for scu in (first, second):
                scu.release()
        assert [process.wait(DEADLINE_S) for process in processes] == [0, 0]


def test_nothing_but_dicom_reaches_the_peer(tmp_path):
    """Log lines would go to stderr, which is the connection."""
    with Inetd("-id", "-d", "-od", tmp_path) as inetd, socket.create_connection(("127.0.0.1", inetd.port), DEADLINE_S) as sock:
        process = inetd.serve_one()
        sock.sendall(b"no PDU at all, but long enough to be looked at")
        assert sock.recv(10, socket.MSG_WAITALL)[:2] == b"\x07\x00"  # one A-ABORT (PS3.8 §9.3.8)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(4096) == b""
        assert process.wait(DEADLINE_S) == 0


def test_log_configuration_is_used(tmp_path):
    log, configuration = tmp_path / "log", tmp_path / "log.cfg"
    configuration.write_text(
        "log4cplus.rootLogger = INFO, file\nlog4cplus.appender.file = log4cplus::FileAppender\n"
        f"log4cplus.appender.file.File = {log}\nlog4cplus.appender.file.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.file.layout.ConversionPattern = %m%n\n")
    with Inetd("-id", "-lc", configuration, "-od", tmp_path) as inetd:
        sender = client("echoscu", "localhost", inetd.port)
        process = inetd.serve_one()
        finish(sender)
        assert process.wait(DEADLINE_S) == 0
    assert "Association Received 127.0.0.1: ECHOSCU -> ANY-SCP" in log.read_text()


def test_hooks_run_and_do_not_have_the_connection(tmp_path):
    """The descriptors of the hook are listed by the hook itself."""
    command = f"ls -l /proc/self/fd > {tmp_path}/fds-#f; echo '#a #c #r' > {tmp_path}/hook"
    with Inetd("-id", "-dhl", "-od", tmp_path, "-xcr", command) as inetd:
        sender = client("storescu", "-aet", "ME", "-aec", "YOU", "localhost", inetd.port, CT)
        process = inetd.serve_one()
        finish(sender)
        assert process.wait(DEADLINE_S) == 0
    assert "socket:" not in (tmp_path / f"fds-{CT_NAME}").read_text()
    assert (tmp_path / "hook").read_text().replace('"', "") == "ME YOU 127.0.0.1\n"


def test_sorting(tmp_path):
    with Inetd("-id", "-su", "study", "-od", tmp_path) as inetd:
        sender = client("storescu", "localhost", inetd.port, CT)
        process = inetd.serve_one()
        finish(sender)
        assert process.wait(DEADLINE_S) == 0
    (study,) = [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    assert study.startswith("study_1.3.6.1.4.1.5962")
    assert os.listdir(tmp_path / study) == [CT_NAME]


@pytest.mark.parametrize(("rule", "admitted"), [("ALL: 127.\n", True), ("ALL: 10.\n", False), ("ALL: LOCAL\n", True)])
def test_access_rules(tmp_path, rule, admitted):
    (tmp_path / "allow").write_text(rule)
    (tmp_path / "deny").write_text("ALL: ALL\n")
    options = ["+ac", "--hosts-allow", tmp_path / "allow", "--hosts-deny", tmp_path / "deny", "-od", tmp_path]
    with Inetd("-id", *options) as inetd:
        sender = client("echoscu", "localhost", inetd.port)
        process = inetd.serve_one()
        sender.communicate(timeout=DEADLINE_S)
        assert (sender.returncode == 0) == admitted
        assert process.wait(DEADLINE_S) == 0


def test_tls(tmp_path):
    server = Authority.make(tmp_path / "ca").issue("server")
    with Inetd("-id", "+tls", server.key_file(), server.certificate_file(), "-ic", "-od", tmp_path) as inetd:
        sender = client("echoscu", "+tla", "-ic", "localhost", inetd.port)
        process = inetd.serve_one()
        finish(sender)
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_privileges_are_dropped(tmp_path):
    with Inetd("-id", "--user", "nobody", "-od", tmp_path) as inetd, RawSCU("127.0.0.1", inetd.port) as scu:
        process = inetd.serve_one()
        scu.associate([(1, VERIFICATION, ["1.2.840.10008.1.2"])])
        assert psutil.Process(process.pid).uids().real == 65534
        scu.release()
        assert process.wait(DEADLINE_S) == 0


def test_sigterm_lets_the_association_finish(tmp_path):
    with Inetd("-id", "-od", tmp_path) as inetd, RawSCU("127.0.0.1", inetd.port) as scu:
        process = inetd.serve_one()
        scu.associate([(1, VERIFICATION, ["1.2.840.10008.1.2"])])
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(("stdin", "words"), [
    (Path("/dev/null").open, "standard input is not a socket"),
    (lambda: socket.create_server(("127.0.0.1", 0)), "a listening one: the super server has to accept"),
    (socket.socket, "has no peer"),
    (lambda: socket.socket(type=socket.SOCK_DGRAM), "not a TCP socket"),
    (lambda: socket.socket(socket.AF_UNIX), "not a TCP socket"),
])
def test_standard_input_that_is_no_connection(tmp_path, stdin, words):
    with stdin() as source:
        done = subprocess.run([sys.executable, "-m", "fastscp", "-id", "-od", str(tmp_path)], stdin=source.fileno(),
                              capture_output=True, text=True, env=PYTHON, timeout=DEADLINE_S, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("E: ")
    assert words in done.stderr


# -- real super servers ---------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("xinetd") is None, reason="xinetd is not installed")
def test_xinetd(tmp_path):
    port = free_port()
    output = tmp_path / "out"
    output.mkdir()
    configuration = tmp_path / "xinetd.conf"
    configuration.write_text(f"""
service dicom
{{
    type        = UNLISTED
    port        = {port}
    bind        = 127.0.0.1
    socket_type = stream
    protocol    = tcp
    wait        = no
    user        = {getpass.getuser()}
    flags       = NAMEINARGS
    server      = {sys.executable}
    server_args = {sys.executable} -m fastscp --inetd -od {output}
    env         = PYTHONPATH={ROOT}
}}
""")
    process = subprocess.Popen(["xinetd", "-dontfork", "-f", str(configuration), "-pidfile", str(tmp_path / "pid"),
                                "-filelog", str(tmp_path / "log")], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any(connection.laddr.port == port for connection in psutil.Process(process.pid).net_connections()),
                   "xinetd listens")
        finish(client("storescu", "localhost", port, CT))
        finish(client("echoscu", "localhost", port))
        wait_until(lambda: os.listdir(output) == [CT_NAME], "stored")
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


@pytest.fixture
def activate(tmp_path):
    """Run systemd-socket-activate; yield a function that starts it on a port."""
    if shutil.which("systemd-socket-activate") is None:
        pytest.skip("systemd-socket-activate is not installed")
    processes = []
    log = (tmp_path / "activate.log").open("wb")

    def start(*arguments):
        port = free_port()
        processes.append(subprocess.Popen(
            ["systemd-socket-activate", "-E", f"PYTHONPATH={ROOT}", "-l", f"127.0.0.1:{port}", *arguments[0],
             sys.executable, "-m", "fastscp", *map(str, arguments[1:])], stdin=subprocess.DEVNULL, stderr=log))
        wait_until(lambda: any(connection.laddr.port == port for connection in
                               psutil.Process(processes[-1].pid).net_connections()), "listens")
        return processes[-1], port

    yield start
    for process in processes:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else ():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                child.kill()
        process.kill()
        process.wait(DEADLINE_S)
    log.close()


def test_listening_socket_of_systemd(tmp_path, activate):
    """``Accept=no``: the service takes the socket over, whatever port the command line names."""
    process, port = activate([], "-od", tmp_path, "-v")
    finish(client("storescu", "localhost", port, CT))
    finish(client("echoscu", "localhost", port))
    assert CT_NAME in os.listdir(tmp_path)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("mode", [["--accept"], ["--accept", "--inetd"]])
def test_connection_of_systemd(tmp_path, activate, mode):
    """``Accept=yes``: as descriptor 3, or with ``StandardInput=socket`` as descriptor 0."""
    _, port = activate(mode, "-id", "-od", tmp_path)
    finish(client("storescu", "localhost", port, CT))
    finish(client("echoscu", "localhost", port))
    assert CT_NAME in os.listdir(tmp_path)


def test_connection_where_a_listening_socket_is_expected(tmp_path, activate):
    _, port = activate(["--accept"], "-od", tmp_path)
    sender = client("echoscu", "localhost", port)
    sender.communicate(timeout=DEADLINE_S)
    assert sender.returncode != 0
    words = "socket activation: descriptor 3 is not a listening TCP socket (Accept=no)"
    wait_until(lambda: words in (tmp_path / "activate.log").read_text(), words)


def test_readiness_reload_and_stop_are_notified(tmp_path):
    class Notified(FastscpServer):
        def messages(self):
            received = []
            wait_until(lambda: received.append(self._notify.recv(4096).decode()) is None if readable(self._notify) else False,
                       "notification")
            return received[0].split("\n")

    with Notified(["-od", tmp_path]) as server:
        server.signal(signal.SIGHUP)
        first = server.messages()
        assert first[0] == "RELOADING=1"
        assert first[1].startswith("MONOTONIC_USEC=")
        assert "READY=1" in server.messages()
        server.signal(signal.SIGTERM)
        assert server.messages() == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000"]
        assert server.process.wait(DEADLINE_S) == 0


def readable(sock):
    try:
        return sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
