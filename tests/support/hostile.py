"""What hostile peers send, and what must be true of a server afterwards."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from pathlib import Path

import psutil

from tests.support.objects import CT, CT_CONTEXT, EXPLICIT_LE, IMPLICIT_LE, data_set, fresh_uid
from tests.support.rawscu import RawSCU, c_store_rq, command_set, p_data, pdv
from tests.support.servers import DEADLINE_S, FastscpServer, wait_until

CONTEXTS = [(1, CT, [EXPLICIT_LE]), (3, CT, [IMPLICIT_LE]), (5, "1.2.840.10008.1.1", [IMPLICIT_LE])]
#: control characters, which no log may carry
_HARMFUL = {chr(code) for code in (*range(10), *range(11, 32), *range(0x7F, 0xA0))}
RELEASE_RQ = bytes.fromhex("05000000000400000000")
A_ABORT = bytes.fromhex("07000000000400000000")


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Encode a PDU of any type; ``length`` may lie."""
    return struct.pack(">BBL", kind, 0, len(body) if length is None else length) + body


def item(kind: int, value: bytes, length: int | None = None) -> bytes:
    """Encode an item of an A-ASSOCIATE PDU; ``length`` may lie."""
    return struct.pack(">BBH", kind, 0, len(value) if length is None else length) + value


def context_item(context_id: int, abstract: bytes, transfers: list[bytes]) -> bytes:
    """Encode a proposed presentation context."""
    subs = item(0x30, abstract) + b"".join(item(0x40, uid) for uid in transfers)
    return item(0x20, bytes((context_id, 0, 0, 0)) + subs)


APPLICATION_CONTEXT = item(0x10, b"1.2.840.10008.3.1.1.1")
CT_ITEM = context_item(1, CT.encode(), [EXPLICIT_LE.encode()])
USER_INFORMATION = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))


def request(items: bytes | None = None, *, called: bytes = b"ANY-SCP", calling: bytes = b"HOSTILE", version: int = 1) -> bytes:
    """Encode an A-ASSOCIATE-RQ with any items and titles."""
    if items is None:
        items = APPLICATION_CONTEXT + CT_ITEM + USER_INFORMATION
    return pdu(1, struct.pack(">HH", version, 0) + called.ljust(16)[:16] + calling.ljust(16)[:16] + bytes(32) + items)


def element(number: int, value: bytes, length: int | None = None) -> bytes:
    """Encode a command element; ``length`` may lie."""
    return struct.pack("<HHL", 0, number, len(value) if length is None else length) + value


def store_message(uid: str, dataset: bytes | None = None, *, context_id: int = 1, message_id: int = 1) -> bytes:
    """Encode a whole C-STORE request, every fragment in its own P-DATA-TF."""
    dataset = data_set(uid) if dataset is None else dataset
    parts = [p_data(pdv(context_id, 3, c_store_rq(CT, uid, message_id)))]
    cuts = range(0, len(dataset), 16000) or [0]
    parts += [p_data(pdv(context_id, 2 if at + 16000 >= len(dataset) else 0, dataset[at:at + 16000])) for at in cuts]
    return b"".join(parts)


ECHO = p_data(pdv(5, 3, command_set([(0x0002, b"1.2.840.10008.1.1\0"), (0x0100, b"\x30\0"), (0x0110, b"\1\0"),
                                     (0x0800, b"\1\1")])))


def connect(port: int) -> socket.socket:
    """Connect; every wait ends."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def associated(port: int, contexts: list[tuple[int, str, list[str]]] | None = None, max_pdu: int = 16384) -> RawSCU:
    """Return an open association."""
    scu = RawSCU("127.0.0.1", port)
    scu.associate(contexts or CONTEXTS, max_pdu=max_pdu)
    return scu


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def last_words(sock: socket.socket) -> bytes:
    """Return what the server sends before it closes. Fails when it does not close in time."""
    answer = b""
    end = time.monotonic() + DEADLINE_S
    while True:
        readable, _, _ = select.select([sock], [], [], max(0.0, end - time.monotonic()))
        assert readable, f"the server keeps the connection open after {answer[:40].hex()}"
        try:
            part = sock.recv(65536)
        except ConnectionResetError:
            return answer
        if not part:
            return answer
        answer += part


def pdus(octets: bytes) -> list[tuple[int, bytes]]:
    """Split what a server sent."""
    found, at = [], 0
    while at + 6 <= len(octets):
        kind, length = struct.unpack_from(">BxL", octets, at)
        found.append((kind, octets[at + 6:at + 6 + length]))
        at += 6 + length
    return found


def store_one(port: int) -> str:
    """Store one good object; return its UID."""
    uid = fresh_uid()
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(CT_CONTEXT)
        assert scu.store(1, CT, uid, data_set(uid)) == 0
        scu.release()
    return uid


class Baseline:
    """Processes, descriptors and memory of a server, to be compared with after an attack."""

    def __init__(self, server: FastscpServer, directory: Path) -> None:
        self.server = server
        self.directory = directory
        for _ in range(8):
            store_one(server.port)
        self.acknowledged = set(os.listdir(directory))
        self._pids = self._children()
        self._descriptors = server.idle_descriptors()
        self._memory = self._rss()

    def _children(self) -> set[int]:
        return {process.pid for process in self.server.family()}

    def _rss(self) -> int:
        return sum(process.memory_info().rss for process in self.server.family())

    def check(self, *, memory_growth: int = 8 << 20, files: bool = True) -> None:
        """The same processes live, nothing leaked, a good association succeeds, no strange file exists."""
        self.acknowledged.add(f"CT.{store_one(self.server.port)}")
        assert b"internal error" not in self.server.log(), self.server.log().decode("latin-1")[-4000:]
        assert b"cannot go on" not in self.server.log(), self.server.log().decode("latin-1")[-4000:]
        assert self._children() == self._pids, self.server.log().decode("latin-1")[-4000:]
        assert not _HARMFUL & set(self.server.log().decode())
        assert b"\nE: forged" not in self.server.log()
        wait_until(lambda: self.server.descriptors() == self._descriptors, "every descriptor is given back")
        assert self._rss() - self._memory < memory_growth
        for process in self.server.family():
            assert process.status() != psutil.STATUS_ZOMBIE
            assert process.num_threads() == 1
        if files:
            assert set(os.listdir(self.directory)) == self.acknowledged
