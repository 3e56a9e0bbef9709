"""UIDs with white space and NULs in the request, the data set or both, beside the real storescp.

Status, file name and Media Storage SOP Instance UID have to be the same.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.support import datasets as ds
from tests.support.rawscu import CT_IMAGE, RawSCU, command_set, p_data, pdv, split_file
from tests.support.servers import FastscpServer, Server, StorescpServer

pytestmark = pytest.mark.oracle

_UID = b"1.2.3.45"
_BLANKS = (b" ", b"\t", b"\n", b"\r", b"\v")


def _values(uid: bytes) -> list[bytes]:
    values = [uid, uid + b"\0", uid + b"\0ab", uid[:3] + b"\0" + uid[3:], uid + b" \0 ", uid + b"6", uid[:-2]]
    for blank in _BLANKS:
        values += [blank + uid, uid + blank, uid + 2 * blank, uid + b"\0" + blank, uid[:3] + blank + uid[3:],
                   uid[:3] + 2 * blank + uid[3:]]
    return [value + b"\0" * (len(value) & 1) for value in values]


def _request(sop_class: bytes, sop_instance: bytes) -> bytes:
    return command_set([(0x0002, sop_class), (0x0100, b"\x01\0"), (0x0110, b"\x01\0"), (0x0700, b"\0\0"),
                        (0x0800, b"\x01\0"), (0x1000, sop_instance)])


def _outcome(server: Server, directory: Path, request: bytes, dataset: bytes) -> tuple[int, list[tuple[str, str, str]]]:
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate([(1, CT_IMAGE, [ds.EXPLICIT])])
        scu.send(p_data(pdv(1, 3, request)) + p_data(pdv(1, 2, dataset)))
        kind, body = scu.read_pdu()
        assert kind == 4
        status, = struct.unpack_from("<H", body, body.index(bytes.fromhex("0000000902000000")) + 8)
        scu.release()
    files = []
    for path in directory.iterdir():
        stored = split_file(path.read_bytes())
        if not status:  # what is refused, storescp leaves there
            files.append((path.name, stored.sop_class, stored.sop_instance))
        path.unlink()
    return status, files


@pytest.mark.parametrize("where", ["request", "data set", "both"])
@pytest.mark.parametrize("which", ["class", "instance"])
def test_uids_are_compared_named_and_written_as_storescp_does(tmp_path: Path, where: str, which: str) -> None:
    sop_class, instance = ds.uid(CT_IMAGE), ds.uid(_UID.decode())
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    different = {}
    with StorescpServer(["-od", theirs]) as storescp, FastscpServer(["-od", ours, "--workers", "1"]) as fastscp:
        for value in _values(_UID if which == "instance" else CT_IMAGE.encode()):
            asked = [sop_class, instance]
            found = [sop_class, instance]
            for uids in ([asked] if where == "request" else [found] if where == "data set" else [asked, found]):
                uids[which == "instance"] = value
            data = ds.explicit(0x00080016, "UI", found[0]) + ds.explicit(0x00080018, "UI", found[1])
            expected = _outcome(storescp, theirs, _request(*asked), data)
            got = _outcome(fastscp, ours, _request(*asked), data)
            if got != expected:
                different[value] = (expected, got)
    assert different == {}
