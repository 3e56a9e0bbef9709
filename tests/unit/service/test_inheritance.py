"""What a process is given by whoever started it."""

from __future__ import annotations

import os

import pytest

from fastscp.config.network import TLSPolicy
from fastscp.process import succession
from fastscp.service import inheritance


def test_without_a_predecessor_there_is_none(monkeypatch):
    monkeypatch.delenv(succession.VARIABLE, raising=False)
    assert inheritance.adopt_predecessor() is None


@pytest.mark.parametrize(("name", "value", "inherits"), [
    ("LISTEN_PID", str(os.getppid()), False), (succession.VARIABLE, "9", True), ("NOTHING", "1", False)])
def test_who_need_not_bind_a_port(monkeypatch, name, value, inherits):
    monkeypatch.setenv(name, value)
    assert inheritance.inherits_sockets() == inherits


def test_sockets_of_the_service_manager(monkeypatch):
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert inheritance.inherits_sockets()


def test_key_is_copied_for_whoever_cannot_read_it(tmp_path, monkeypatch):
    file = tmp_path / "key.pem"
    file.write_bytes(b"secret" * 1000)
    tls = TLSPolicy(private_key_file=str(file))
    key = inheritance.copy_of_key(tls)
    assert not os.get_inheritable(key)
    assert inheritance.with_inherited_key(tls, key) is tls  # the file may be a newer one
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert inheritance.with_inherited_key(tls, None) is tls
    instead = inheritance.with_inherited_key(tls, key)
    for _ in range(2):  # at a password prompt, and for the context
        with open(instead.private_key_file, "rb") as copy:
            assert copy.read() == b"secret" * 1000
    os.close(key)


def test_key_that_cannot_be_read_is_said(tmp_path, caplog):
    assert inheritance.copy_of_key(TLSPolicy(private_key_file=str(tmp_path / "none"))) is None
    assert "cannot keep the TLS key" in caplog.text
