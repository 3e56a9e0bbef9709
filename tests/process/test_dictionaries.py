"""DCMDICTPATH: data dictionaries of the installation decide VRs when implicit becomes explicit."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.support.objects import CT, EXPLICIT_LE, IMPLICIT_LE, fresh_uid
from tests.support.rawscu import RawSCU, read_instance
from tests.support.servers import FastscpServer, Server, StorescpServer


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def even_uid() -> str:
    uid = fresh_uid()
    return uid + "0" * (len(uid) & 1)


def stored_by(server: Server, directory: Path, uid: str) -> bytes:
    data = (implicit(0x00080016, CT.encode() + b"\0") + implicit(0x00080018, uid.encode())
            + implicit(0x00290010, b"SITE MAKER") + implicit(0x00291001, b"1.5 ") + implicit(0x00291002, b"\1\0"))
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate([(1, CT, [IMPLICIT_LE])])
        assert scu.store(1, CT, uid, data) == 0
        scu.release()
    instance = read_instance(directory / f"CT.{uid}")
    assert instance.transfer_syntax == EXPLICIT_LE
    return instance.dataset


@pytest.mark.oracle
def test_private_dictionary_of_the_installation(tmp_path: Path) -> None:
    dictionary = tmp_path / "site.dic"
    dictionary.write_text('(0029,"SITE MAKER",01)\tDS\tSiteValue\t1\tSITE\n(0029,"SITE MAKER",02)\tUS\tSiteCount\t1\tSITE\n')
    system = next(Path("/usr/share").glob("*dcmtk*/dicom.dic"))
    outcomes = []
    uid = even_uid()
    for kind, name in ((FastscpServer, "ours"), (StorescpServer, "theirs")):
        directory = tmp_path / name
        directory.mkdir()
        with kind(["+te", "-od", directory], environment={"DCMDICTPATH": f"{system}:{dictionary}"}) as server:
            outcomes.append(stored_by(server, directory, uid))
    assert outcomes[0] == outcomes[1]
    assert b"DS\x04\x001.5 " in outcomes[0]


def test_missing_dictionary_is_reported_and_does_not_stop_the_service(tmp_path: Path) -> None:
    with FastscpServer(["+te", "-od", tmp_path], environment={"DCMDICTPATH": "/nowhere/site.dic"}) as server:
        assert b"UN\0\0" in stored_by(server, tmp_path, even_uid())
        assert b"cannot read data dictionary /nowhere/site.dic" in server.log()


def test_private_dictionary_none_knows_only_what_is_named(tmp_path: Path) -> None:
    uid = "1.2.3.4"
    data = (implicit(0x00080016, CT.encode() + b"\0") + implicit(0x00080018, uid.encode() + b"\0")
            + implicit(0x00190010, b"GEMS_ACQU_01") + implicit(0x0019101A, b"ABCD"))
    vrs = []
    for words in ([], ["--private-dictionary", "none"]):
        with FastscpServer(["+te", "-od", tmp_path, *words]) as server, RawSCU("127.0.0.1", server.port) as scu:
            scu.associate([(1, CT, [IMPLICIT_LE])])
            assert scu.store(1, CT, uid, data) == 0
            scu.release()
        stored = read_instance(tmp_path / f"CT.{uid}").dataset
        vrs.append(stored[stored.index(b"\x19\x00\x1a\x10") + 4:][:2])
    assert vrs == [b"LO", b"UN"]
