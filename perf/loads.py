"""Objects to send: encoded once, sent many times with fresh UIDs.

Headers are real ones, read from pydicom's wheel: a CT with its private groups (262 elements) with pixels of
the size that is wanted, and a structured report (305 elements in nested sequences). The Enhanced MR and the 200 MB
are made here. Everything is explicit VR little endian. ``LOADS`` has them by name; encoding waits until one is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.support import datasets as ds

EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
UID_OCTETS = 44
#: stands where each object has its SOP Instance UID
PLACEHOLDER = "2.25." + "9" * (UID_OCTETS - 5)
#: stands where each object has its Study Instance UID
STUDY_PLACEHOLDER = "2.25." + "8" * (UID_OCTETS - 5)
_VALUES = {"CS": b"ORIGINAL", "DS": b"1.50", "LO": b"Some text ", "US": b"\1\0", "UI": b"1.2.840.1.22", "TM": b"101010"}


@dataclass(frozen=True)
class Load:
    """One kind of object: its SOP class, its encoded data set with placeholders, how many make a round."""

    name: str
    sop_class: str
    data_set: bytes
    objects: int

    @property
    def uid_offset(self) -> int:
        """Offset of the placeholder of the SOP Instance UID."""
        return self.data_set.index(PLACEHOLDER.encode())


def instance_uid(sender: int, number: int) -> str:
    """Return a UID of constant length."""
    return f"2.25.1{sender:04d}{number:0{UID_OCTETS - 10}d}"


def _real(name: str) -> Dataset:
    """Read a file of pydicom's wheel."""
    return dcmread(next((Path(pydicom.__file__).parent / "data").rglob(name)))


def _encode(dataset: Dataset) -> bytes:
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = PLACEHOLDER, STUDY_PLACEHOLDER
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return stream.getvalue()


def image(modality: str, sop_class: str, rows: int, columns: int, *, sequences: bool = False) -> bytes:
    """Encode an image with the header of a real CT (262 elements, private groups included).

    With ``sequences`` it has four short sequences of undefined length besides, as most scanners send.
    """
    dataset = _real("CT_small.dcm")
    del dataset[0xFFFCFFFC]
    if sequences:
        for keyword in ("ProcedureCodeSequence", "ReferencedStudySequence", "RequestAttributesSequence",
                        "PerformedProtocolCodeSequence"):
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CTTHOR", "99LOCAL", "CT of the thorax"
            item.is_undefined_length_sequence_item = True
            setattr(dataset, keyword, [item])
            dataset[keyword].is_undefined_length = True
    dataset.SOPClassUID, dataset.Modality, dataset.Rows, dataset.Columns = sop_class, modality, rows, columns
    dataset.PixelData = (bytes(range(256)) * (rows * columns * 2 // 256 + 1))[: rows * columns * 2]
    return _encode(dataset)


def _head(sop_class: str) -> bytes:
    return (ds.explicit(0x00080016, "UI", ds.uid(sop_class)) + ds.explicit(0x00080018, "UI", ds.uid(PLACEHOLDER))
            + ds.explicit(0x0020000D, "UI", ds.uid(STUDY_PLACEHOLDER)))


def _multi_frame_header() -> bytes:
    """Encode some 130 elements and four short sequences."""
    parts = [ds.explicit(0x00080016, "UI", ds.uid(MULTI_FRAME)), ds.explicit(0x00080018, "UI", ds.uid(PLACEHOLDER))]
    names = list(_VALUES)
    for group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x0040):
        if group == 0x0020:
            parts.append(ds.explicit(0x0020000D, "UI", ds.uid(STUDY_PLACEHOLDER)))
        parts += [ds.explicit(group << 16 | 0x30 + n, names[n % 6], _VALUES[names[n % 6]]) for n in range(22)]
    code = (ds.explicit(0x00080100, "SH", b"CODE") + ds.explicit(0x00080102, "SH", b"DCM ")
            + ds.explicit(0x00080104, "LO", b"meaning "))
    parts += [ds.sequence(0x00400270 + n, ds.item(code, delimited=True), delimited=True) for n in range(4)]
    return b"".join(parts)


@functools.cache
def _acquisition_tags(vr: str, count: int) -> list[int]:
    """Return the first tags of Enhanced objects with this VR: where a VR is not the dictionary's, ``+ti`` refuses the object."""
    return sorted(tag for tag, entry in DicomDictionary.items() if tag >> 16 == 0x0018 and tag & 0xFFFF >= 0x9000 and entry[0] == vr)[:count]


def _frame(number: int) -> bytes:
    """The functional groups of one frame: some fifty elements, sequences and items."""
    def group(tag: int, *elements: bytes) -> bytes:
        return ds.sequence(tag, ds.item(b"".join(elements), delimited=True), delimited=True)

    text = b"%08d" % number
    timing = [ds.explicit(tag, "FD", bytes(8)) for tag in _acquisition_tags("FD", 12)]
    return ds.item(b"".join((
        group(0x00189112, *timing),
        group(0x00189115, *(ds.explicit(tag, "CS", b"NONE") for tag in _acquisition_tags("CS", 8))),
        group(0x00209111, ds.explicit(0x00189074, "DT", b"20260101" + text), ds.explicit(0x00209057, "UL", text[:4]),
              ds.explicit(0x00209157, "UL", text * 2)),
        group(0x00209113, ds.explicit(0x00200032, "DS", b"1.0\\2.0\\" + text)),
        group(0x00209116, ds.explicit(0x00200037, "DS", b"1\\0\\0\\0\\1\\0 ")),
        group(0x00289110, ds.explicit(0x00180050, "DS", b"1 "), ds.explicit(0x00280030, "DS", b"1\\1 ")),
        group(0x00289132, ds.explicit(0x00281050, "DS", b"1 "), ds.explicit(0x00281051, "DS", b"1 ")),
    )), delimited=True)


def _report() -> Load:
    dataset = _real("test-SR.dcm")
    return Load("SR 7 kB", str(dataset.SOPClassUID), _encode(dataset), 2000)


def _enhanced() -> Load:
    frames = b"".join(_frame(number) for number in range(2000))
    return Load("Enhanced MR", ENHANCED_MR, _head(ENHANCED_MR) + ds.sequence(0x52009230, frames, delimited=True)
                + ds.explicit(0x7FE00010, "OW", bytes(64 * 64 * 2)), 24)


def _multi_frame(name: str, octets: int, objects: int) -> Load:
    """Pixels are zeros: nobody looks at them."""
    return Load(name, MULTI_FRAME, _multi_frame_header() + ds.explicit(0x7FE00010, "OB", bytes(octets)), objects)


LOADS: dict[str, Callable[[], Load]] = {
    "ct": lambda: Load("CT 530 kB", CT, image("CT", CT, 512, 512), 800),
    "mr": lambda: Load("MR 38 kB", MR, image("MR", MR, 128, 126), 2000),
    "sr": _report,
    "sequences": lambda: Load("MR 38 kB with sequences", MR, image("MR", MR, 128, 126, sequences=True), 2000),
    "enhanced": _enhanced,
    "200mb": lambda: _multi_frame("200 MB", 200_000_000, 8),
    "4mb": lambda: _multi_frame("4 MB", 4_000_000, 120),
}


@functools.cache
def load(name: str) -> Load:
    """Encode a load, once."""
    return LOADS[name]()
