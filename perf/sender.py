"""Light senders: objects are encoded before the clock starts, and only their UIDs change from one to the next.

    message = Message(load("mr"), 1, max_pdu=16384)
    with Association("127.0.0.1", 11112, [message.sop_class]) as association:
        association.store(message, instance_uid(0, 1), study_uid(0, 1))       # seconds until it was answered
"""

from __future__ import annotations

import array
import multiprocessing
import os
import resource
import socket
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from perf.loads import EXPLICIT_LE, PLACEHOLDER, STUDY_PLACEHOLDER, UID_OCTETS, Load, instance_uid, study_uid

_HEADER_OCTETS = 1 << 16  #: placeholders are looked for no further
_UNLIMITED_PDU = 131072
_TIMEOUT_S = 120
_RELEASE_RQ = bytes.fromhex("0500000000 0400000000")
_MAXIMUM_LENGTH = b"\x51\x00\x00\x04"
_STATUS = b"\x00\x00\x00\x09\x02\x00\x00\x00"
_FORK = multiprocessing.get_context("fork")


def associate_request(sop_classes: Sequence[str], calling: str = "BENCH") -> bytes:
    """Encode an A-ASSOCIATE-RQ with contexts 1, 3, 5 and so on (PS3.8 §9.3.2)."""
    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(value)) + value

    contexts = b"".join(
        item(0x20, struct.pack(">Bxxx", 2 * n + 1) + item(0x30, uid.encode()) + item(0x40, EXPLICIT_LE.encode()))
        for n, uid in enumerate(sop_classes))
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4") + item(0x55, b"BENCH"))
    body = (struct.pack(">H2x16s16s32x", 1, b"ANY-SCP".ljust(16), calling.encode().ljust(16))
            + item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user)
    return struct.pack(">BxI", 1, len(body)) + body


def _store_request(sop_class: str) -> bytes:
    """Encode a C-STORE-RQ with the placeholder as its instance (PS3.7 §9.3.1.1)."""
    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, number, len(value)) + value

    uid = sop_class.encode() + b"\0" * (len(sop_class) % 2)
    command = (element(2, uid) + element(0x100, b"\1\0") + element(0x110, b"\1\0") + element(0x700, b"\0\0")
               + element(0x800, b"\0\0") + element(0x1000, PLACEHOLDER.encode()))
    return element(0, struct.pack("<I", len(command))) + command


class Message:
    """A C-STORE-RQ and its data set as P-DATA-TF PDUs no longer than ``max_pdu`` (PS3.8 §9.3.5)."""

    def __init__(self, load: Load, context: int, max_pdu: int) -> None:
        def pdu(flags: int, value: bytes | memoryview) -> list[bytes | memoryview]:
            return [struct.pack(">BxIIBB", 4, len(value) + 6, len(value) + 2, context, flags), value]

        self.sop_class = load.sop_class
        parts = pdu(3, _store_request(load.sop_class))
        view = memoryview(load.data_set)
        step = (max_pdu or _UNLIMITED_PDU) - 6
        for start in range(0, len(view), step):
            parts += pdu(2 if start + step >= len(view) else 0, view[start : start + step])
        self._octets = bytearray().join(parts)
        self._instances = self._places(PLACEHOLDER)
        self._studies = self._places(STUDY_PLACEHOLDER)
        if len(self._instances) != 2 or len(self._studies) != 1:
            raise ValueError(f"{load.name}: a UID lies across two PDUs, or too far behind")

    def _places(self, uid: str) -> list[int]:
        found: list[int] = []
        at = self._octets.find(uid.encode(), 0, _HEADER_OCTETS)
        while at >= 0:
            found.append(at)
            at = self._octets.find(uid.encode(), at + UID_OCTETS, _HEADER_OCTETS)
        return found

    def numbered(self, instance: str, study: str) -> bytearray:
        """Return the octets of one object. They are the same buffer each time."""
        for uid, places in ((instance.encode(), self._instances), (study.encode(), self._studies)):
            for at in places:
                self._octets[at : at + UID_OCTETS] = uid
        return self._octets


def receive_pdu(sock: socket.socket) -> bytes:
    """Receive one whole PDU."""
    data = b""
    while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6], "big"):
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError("connection closed")
        data += piece
    return data


def _accepted(answer: bytes) -> int:
    """Return the maximum length in an A-ASSOCIATE-AC (PS3.8 §9.3.3)."""
    if answer[0] != 2:
        raise ConnectionError(f"association refused: {answer!r}")
    return int.from_bytes(answer[answer.index(_MAXIMUM_LENGTH) + 4 :][:4], "big")


class Association:
    """An association as requestor; contexts 1, 3, 5 are those of the SOP classes."""

    def __init__(self, host: str, port: int, sop_classes: Sequence[str], tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket)
            self._socket.sendall(associate_request(sop_classes))
            #: what the peer takes in a PDU; 0 is any length
            self.max_pdu = _accepted(receive_pdu(self._socket))
        except BaseException:
            self._socket.close()
            raise

    def store(self, message: Message, instance: str, study: str) -> float:
        """Send an object, wait for success; return how long that took in seconds."""
        octets = message.numbered(instance, study)
        begin = time.perf_counter()
        self._socket.sendall(octets)
        response = receive_pdu(self._socket)
        seconds = time.perf_counter() - begin
        status = response[response.index(_STATUS) + 8 :][:2]
        if status != b"\0\0":
            raise ConnectionError(f"status {status!r}")
        return seconds

    def release(self) -> None:
        """Release the association."""
        self._socket.sendall(_RELEASE_RQ)
        receive_pdu(self._socket)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Association:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.release()
        finally:
            self.close()


@dataclass(frozen=True)
class Target:
    """Where senders send to, and how they get there."""

    port: int
    host: str = "127.0.0.1"
    tls: ssl.SSLContext | None = None
    enter: Callable[[], None] = field(default=lambda: None)  #: called first in a sender's process


@dataclass(frozen=True)
class Work:
    """What one sender does: ``count`` objects, the messages in turn, so many per association (0: all)."""

    messages: tuple[Message, ...]
    sender: int
    count: int
    per_association: int
    first: int  #: number of its first object


def send(target: Target, work: Work) -> list[float]:
    """Do the work; return the seconds each object took."""
    taken: list[float] = []
    study = study_uid(work.sender, work.first)
    classes = [message.sop_class for message in work.messages]
    while len(taken) < work.count:
        with Association(target.host, target.port, classes, target.tls) as association:
            for _ in range(min(work.per_association or work.count, work.count - len(taken))):
                number = len(taken)
                message = work.messages[number % len(work.messages)]
                taken.append(association.store(message, instance_uid(work.sender, work.first + number), study))
    return taken


def _sender(target: Target, work: Work, start: Connection, result: Connection) -> None:
    target.enter()
    start.recv_bytes()
    result.send_bytes(array.array("d", send(target, work)).tobytes())


def send_all(target: Target, works: Sequence[Work]) -> tuple[float, list[float]]:
    """Have every sender work in a process of its own; return the seconds it took, and the seconds of each object."""
    running = []
    try:
        for work in works:
            begin, may_begin = _FORK.Pipe(duplex=False)
            result, told = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_sender, args=(target, work, begin, told), daemon=True)
            process.start()
            begin.close()
            told.close()
            running.append((process, may_begin, result))
        started = time.perf_counter()
        for _, may_begin, _ in running:
            may_begin.send_bytes(b"!")
        taken = array.array("d")
        for _, _, result in running:
            taken.frombytes(result.recv_bytes())
        seconds = time.perf_counter() - started
        for process, _, _ in running:
            process.join()
    except EOFError:
        raise RuntimeError("a sender failed") from None
    finally:
        for process, may_begin, result in running:
            process.terminate()
            may_begin.close()
            result.close()
    return seconds, list(taken)


class Idle:
    """So many associations that are open and say nothing, in processes of their own."""

    _EACH = 500

    def __init__(self, target: Target, sop_class: str, count: int) -> None:
        self._processes = []
        self._pipes = []
        for start in range(0, count, self._EACH):
            ours, theirs = _FORK.Pipe()
            process = _FORK.Process(target=_hold, args=(target, sop_class, min(self._EACH, count - start), theirs), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        for pipe in self._pipes:
            try:
                pipe.recv_bytes()
            except EOFError:
                self.close()
                raise RuntimeError("an idle association could not be opened") from None

    def close(self) -> None:
        """Abandon them all."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _hold(target: Target, sop_class: str, count: int, pipe: Connection) -> None:
    target.enter()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = [Association(target.host, target.port, [sop_class], target.tls) for _ in range(count)]
    pipe.send_bytes(b"%d" % os.getpid())
    try:
        pipe.recv_bytes()  # until its end is closed
    except EOFError:
        for association in held:
            association.close()
