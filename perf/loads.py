"""Objects to send: encoded once, sent many times with fresh SOP Instance UIDs.

Headers are those of everyday objects: about 130 elements for an image, private groups, a few short
sequences. Everything is explicit VR little endian, generated, without any patient.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SC = "1.2.840.10008.5.1.4.1.1.7"
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


def _item(**values: object) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item


def _header(sop_class: str, modality: str, rows: int, columns: int, *, short: bool = False) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, PLACEHOLDER
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"):
        setattr(ds, name, "20240131")
    for name in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime", "InstanceCreationTime"):
        setattr(ds, name, "101530.000000")
    ds.AccessionNumber, ds.Modality, ds.Manufacturer = "A0001234", modality, "BENCH"
    ds.InstitutionName, ds.StationName = "GENERAL HOSPITAL", "STATION1"
    ds.ReferringPhysicianName, ds.StudyDescription, ds.SeriesDescription = "DOC^TOR", "CHEST", "AX 2.0"
    ds.ManufacturerModelName = "MODEL X"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "BENCH^MARK", "ID0001", "19700101", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = PLACEHOLDER[:-1] + "1", PLACEHOLDER[:-1] + "2"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = "1", "2", "1", "17"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = rows, columns, 16, 12, 11
    ds.PixelRepresentation = 0
    ds.ReferencedStudySequence = Sequence([_item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=PLACEHOLDER[:-1] + "3")])
    if short:
        return ds
    ds.PatientAge, ds.PatientWeight, ds.PatientPosition = "053Y", "80", "HFS"
    ds.BodyPartExamined, ds.SliceThickness, ds.ProtocolName = "CHEST", "2.0", "ROUTINE CHEST"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "V1.2.3", "123456"
    for name, value in (("KVP", "120"), ("DataCollectionDiameter", "500"), ("ReconstructionDiameter", "350"),
                        ("GantryDetectorTilt", "0"), ("TableHeight", "150.5"), ("ExposureTime", "500"),
                        ("XRayTubeCurrent", "200"), ("Exposure", "100"), ("FocalSpots", "1.2"),
                        ("RepetitionTime", "500"), ("EchoTime", "12"), ("FlipAngle", "90"),
                        ("SpacingBetweenSlices", "2"), ("EchoTrainLength", "8"), ("PercentSampling", "80"),
                        ("SliceLocation", "-120.5"), ("WindowCenter", "40"), ("WindowWidth", "400"),
                        ("RescaleIntercept", "-1024"), ("RescaleSlope", "1")):
        setattr(ds, name, value)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = ["-175", "-175", "-120.5"], ["1", "0", "0", "0", "1", "0"]
    ds.FrameOfReferenceUID, ds.PixelSpacing = PLACEHOLDER[:-1] + "4", ["0.68", "0.68"]
    ds.ProcedureCodeSequence = Sequence([_item(CodeValue="CT1", CodingSchemeDesignator="L", CodeMeaning="CHEST CT")])
    ds.RequestAttributesSequence = Sequence([_item(ScheduledProcedureStepID="S1", RequestedProcedureID="R1",
                                                   ScheduledProcedureStepDescription="CHEST")])
    ds.ReferencedImageSequence = Sequence([_item(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=PLACEHOLDER[:-1] + str(n))
                                           for n in range(5, 8)])
    for group in (0x0019, 0x0029, 0x0051):
        block = ds.private_block(group, f"BENCH HEADER {group:04X}", create=True)
        for element in range(14):
            block.add_new(element, ("LO", "DS", "IS", "UN")[element % 4], (b"private value" + b" " if element % 4 == 3 else str(element)))
    return ds


def _encode(ds: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, ds)
    return stream.getvalue()


def loads() -> list[Load]:
    """Return the three loads: 7 kB, 38 kB and 530 kB."""
    made = []
    for name, sop_class, modality, rows, columns, short in (
        ("small 7 kB", SC, "OT", 56, 54, True),
        ("MR 38 kB", MR, "MR", 128, 132, False),
        ("CT 530 kB", CT, "CT", 512, 512, False),
    ):
        ds = _header(sop_class, modality, rows, columns, short=short)
        ds.add_new(0x7FE00010, "OW", bytes(range(256)) * (rows * columns * 2 // 256 + 1))
        ds.PixelData = ds.PixelData[: rows * columns * 2]
        made.append(Load(name, sop_class, _encode(ds)))
    return made


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
