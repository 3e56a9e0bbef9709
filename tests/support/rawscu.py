"""A C-STORE sender that sends exactly the octets it is given, over a plain blocking socket.

Real toolkits re-encode what they send; comparisons of stored bytes need a sender that does not.
"""

from __future__ import annotations

import socket
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


class Aborted(Exception):  # noqa: N818 - reads like what happened
    """The peer sent A-ABORT, A-ASSOCIATE-RJ or closed the connection."""


@dataclass(frozen=True)
class Instance:
    """A DICOM file taken apart: meta values as text, the data set's octets as they are in the file."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    dataset: bytes


def split_file(octets: bytes) -> Instance:
    """Split a file with PS3.10 meta information; one without is taken as implicit little endian.

    Missing class or instance UIDs come as empty strings.
    """
    if octets[128:132] != b"DICM":
        values = top_level_uids(octets)
        return Instance(values[0], values[1], IMPLICIT, octets)
    meta: dict[int, bytes] = {}
    pos = 132
    end = len(octets)  # a data set may have a group 0002 of its own
    while pos + 8 <= end and octets[pos:pos + 2] == b"\x02\x00":
        element, vr, length = struct.unpack_from("<H2sH", octets, pos + 2)
        pos += 8
        if vr in {b"OB", b"UN", b"OW", b"SQ", b"UT"}:
            length = struct.unpack_from("<L", octets, pos)[0]
            pos += 4
        meta[element] = octets[pos:pos + length]
        pos += length
        if element == 0:
            end = pos + int.from_bytes(meta[0], "little")
    def text(element: int) -> str:
        return meta.get(element, b"").decode("ascii").strip(" \0")
    return Instance(text(2), text(3), text(0x10), octets[pos:])


def top_level_uids(dataset: bytes) -> tuple[str, str]:
    """Find SOP class and instance UID by their headers; empty when absent."""
    values = []
    for element in (b"\x16", b"\x18"):
        value = b""
        for header in (b"\x08\x00" + element + b"\x00UI", b"\x08\x00" + element + b"\x00"):
            at = dataset.find(header)
            if at >= 0:
                length = struct.unpack_from("<H", dataset, at + 6 if len(header) == 6 else at + 4)[0]
                value = dataset[at + 8:at + 8 + length]
                break
        values.append(value.decode("latin-1").strip(" \0"))
    return values[0], values[1]


def read_instance(path: str | Path) -> Instance:
    """Read and split a DICOM file."""
    return split_file(Path(path).read_bytes())


def inflate(octets: bytes) -> bytes:
    """Inflate a deflated data set (raw deflate, PS3.5 A.5)."""
    return zlib.decompressobj(-15).decompress(octets)


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _title(text: str) -> bytes:
    return text.encode("ascii").ljust(16)[:16]


def associate_rq(contexts: list[tuple[int, str, list[str]]], calling: str = "RAWSCU", called: str = "ANY-SCP",
                 max_pdu: int = 16384) -> bytes:
    """Encode an A-ASSOCIATE-RQ for ``(id, abstract syntax, transfer syntaxes)`` contexts."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for context_id, abstract, transfers in contexts:
        body = bytes((context_id, 0, 0, 0)) + _item(0x30, abstract.encode("ascii"))
        items += _item(0x20, body + b"".join(_item(0x40, uid.encode("ascii")) for uid in transfers))
    items += _item(0x50, _item(0x51, struct.pack(">L", max_pdu)) + _item(0x52, b"1.2.3.4"))
    body = struct.pack(">HH", 1, 0) + _title(called) + _title(calling) + bytes(32) + items
    return struct.pack(">BBL", 1, 0, len(body)) + body


def command_set(elements: list[tuple[int, bytes]]) -> bytes:
    """Encode a command set (implicit little endian) with its group length."""
    body = b"".join(struct.pack("<HHL", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _uid(uid: str) -> bytes:
    octets = uid.encode("latin-1")
    return octets + b"\0" * (len(octets) & 1)


def c_store_rq(sop_class: str, sop_instance: str, message_id: int = 1) -> bytes:
    """Encode the command set of a C-STORE-RQ that announces a data set."""
    return command_set([
        (0x0002, _uid(sop_class)), (0x0100, b"\x01\x00"), (0x0110, struct.pack("<H", message_id)),
        (0x0700, b"\x00\x00"), (0x0800, b"\x01\x00"), (0x1000, _uid(sop_instance)),
    ])


def pdv(context_id: int, flags: int, fragment: bytes) -> bytes:
    """Encode one presentation data value item."""
    return struct.pack(">LBB", len(fragment) + 2, context_id, flags) + fragment


def p_data(*pdvs: bytes) -> bytes:
    """Encode a P-DATA-TF PDU."""
    body = b"".join(pdvs)
    return struct.pack(">BBL", 4, 0, len(body)) + body


class RawSCU:
    """One association as requestor. Every wait ends after ``timeout_s``."""

    def __init__(self, host: str, port: int, timeout_s: float = 20.0) -> None:
        self.sock = socket.create_connection((host, port), timeout=timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted: dict[int, str] = {}
        self.results: dict[int, int] = {}
        self.peer_max_pdu = 16384
        self._message_id = 0

    def __enter__(self) -> RawSCU:  # noqa: PYI034 - Self is newer than Python 3.10
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, octets: bytes) -> None:
        """Send octets as they are."""
        self.sock.sendall(octets)

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = self.sock.recv(count)
            if not part:
                raise Aborted("connection closed")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def read_pdu(self) -> tuple[int, bytes]:
        """Read one PDU: its type and its body. Raises Aborted at end of file."""
        kind, _, length = struct.unpack(">BBL", self._exactly(6))
        return kind, self._exactly(length)

    def associate(self, contexts: list[tuple[int, str, list[str]]], *, calling: str = "RAWSCU",
                  called: str = "ANY-SCP", max_pdu: int = 16384) -> dict[int, str]:
        """Request an association; return the accepted transfer syntax of each accepted context."""
        self.send(associate_rq(contexts, calling, called, max_pdu))
        kind, body = self.read_pdu()
        if kind != 2:
            raise Aborted(f"PDU type {kind} in answer to A-ASSOCIATE-RQ: {body.hex()}")
        pos = 68
        while pos < len(body):
            item, length = struct.unpack_from(">BxH", body, pos)
            value = body[pos + 4:pos + 4 + length]
            if item == 0x21:
                self.results[value[0]] = value[2]
                if value[2] == 0:
                    self.accepted[value[0]] = value[8:].decode("ascii").strip("\0 ")
            elif item == 0x50 and value[:1] == b"\x51":
                self.peer_max_pdu = struct.unpack_from(">L", value, 4)[0] or 131072
            pos += 4 + length
        return self.accepted

    def store(self, context_id: int, sop_class: str, sop_instance: str, dataset: bytes, *,
              pdv_size: int | None = None) -> int:
        """Send one C-STORE and return its status. ``pdv_size`` is the largest fragment in octets."""
        self._message_id = self._message_id % 65535 + 1
        size = pdv_size or self.peer_max_pdu - 6
        self.send(p_data(pdv(context_id, 3, c_store_rq(sop_class, sop_instance, self._message_id))))
        out = []
        for start in range(0, len(dataset), size):
            last = start + size >= len(dataset)
            out.append(p_data(pdv(context_id, 2 if last else 0, dataset[start:start + size])))
        if not dataset:
            out.append(p_data(pdv(context_id, 2, b"")))
        self.send(b"".join(out))
        return self.read_status()

    def echo(self, context_id: int) -> int:
        """Send a C-ECHO and return its status."""
        self._message_id = self._message_id % 65535 + 1
        self.send(p_data(pdv(context_id, 3, command_set([
            (0x0002, _uid("1.2.840.10008.1.1")), (0x0100, b"\x30\x00"),
            (0x0110, struct.pack("<H", self._message_id)), (0x0800, b"\x01\x01"),
        ]))))
        return self.read_status()

    def read_status(self) -> int:
        """Read one response message and return (0000,0900)."""
        command = self.read_command()
        return int(struct.unpack("<H", command[0x0900])[0])

    def read_command(self) -> dict[int, bytes]:
        """Read one command set; element number to raw value. Raises Aborted on A-ABORT."""
        octets = b""
        while True:
            kind, body = self.read_pdu()
            if kind != 4:
                raise Aborted(f"PDU type {kind}: {body.hex()}")
            pos, last = 0, False
            while pos < len(body):
                length = struct.unpack_from(">L", body, pos)[0]
                last = bool(body[pos + 5] & 2)
                octets += body[pos + 6:pos + 4 + length]
                pos += 4 + length
            if last:
                break
        values: dict[int, bytes] = {}
        pos = 0
        while pos < len(octets):
            _, element, length = struct.unpack_from("<HHL", octets, pos)
            values[element] = octets[pos + 8:pos + 8 + length]
            pos += 8 + length
        return values

    def release(self) -> None:
        """Release the association and wait for the answer."""
        self.send(bytes.fromhex("050000000004") + bytes(4))
        kind, _ = self.read_pdu()
        if kind != 6:
            raise Aborted(f"PDU type {kind} in answer to A-RELEASE-RQ")
        self.close()

    def abort(self) -> None:
        """Send A-ABORT (source: service user) and close."""
        self.send(bytes.fromhex("070000000004") + bytes(4))
        self.close()

    def close(self) -> None:
        """Close the socket without a word."""
        self.sock.close()
