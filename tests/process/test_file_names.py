"""Names of stored files over the wire, and what is logged about them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.objects import CT, CT_CONTEXT, data_set
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, wait_until


def store(server: FastscpServer, uid: str) -> int:
    scu = RawSCU("127.0.0.1", server.port)
    scu.associate(CT_CONTEXT)
    status = scu.store(1, CT, uid, data_set(uid))
    scu.release()
    return status


def test_two_uids_that_clean_up_to_one_name_are_both_kept_with_a_warning(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        assert [store(server, uid) for uid in ("1.2/3", "1.2*3", "1.2/3", "1.2*3")] == [0, 0, 0, 0]
        first, second = sorted(os.listdir(tmp_path))
        assert first == "CT.1.2_3"
        assert second.startswith("CT.1.2_3_")
        assert b"1.2/3" in (tmp_path / first).read_bytes()
        assert b"1.2*3" in (tmp_path / second).read_bytes()
        log = server.log().decode()
    for uid in ("1.2/3", "1.2*3"):
        told = f'W: Sanitized unusual characters in SOP Instance UID, converted from "{uid}" to "1.2_3".\n'
        assert log.count(told) == 2
    assert log.count("W: file name CT.1.2_3 belongs to another SOP Instance UID than 1.2*3, storing as: ") == 2
    assert log.count("W: DICOM file already exists, overwriting: ") == 2


def test_names_are_cleaned_without_a_word_where_they_are_not_made_of_the_uid(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path, "-tn"]) as server:
        assert store(server, "1.2/3") == 0
        assert server.log() == b""


def test_lines_about_an_object_come_in_the_order_of_storescp(tmp_path: Path) -> None:
    with FastscpServer(["-v", "-od", tmp_path]) as server:
        store(server, "1.2.3")
        store(server, "1.2.3")
        wait_until(lambda: server.log().count(b"Association Release") == 2, "both associations logged")
        lines = [line for line in server.log().decode().splitlines() if "DICOM file" in line]
    name = str(tmp_path / "CT.1.2.3")
    assert lines == [f"I: storing DICOM file: {name}"] * 2 + [f"W: DICOM file already exists, overwriting: {name}"]


def test_every_request_is_dumped_at_debug_level(tmp_path: Path) -> None:
    with FastscpServer(["-d", "-od", tmp_path]) as server:
        scu = RawSCU("127.0.0.1", server.port)
        scu.associate([*CT_CONTEXT, (3, "1.2.840.10008.1.1", ["1.2.840.10008.1.2"])])
        assert scu.echo(3) == 0
        assert scu.store(1, CT, "1.2.3", data_set("1.2.3")) == 0
        scu.release()
        wait_until(lambda: b"Association Release" in server.log(), "release logged")
        log = server.log().decode()
    for kind in ("C-ECHO", "C-STORE"):
        assert f"D: Message Type                  : {kind} RQ" in log
        assert f"D: Message Type                  : {kind} RSP" in log
