from __future__ import annotations

from fastscp.dicom import uids


def test_prefixes_are_storescps() -> None:
    assert uids.file_name_prefix("1.2.840.10008.5.1.4.1.1.2") == "CT"
    assert uids.file_name_prefix("1.2.840.10008.5.1.4.1.1.4.1") == "MRe"
    assert uids.file_name_prefix("1.2.3") == "UNKNOWN"


def test_names_lead_back_to_uids() -> None:
    for row in uids.STORAGE_SOP_CLASSES.values():
        assert uids.SOP_CLASS_UIDS[row.name] == row.uid
        assert uids.SOP_CLASS_NAMES[row.uid] == row.name
    for syntax in uids.TRANSFER_SYNTAXES.values():
        assert uids.TRANSFER_SYNTAX_UIDS[syntax.name] == syntax.uid
    assert uids.SOP_CLASS_UIDS["VerificationSOPClass"] == uids.VERIFICATION
    assert uids.TRANSFER_SYNTAX_UIDS["LocalEndianExplicit"] == uids.EXPLICIT_VR_LITTLE_ENDIAN


def test_encodings() -> None:
    implicit = uids.transfer_syntax("1.2.840.10008.1.2")
    assert (implicit.explicit_vr, implicit.little_endian, implicit.encapsulated) == (False, True, False)
    big = uids.transfer_syntax("1.2.840.10008.1.2.2")
    assert (big.explicit_vr, big.little_endian, big.encapsulated) == (True, False, False)
    assert uids.transfer_syntax("1.2.840.10008.1.2.1.99").deflated
    assert uids.transfer_syntax("1.2.840.10008.1.2.4.50").encapsulated


def test_unknown_transfer_syntax_reads_as_encapsulated_explicit_little_endian() -> None:
    private = uids.transfer_syntax("1.2.3.4")
    assert private == uids.TransferSyntax("1.2.3.4", "1.2.3.4", "")
    assert (private.explicit_vr, private.little_endian, private.deflated, private.encapsulated) == (
        True, True, False, True)
