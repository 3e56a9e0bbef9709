"""However the octets arrive, the files are the same: one by one, cut anywhere, many messages at once, 1 GB."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.support.objects import CT, CT_CONTEXT, EXPLICIT_LE, MULTI_FRAME_SC, data_set, element, fresh_uid
from tests.support.rawscu import RawSCU, associate_rq, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, wait_until

RELEASE = bytes.fromhex("05000000000400000000")


def session(uid: str, data: bytes, fragment: int = 700) -> bytes:
    """Encode a whole session of one object as one octet string."""
    parts = [associate_rq(CT_CONTEXT), p_data(pdv(1, 3, c_store_rq(CT, uid)))]
    for start in range(0, len(data), fragment):
        last = 2 if start + fragment >= len(data) else 0
        parts.append(p_data(pdv(1, last, data[start : start + fragment])))
    return b"".join([*parts, RELEASE])


def answers(scu: RawSCU) -> list[int]:
    """Read PDUs to the end of the connection; return their types."""
    kinds = []
    while not kinds or kinds[-1] != 6:
        kinds.append(scu.read_pdu()[0])
    return kinds


def unread_octets(scu: RawSCU) -> int:
    """Return what the server's kernel has received and the server has not read (proc(5), /proc/net/tcp)."""
    here, there = (f"{scu.sock.getsockname()[1]:04X}", f"{scu.sock.getpeername()[1]:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if local.endswith(":" + there) and remote.endswith(":" + here):
            return int(queues.partition(":")[2], 16)
    raise AssertionError("the server has no such connection")


@pytest.mark.parametrize("options", [[], ["+B"], ["+te", "+g"]])
def test_one_octet_per_segment(tmp_path: Path, options: list[str]) -> None:
    uid = fresh_uid()
    data = data_set(uid, pixels=200)
    with FastscpServer([*options, "-od", tmp_path]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            for octet in session(uid, data):
                scu.send(bytes([octet]))
            assert answers(scu) == [2, 4, 6]
        single = (tmp_path / f"CT.{uid}").read_bytes()
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.send(session(uid, data))
            assert answers(scu) == [2, 4, 6]
        assert (tmp_path / f"CT.{uid}").read_bytes() == single


def test_cut_at_every_boundary(tmp_path: Path) -> None:
    """Two segments, cut before every octet of a session; the second is sent once the first was read."""
    uid = fresh_uid()
    octets = session(uid, data_set(uid, pixels=64), fragment=100)
    with FastscpServer(["-od", tmp_path]) as server:
        with RawSCU("127.0.0.1", server.port) as scu:
            scu.send(octets)
            answers(scu)
        whole = (tmp_path / f"CT.{uid}").read_bytes()
        for cut in range(1, len(octets)):
            os.unlink(tmp_path / f"CT.{uid}")
            with RawSCU("127.0.0.1", server.port) as scu:
                scu.send(octets[:cut])
                wait_until(lambda: not unread_octets(scu), "first part read")
                scu.send(octets[cut:])
                assert answers(scu) == [2, 4, 6]
            assert (tmp_path / f"CT.{uid}").read_bytes() == whole


def test_pipelined_requests_are_served_in_order(tmp_path: Path) -> None:
    uids = [fresh_uid() for _ in range(30)]
    stream = b"".join(p_data(pdv(1, 3, c_store_rq(CT, uid, number + 1)), pdv(1, 2, data_set(uid)))
                      for number, uid in enumerate(uids))
    with FastscpServer(["-su", "", "-xcr", "true", "-od", tmp_path]) as server, RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT)
        scu.send(stream + RELEASE)
        responded = []
        for _ in uids:
            command = scu.read_command()
            assert command[0x0900] == b"\0\0"
            responded.append(struct.unpack("<H", command[0x0120])[0])
        assert scu.read_pdu()[0] == 6
        assert responded == list(range(1, 31))
        assert sorted(os.listdir(tmp_path / "1.2.3.4")) == sorted(f"CT.{uid}" for uid in uids)


def test_gigabyte_object_does_not_fill_the_worker(tmp_path: Path) -> None:
    uid = fresh_uid()
    size = 1 << 30
    head = b"".join((element(0x00080016, b"UI", MULTI_FRAME_SC.encode()), element(0x00080018, b"UI", uid.encode()),
                     element(0x0020000D, b"UI", b"1.2.3"), struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, size)))
    block = bytes(range(256)) * 500
    with FastscpServer(["--workers", "1", "-pdu", "131072", "-od", tmp_path]) as server:
        with RawSCU("127.0.0.1", server.port, timeout_s=120) as scu:
            scu.associate([(1, MULTI_FRAME_SC, [EXPLICIT_LE])])
            worker = server.role("worker")[0]
            before = worker.memory_info().rss
            scu.send(p_data(pdv(1, 3, c_store_rq(MULTI_FRAME_SC, uid)), pdv(1, 0, head)))
            sent, peak = 0, before
            while sent < size:
                piece = block[: min(len(block), size - sent)]
                sent += len(piece)
                scu.send(p_data(pdv(1, 2 if sent == size else 0, piece)))
                if sent % (64 * len(block)) == 0:
                    peak = max(peak, worker.memory_info().rss)
            assert scu.read_status() == 0
            peak = max(peak, worker.memory_info().rss)
            scu.release()
        stored = tmp_path / os.listdir(tmp_path)[0]
        assert stored.stat().st_size > size
        with stored.open("rb") as file:
            file.seek(-size, os.SEEK_END)
            assert file.read(len(block)) == block
        stored.unlink()
        assert peak - before < 16e6
