import logging
import re
import socket

import pytest

from fastscp.log import appenders
from fastscp.log.appenders import ConsoleAppender, NullAppender, SysLogAppender, encode
from fastscp.log.names import DEBUG, ERROR, FATAL, INFO, TRACE, WARN
from fastscp.log.pattern import PatternLayout


def record(level=logging.ERROR, text="hello"):
    return logging.LogRecord("dcmtk.dcmnet", level, "", 0, text, (), None)


def test_console_appender_writes_to_its_descriptor(capfd):
    for descriptor in (1, 2):
        appender = ConsoleAppender(PatternLayout("%P: %m%n"), descriptor=descriptor)
        appender.handle(record(text=f"to {descriptor}"))
        appender.close()
    assert capfd.readouterr() == ("E: to 1\n", "E: to 2\n")


def test_null_appender_writes_nothing(capfd):
    NullAppender(PatternLayout("%m%n")).handle(record())
    assert capfd.readouterr() == ("", "")


def test_message_that_cannot_be_laid_out_is_reported_and_survived(capfd):
    appender = ConsoleAppender(PatternLayout("%m%n"), descriptor=1)
    broken = logging.LogRecord("name", logging.ERROR, "", 0, "%d", ("no number",), None)
    appender.handle(broken)
    appender.handle(broken)
    appender.handle(record())
    captured = capfd.readouterr()
    assert captured.out == "hello\n"
    assert re.fullmatch("E: cannot write log: .*\n", captured.err)


@pytest.mark.parametrize(("text", "octets"), [
    ("ä", b"\xc3\xa4"), ("\udce4", b"\xe4"), ("\ud800", b"\\ud800"), ("plain", b"plain"),
])
def test_every_text_can_be_encoded(text, octets):
    assert encode(text) == octets


@pytest.fixture
def local_syslog(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        monkeypatch.setattr(appenders, "_LOCAL_SYSLOG", str(tmp_path / "log"))
        yield daemon


@pytest.mark.parametrize(("level", "severity"), [(TRACE, 7), (DEBUG, 7), (INFO, 6), (WARN, 4), (ERROR, 3), (FATAL, 2)])
def test_local_syslog(local_syslog, level, severity):
    appender = SysLogAppender(PatternLayout("%m%n"), [], {"ident": "storescp", "facility": "LOCAL3"})
    appender.handle(record(level))
    assert local_syslog.recv(1000) == f"<{19 * 8 + severity}>storescp: hello".encode()
    appender._disconnect()


def test_unknown_facility_is_user(local_syslog):
    appender = SysLogAppender(PatternLayout("%m"), [], {"ident": "x", "facility": "nonsense"})
    appender.handle(record())
    assert local_syslog.recv(1000) == b"<11>x: hello"
    appender._disconnect()


def test_syslog_daemon_that_restarted_is_found_again(local_syslog, tmp_path, monkeypatch):
    appender = SysLogAppender(PatternLayout("%m"), [], {"ident": "x"})
    appender.handle(record())
    (tmp_path / "log").unlink()
    local_syslog.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        appender.handle(record(text="again"))
        assert daemon.recv(1000) == b"<11>x: again"
    appender._disconnect()


def test_missing_syslog_daemon_is_reported_and_survived(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(appenders, "_LOCAL_SYSLOG", str(tmp_path / "none"))
    SysLogAppender(PatternLayout("%m"), [], {}).handle(record())
    assert capfd.readouterr().err.startswith("E: cannot write log: ")


def test_remote_syslog():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        properties = {"host": "127.0.0.1", "port": str(daemon.getsockname()[1]), "ident": "scp", "facility": "daemon"}
        appender = SysLogAppender(PatternLayout("%m"), [], properties)
        appender.handle(record())
        datagram = daemon.recv(1000).decode()
    appender._disconnect()
    assert re.fullmatch(r"<27>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ scp \d+ dcmtk\.dcmnet - hello", datagram)
