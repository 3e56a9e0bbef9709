"""Objects made up, for who has no files at hand: complete enough that a PACS takes them, of the size such objects have.

    ct           530 kB    512 x 512 pixels
    mr            38 kB    126 x 128 pixels, with some sequences of undefined length
    sr             9 kB    a report of nested content items, no pixels
    enhanced     3.2 MB    an Enhanced MR of 24 frames, functional groups nested three deep
    multiframe    20 MB    a colour ultrasound loop of 60 frames

All are explicit VR little endian. Pixels are made by a small generator: they are not all the same, and do not compress to nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from fastscp.blast.numbering import USUAL
from fastscp.blast.template import Template, template
from fastscp.dicom import tags, uids
from fastscp.dicom.headers import LONG_VRS, PACKERS, UNDEFINED

_short, _long, _plain, _ = PACKERS[True]
_PLACEHOLDER: Final = "2.25.1" + "0" * (USUAL - 6)
_OTHER_UID: Final = "2.25.2" + "0" * (USUAL - 6)


def element(tag: int, vr: str, value: bytes | str | int) -> bytes:
    """Encode one element in explicit VR little endian; a number is US."""
    octets = struct.pack("<H", value) if isinstance(value, int) else value.encode("ascii") if isinstance(value, str) else value
    if len(octets) & 1:
        octets += b"\0" if vr in {"UI", "OB"} else b" "
    name = vr.encode("ascii")
    if name in LONG_VRS:
        return _long(tag >> 16, tag & 0xFFFF, name, 0, len(octets)) + octets
    return _short(tag >> 16, tag & 0xFFFF, name, len(octets)) + octets


def sequence(tag: int, *items: bytes, undefined: bool = False) -> bytes:
    """Encode a sequence, with lengths or with delimiters."""
    group, number = tag >> 16, tag & 0xFFFF
    if not undefined:
        content = b"".join(_plain(0xFFFE, 0xE000, len(item)) + item for item in items)
        return _long(group, number, b"SQ", 0, len(content)) + content
    content = b"".join(_plain(0xFFFE, 0xE000, UNDEFINED) + item + _plain(0xFFFE, 0xE00D, 0) for item in items)
    return _long(group, number, b"SQ", 0, UNDEFINED) + content + _plain(0xFFFE, 0xE0DD, 0)


def _code(value: str, scheme: str, meaning: str) -> bytes:
    return element(0x00080100, "SH", value) + element(0x00080102, "SH", scheme) + element(0x00080104, "LO", meaning)


def _pixels(octets: int) -> bytes:
    """Return so many octets that look like 12 bit values with noise."""
    state, row = 12345, bytearray()
    for index in range(2048):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        row += struct.pack("<H", (index * 2 + (state >> 16 & 0xFF)) & 0x0FFF)
    return (bytes(row) * (octets // len(row) + 1))[:octets]


def _header(sop_class: str, modality: str, description: str) -> dict[int, bytes]:
    rows: tuple[tuple[int, str, str], ...] = (
        (0x00080005, "CS", "ISO_IR 100"), (tags.SOP_CLASS_UID, "UI", sop_class), (tags.SOP_INSTANCE_UID, "UI", _PLACEHOLDER),
        (0x00080020, "DA", "20260102"), (0x00080021, "DA", "20260102"), (0x00080023, "DA", "20260102"),
        (0x00080030, "TM", "101112"), (0x00080031, "TM", "101113"), (0x00080033, "TM", "101114"), (0x00080050, "SH", "BLAST1"),
        (tags.MODALITY, "CS", modality), (0x00080070, "LO", "fastscp"), (0x00080080, "LO", "Load Test"), (0x00080090, "PN", "Tester^Load"),
        (0x00081030, "LO", "Load test"), (0x0008103E, "LO", description), (0x00081090, "LO", "fastscp-blast"),
        (tags.PATIENT_NAME, "PN", "Blast^Load"), (tags.PATIENT_ID, "LO", "BLAST-1"), (0x00100030, "DA", "19700101"), (0x00100040, "CS", "O"),
        (tags.STUDY_INSTANCE_UID, "UI", _PLACEHOLDER), (tags.SERIES_INSTANCE_UID, "UI", _PLACEHOLDER), (0x00200010, "SH", "1"),
        (0x00200011, "IS", "1"), (0x00200013, "IS", "1"))
    return {tag: element(tag, vr, value) for tag, vr, value in rows}


def _image(rows: int, columns: int, *, samples: int = 1, bits: int = 16) -> dict[int, bytes]:
    stored = 12 if bits == 16 else 8
    found = {
        0x00280002: element(0x00280002, "US", samples),
        0x00280004: element(0x00280004, "CS", "RGB" if samples == 3 else "MONOCHROME2"),
        0x00280010: element(0x00280010, "US", rows), 0x00280011: element(0x00280011, "US", columns),
        0x00280100: element(0x00280100, "US", bits), 0x00280101: element(0x00280101, "US", stored),
        0x00280102: element(0x00280102, "US", stored - 1), 0x00280103: element(0x00280103, "US", 0)}
    if samples == 3:
        found[0x00280006] = element(0x00280006, "US", 0)
    return found


def _plane() -> dict[int, bytes]:
    return {
        0x00080008: element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL"), 0x00180050: element(0x00180050, "DS", "5"),
        0x00200032: element(0x00200032, "DS", "-150\\-150\\10"), 0x00200037: element(0x00200037, "DS", "1\\0\\0\\0\\1\\0"),
        0x00200052: element(0x00200052, "UI", _OTHER_UID), 0x00201041: element(0x00201041, "DS", "10"),
        0x00280030: element(0x00280030, "DS", "0.585938\\0.585938")}


def _ct() -> tuple[str, dict[int, bytes]]:
    sop_class = "1.2.840.10008.5.1.4.1.1.2"
    return sop_class, _header(sop_class, "CT", "Thorax 5.0") | _plane() | _image(512, 512) | {
        0x00180060: element(0x00180060, "DS", "120"), 0x00281052: element(0x00281052, "DS", "-1024"),
        0x00281053: element(0x00281053, "DS", "1"), 0x00281050: element(0x00281050, "DS", "40"),
        0x00281051: element(0x00281051, "DS", "400"), tags.PIXEL_DATA: element(tags.PIXEL_DATA, "OW", _pixels(512 * 512 * 2))}


def _mr() -> tuple[str, dict[int, bytes]]:
    sop_class = "1.2.840.10008.5.1.4.1.1.4"
    request = element(0x00400007, "LO", "MR brain") + sequence(0x00400008, _code("MRB", "99BLAST", "MR of the brain"), undefined=True)
    return sop_class, _header(sop_class, "MR", "t1 axial") | _plane() | _image(128, 126) | {
        0x00081032: sequence(0x00081032, _code("MRB", "99BLAST", "MR of the brain"), undefined=True),
        0x00180020: element(0x00180020, "CS", "SE"), 0x00180021: element(0x00180021, "CS", "NONE"),
        0x00180022: element(0x00180022, "CS", "PFP"), 0x00180023: element(0x00180023, "CS", "2D"),
        0x00180080: element(0x00180080, "DS", "500"), 0x00180081: element(0x00180081, "DS", "15"),
        0x00400275: sequence(0x00400275, request, undefined=True),
        0x00081140: sequence(0x00081140, element(0x00081150, "UI", sop_class) + element(0x00081155, "UI", _OTHER_UID), undefined=True),
        tags.PIXEL_DATA: element(tags.PIXEL_DATA, "OW", _pixels(128 * 126 * 2))}


def _sr() -> tuple[str, dict[int, bytes]]:
    sop_class = "1.2.840.10008.5.1.4.1.1.88.22"

    def text(number: int) -> bytes:
        return (element(0x0040A010, "CS", "CONTAINS") + element(0x0040A040, "CS", "TEXT")
                + sequence(0x0040A043, _code(f"B{number}", "99BLAST", f"Finding number {number}"))
                + element(0x0040A160, "UT", f"Nothing to be seen at place {number} of this report. " * 3))

    def section(number: int) -> bytes:
        return (element(0x0040A010, "CS", "CONTAINS") + element(0x0040A040, "CS", "CONTAINER")
                + sequence(0x0040A043, _code(f"S{number}", "99BLAST", f"Section {number}")) + element(0x0040A050, "CS", "SEPARATE")
                + sequence(0x0040A730, *(text(number * 10 + index) for index in range(5)), undefined=number % 2 == 1))

    return sop_class, _header(sop_class, "SR", "Report") | {
        0x00081111: sequence(0x00081111), 0x0040A040: element(0x0040A040, "CS", "CONTAINER"),
        0x0040A043: sequence(0x0040A043, _code("121111", "DCM", "Summary")), 0x0040A050: element(0x0040A050, "CS", "SEPARATE"),
        0x0040A372: sequence(0x0040A372), 0x0040A491: element(0x0040A491, "CS", "COMPLETE"),
        0x0040A493: element(0x0040A493, "CS", "UNVERIFIED"), 0x0040A730: sequence(0x0040A730, *map(section, range(6)))}


def _enhanced() -> tuple[str, dict[int, bytes]]:
    sop_class, frames = "1.2.840.10008.5.1.4.1.1.4.1", 24

    def group(number: int) -> bytes:
        place = sequence(0x00209113, element(0x00200032, "DS", f"-120\\-120\\{number * 5}"))
        content = element(0x00209156, "US", number + 1) + element(0x00209157, "UL", struct.pack("<2I", 1, number + 1))
        values = element(0x00281052, "DS", "0") + element(0x00281053, "DS", "1") + element(0x00281054, "LO", "US")
        return sequence(0x00209111, content) + place + sequence(0x00289145, values)

    shared = (sequence(0x00209116, element(0x00200037, "DS", "1\\0\\0\\0\\1\\0"))
              + sequence(0x00289110, element(0x00180050, "DS", "5") + element(0x00280030, "DS", "0.9375\\0.9375")))
    return sop_class, _header(sop_class, "MR", "enhanced") | _image(256, 256) | {
        0x00080008: element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\T1\\NONE"), 0x00200052: element(0x00200052, "UI", _OTHER_UID),
        0x00280008: element(0x00280008, "IS", str(frames)), 0x52009229: sequence(0x52009229, shared),
        0x52009230: sequence(0x52009230, *map(group, range(frames))),
        tags.PIXEL_DATA: element(tags.PIXEL_DATA, "OW", _pixels(256 * 256 * 2 * frames))}


def _multiframe() -> tuple[str, dict[int, bytes]]:
    sop_class, frames, rows, columns = "1.2.840.10008.5.1.4.1.1.3.1", 60, 300, 370
    return sop_class, _header(sop_class, "US", "loop") | _image(rows, columns, samples=3, bits=8) | {
        0x00080008: element(0x00080008, "CS", "ORIGINAL\\PRIMARY"), 0x00181063: element(0x00181063, "DS", "33"),
        0x00280008: element(0x00280008, "IS", str(frames)), 0x00280009: element(0x00280009, "AT", struct.pack("<2H", 0x0018, 0x1063)),
        tags.PIXEL_DATA: element(tags.PIXEL_DATA, "OB", _pixels(rows * columns * 3 * frames))}


LOADS: Final[Mapping[str, Callable[[], tuple[str, dict[int, bytes]]]]] = {
    "ct": _ct, "mr": _mr, "sr": _sr, "enhanced": _enhanced, "multiframe": _multiframe}


def synthetic(name: str) -> Template:
    """Make the load of that name."""
    sop_class, found = LOADS[name]()
    return template(sop_class, uids.EXPLICIT_VR_LITTLE_ENDIAN, b"".join(found[tag] for tag in sorted(found)))
