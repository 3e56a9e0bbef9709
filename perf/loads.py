"""Objects to send: encoded once, sent many times with fresh SOP Instance UIDs.

Headers are real ones, read from pydicom's wheel: a CT with its private groups (262 elements) with pixels of
the size that is wanted, and a structured report (305 elements in nested sequences). Everything is explicit VR
little endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
UID_OCTETS = 44
PLACEHOLDER = "2.25." + "9" * (UID_OCTETS - 5)


@dataclass(frozen=True)
class Load:
    """One kind of object: its SOP class, its encoded data set, where the instance UID stands in it."""

    name: str
    sop_class: str
    data_set: bytes

    @property
    def uid_offset(self) -> int:
        """Offset of the placeholder UID."""
        return self.data_set.index(PLACEHOLDER.encode())


def _real(name: str) -> Dataset:
    """Read a file of pydicom's wheel."""
    return dcmread(next((Path(pydicom.__file__).parent / "data").rglob(name)))


def _encode(ds: Dataset) -> bytes:
    ds.SOPInstanceUID = PLACEHOLDER
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds)
    return stream.getvalue()


def image(modality: str, sop_class: str, rows: int, columns: int, *, sequences: bool = False) -> bytes:
    """Encode an image with the header of a real CT (262 elements, private groups included).

    With ``sequences`` it has four short sequences of undefined length besides, as most scanners send.
    """
    ds = _real("CT_small.dcm")
    del ds[0xFFFCFFFC]
    if sequences:
        for keyword in ("ProcedureCodeSequence", "ReferencedStudySequence", "RequestAttributesSequence",
                        "PerformedProtocolCodeSequence"):
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CTTHOR", "99LOCAL", "CT of the thorax"
            item.is_undefined_length_sequence_item = True
            setattr(ds, keyword, [item])
            ds[keyword].is_undefined_length = True
    ds.SOPClassUID, ds.Modality, ds.Rows, ds.Columns = sop_class, modality, rows, columns
    ds.PixelData = (bytes(range(256)) * (rows * columns * 2 // 256 + 1))[: rows * columns * 2]
    return _encode(ds)


def loads() -> list[Load]:
    """Return the three loads: 7 kB, 38 kB and 530 kB."""
    report = _real("test-SR.dcm")
    return [
        Load("SR 7 kB", str(report.SOPClassUID), _encode(report)),
        Load("MR 38 kB", MR, image("MR", MR, 128, 126)),
        Load("CT 530 kB", CT, image("CT", CT, 512, 512)),
    ]


def associate_request(sop_class: str, calling: str = "BENCH") -> bytes:
    """Encode an A-ASSOCIATE-RQ with one context (PS3.8 §9.3.2)."""
    def item(kind: int, value: bytes) -> bytes:
        return struct.pack(">BxH", kind, len(value)) + value

    context = item(0x20, struct.pack(">Bxxx", 1) + item(0x30, sop_class.encode()) + item(0x40, EXPLICIT_LE.encode()))
    user = item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4") + item(0x55, b"BENCH"))
    body = (struct.pack(">H2x16s16s32x", 1, b"ANY-SCP".ljust(16), calling.encode().ljust(16))
            + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user)
    return struct.pack(">BxI", 1, len(body)) + body


def store_message(load: Load, uid: str, message_id: int, max_pdu: int) -> list[bytes | memoryview]:
    """Encode C-STORE-RQ and data set as P-DATA-TF PDUs no longer than ``max_pdu`` (PS3.8 §9.3.5)."""
    def element(group_element: int, value: bytes) -> bytes:
        return struct.pack("<HHI", 0, group_element, len(value)) + value

    def text(value: str) -> bytes:
        return value.encode() + b"\0" * (len(value) % 2)

    command = (element(2, text(load.sop_class)) + element(0x100, b"\1\0") + element(0x110, struct.pack("<H", message_id))
               + element(0x700, b"\0\0") + element(0x800, b"\0\0") + element(0x1000, text(uid)))
    command = element(0, struct.pack("<I", len(command))) + command
    parts: list[bytes | memoryview] = [struct.pack(">BxIIBB", 4, len(command) + 6, len(command) + 2, 1, 3), command]
    data = bytearray(load.data_set)
    data[load.uid_offset : load.uid_offset + UID_OCTETS] = uid.encode()
    view = memoryview(data)
    step = max_pdu - 6
    for start in range(0, len(view), step):
        piece = view[start : start + step]
        last = 2 if start + step >= len(view) else 0
        parts += [struct.pack(">BxIIBB", 4, len(piece) + 6, len(piece) + 2, 1, last), piece]
    return parts


def instance_uid(sender: int, number: int) -> str:
    """Return a UID of constant length."""
    return f"2.25.1{sender:04d}{number:0{UID_OCTETS - 10}d}"
