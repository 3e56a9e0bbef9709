"""The service with the compiled core and without it: the same answers and the same files, octet for octet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastscp import core
from tests.conftest import real_dicom_files
from tests.support.rawscu import CT_IMAGE, IMPLICIT, Aborted, Instance, RawSCU, read_instance
from tests.support.servers import FastscpServer, Server

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")


def renamed(instance: Instance, number: int) -> tuple[str, bytes]:
    """Return another instance of the same shape: UID and data set, its UID of the same length."""
    uid = instance.sop_instance or "1.2.3"
    other = uid[:-1] + str((int(uid[-1]) + number) % 10) if uid[-1:].isdigit() else uid
    return other, instance.dataset.replace(uid.encode("latin-1"), other.encode("latin-1"))


def send(server: Server, directory: Path, instance: Instance) -> tuple[list[object], dict[str, bytes]]:
    """Send an object, it again and two others like it, on one association; return what was answered and stored."""
    answers: list[object] = []
    sop_class, syntax = instance.sop_class or CT_IMAGE, instance.transfer_syntax or IMPLICIT
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate([(1, sop_class, [syntax])])
        for number in (0, 0, 1, 2):
            uid, data = renamed(instance, number)
            if not scu.accepted:
                break
            try:
                answers.append(scu.store(1, sop_class, uid, data))
            except (Aborted, ConnectionError):
                answers.append("aborted")
                break
        else:
            scu.release()
    files = {}
    for parent, _, names in os.walk(directory):  # a directory that never got an object goes meanwhile
        if ".fastscp" not in Path(parent).parts:
            for path in (Path(parent, name) for name in names):
                files[str(path.relative_to(directory))] = path.read_bytes()
                path.unlink()
    return answers, files


@pytest.mark.parametrize("words", ["+xa", "+B +xa", "+ti", "+tb", "-F -fe .dcm +xa", "+g -e +xa", "+p 64 0 +xa",
                                   "-su P +xa"])
def test_every_real_file_is_answered_and_stored_alike(tmp_path: Path, words: str) -> None:
    directories = [tmp_path / "compiled", tmp_path / "pure"]
    for directory in directories:
        directory.mkdir()
    options = [*words.split(), "--workers", "1", "-pm"]
    with FastscpServer(["-od", directories[0], *options]) as compiled, \
            FastscpServer(["-od", directories[1], *options], environment={"FASTSCP_PURE": "1"}) as pure:
        stored = 0
        for path in real_dicom_files():
            instance = read_instance(path)
            results = [send(server, directory, instance) for server, directory in ((compiled, directories[0]), (pure, directories[1]))]
            assert results[0] == results[1], path
            stored += len(results[0][1])
        assert stored > 100
        overwritten = [server.log().count(b"already exists, overwriting") for server in (compiled, pure)]
    assert min(overwritten) > 30  # the log counts the rest: how many is a matter of time
