"""Requests for commitment read from octets that may be anything, results written so that pydicom reads them."""

from __future__ import annotations

import contextlib
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from fastscp.commitment.messages import (
    Action,
    Failure,
    Reference,
    RequestError,
    Result,
    encode_result,
    read_action,
)
from fastscp.dimse import status

CT = "1.2.840.10008.5.1.4.1.1.2"
UIDS = st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, (1, *parts))))


def request(*pairs: tuple[str, str], transaction: str = "1.2.3", undefined: bool = False, more: bool = False) -> Dataset:
    made = Dataset()
    made.TransactionUID = transaction
    made.ReferencedSOPSequence = Sequence()
    for sop_class, instance in pairs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        item.is_undefined_length_sequence_item = undefined
        made.ReferencedSOPSequence.append(item)
    made["ReferencedSOPSequence"].is_undefined_length = undefined
    if more:  # what is passed over, in front and behind
        inner = Dataset()
        inner.CodeValue = "1"
        inner.ContentSequence = Sequence([Dataset()])
        inner["ContentSequence"].is_undefined_length = undefined
        inner.is_undefined_length_sequence_item = undefined
        made.ProcedureCodeSequence = Sequence([inner])
        made["ProcedureCodeSequence"].is_undefined_length = undefined
        made.StorageMediaFileSetID = "X"
    return made


def encoded(dataset: Dataset, *, explicit: bool) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, not explicit
    write_dataset(stream, dataset)
    return stream.getvalue()


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("more", [False, True])
def test_what_pydicom_writes_is_read(explicit: bool, undefined: bool, more: bool) -> None:
    octets = encoded(request((CT, "1.2.4"), (CT, "1.2.55"), (CT, "1.2.4"), undefined=undefined, more=more), explicit=explicit)
    assert read_action(octets, explicit=explicit) == Action("1.2.3", (Reference(CT, "1.2.4"), Reference(CT, "1.2.55")))


@pytest.mark.parametrize(("change", "why", "code"), [
    (lambda made: delattr(made, "TransactionUID"), "no Transaction UID", status.INVALID_ARGUMENT_VALUE),
    (lambda made: setattr(made, "TransactionUID", ""), "Transaction UID is missing", status.INVALID_ARGUMENT_VALUE),
    (lambda made: delattr(made, "ReferencedSOPSequence"), "no Referenced", status.INVALID_ARGUMENT_VALUE),
    (lambda made: setattr(made, "ReferencedSOPSequence", []), "is empty", status.INVALID_ARGUMENT_VALUE),
    (lambda made: delattr(made.ReferencedSOPSequence[0], "ReferencedSOPInstanceUID"), "Instance UID is missing", status.INVALID_ARGUMENT_VALUE),
    (lambda made: delattr(made.ReferencedSOPSequence[0], "ReferencedSOPClassUID"), "Class UID is missing", status.INVALID_ARGUMENT_VALUE),
])
@pytest.mark.parametrize("explicit", [False, True])
def test_what_is_missing_is_said(change, why, code, explicit):
    made = request((CT, "1.2.4"))
    change(made)
    with pytest.raises(RequestError, match=why) as refused:
        read_action(encoded(made, explicit=explicit), explicit=explicit)
    assert refused.value.status == code


def test_uid_that_is_none_is_refused() -> None:
    octets = encoded(request((CT, "1.2.4")), explicit=False).replace(b"1.2.4", b"../ab")
    with pytest.raises(RequestError, match="not one UID"):
        read_action(octets, explicit=False)


@pytest.mark.parametrize("explicit", [False, True])
def test_every_cut_is_refused(explicit: bool) -> None:
    octets = encoded(request((CT, "1.2.4"), undefined=True), explicit=explicit)
    for size in range(len(octets)):
        with pytest.raises(RequestError):
            read_action(octets[:size], explicit=explicit)


def test_nesting_is_bounded() -> None:
    level = struct.pack("<HHL", 8, 0x1032, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(RequestError, match="nested too deeply"):
        read_action(level * 5000, explicit=False)


@given(st.binary(max_size=400), st.booleans())
def test_any_octets_are_a_request_or_refused(octets: bytes, explicit: bool) -> None:
    with contextlib.suppress(RequestError):  # and nothing else
        assert read_action(octets, explicit=explicit).references


@given(UIDS, st.lists(st.tuples(UIDS, UIDS)), st.lists(st.tuples(UIDS, UIDS, st.sampled_from([0x110, 0x112, 0x119, 0x213]))), st.booleans())
def test_results_come_back_through_pydicom(transaction: str, committed: list[tuple[str, str]], failed: list[tuple[str, str, int]],
                                           explicit: bool) -> None:
    result = Result(transaction, tuple(Reference(*pair) for pair in committed),
                    tuple(Failure(Reference(one, two), reason) for one, two, reason in failed))
    read = read_dataset(io.BytesIO(encode_result(result, explicit=explicit)), not explicit, is_little_endian=True)
    assert read.TransactionUID == transaction
    assert [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in read.get("ReferencedSOPSequence", [])] == committed
    assert [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.FailureReason)
            for item in read.get("FailedSOPSequence", [])] == failed
    assert ("ReferencedSOPSequence" in read, "FailedSOPSequence" in read) == (bool(committed), bool(failed))
    assert result.event_type == (2 if failed else 1)
