"""Association profiles: from a configuration file to the rules of negotiation."""

from __future__ import annotations

import logging

import pytest

from fastscp.config.profiles import load_profile
from fastscp.config.uid_names import other_uids
from fastscp.dicom.uids import SOP_CLASS_UIDS, TRANSFER_SYNTAX_UIDS
from fastscp.errors import UsageError
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ECHO = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"

GOOD = r"""
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LocalEndianExplicit
TransferSyntax2 = OppositeEndianExplicit
TransferSyntax3 = LittleEndianImplicit
[Private]
TransferSyntax1 = 1.2.3.4
TransferSyntax2 = =LittleEndianImplicit

[[PresentationContexts]]
[Images]
PresentationContext1 = VerificationSOPClass\Uncompressed
PresentationContext2 = CTImageStorage\ Un compressed
PresentationContext3 = 1.2.3.4.5\private

[[SCPSCURoleSelection]]
[Roles]
Role1 = CTImageStorage\BOTH
Role2 = VerificationSOPClass\scp

[[ExtendedNegotiation]]
[Extended]
ExtendedNegotiation1 = CTImageStorage\0200030aFF

[[Profiles]]
[Default]
PresentationContexts = Images
[With Every-Thing]
PresentationContexts = im ages
SCPSCURoleSelection = Roles
ExtendedNegotiation = EXTENDED
"""


def write(tmp_path, text):
    path = tmp_path / "f.cfg"
    path.write_text(text)
    return str(path)


def test_rules_of_a_profile(tmp_path):
    policy = load_profile(write(tmp_path, GOOD), "Default")
    uncompressed = AbstractSyntaxRule((EXPLICIT, BIG, IMPLICIT))
    assert policy.rules == {ECHO: uncompressed, CT: uncompressed,
                            "1.2.3.4.5": AbstractSyntaxRule(("1.2.3.4", IMPLICIT))}
    assert policy.unknown_rule is None


def test_roles_and_extended_negotiation(tmp_path):
    rules = load_profile(write(tmp_path, GOOD), "withevery-thing").rules
    assert rules[CT] == AbstractSyntaxRule((EXPLICIT, BIG, IMPLICIT), True, True, b"\x02\0\x03\x0a\xff")
    assert (rules[ECHO].scu_role, rules[ECHO].scp_role, rules[ECHO].extended) == (False, True, None)


@pytest.mark.parametrize("name", ["default", "DEFAULT", " De fault ", "Default\t"])
def test_case_and_blanks_do_not_count_in_profile_names(name, tmp_path):
    assert len(load_profile(write(tmp_path, GOOD), name).rules) == 3


def test_base_is_kept(tmp_path):
    base = NegotiationPolicy(ae_title="OURS", unknown_rule=AbstractSyntaxRule(()), max_pdu_length=4096)
    policy = load_profile(write(tmp_path, GOOD), "Default", base)
    assert (policy.ae_title, policy.max_pdu_length, policy.unknown_rule) == ("OURS", 4096, None)


def test_sections_of_one_name_are_one_list(tmp_path):
    text = GOOD.replace("[Private]", "[Uncompressed]").replace("\\private", "\\Uncompressed")
    rules = load_profile(write(tmp_path, text), "Default").rules
    assert rules["1.2.3.4.5"].transfer_syntaxes == (EXPLICIT, BIG, IMPLICIT, "1.2.3.4", IMPLICIT)


#: one mistake each: what is replaced by what, how the line it is reported in begins, and words of the report
MISTAKES = [
    ("[[TransferSyntaxes]]", "[[TransferSyntax]]", "", "cannot find section [[TransferSyntaxes]]"),
    ("[[PresentationContexts]]", "[[X]]", "", "cannot find section [[PresentationContexts]]"),
    ("[[Profiles]]", "[[X]]", "", "cannot find section [[Profiles]]"),
    ("LocalEndianExplicit", "localendianexplicit", "TransferSyntax1 = local", "not a valid transfer syntax UID"),
    ("LocalEndianExplicit", "", "TransferSyntax1 = \n", "not a valid transfer syntax UID"),
    ("1.2.3.4\n", "1.2.3.4a\n", "TransferSyntax1 = 1.2.3.4a", "not a valid transfer syntax UID"),
    ("VerificationSOPClass\\Un", "Verification\\Un", "PresentationContext1", "not a valid abstract syntax UID"),
    ("VerificationSOPClass\\Un", "VerificationSOPClass \\Un", "PresentationContext1", "not a valid abstract syntax UID"),
    ("VerificationSOPClass\\Un", "Verification\n SOPClass\\Un", "PresentationContext1", "begins with a blank continues"),
    ("VerificationSOPClass\\Un", "VerificationSOPClass/Un", "PresentationContext1", "missing '\\'"),
    ("\\private", "\\public", "PresentationContext3", "transfer syntax key undefined: PUBLIC"),
    ("\\BOTH", "\\ALL", "Role1", "unknown role"),
    ("\\BOTH", "\\ BOTH", "Role1", "unknown role"),
    ("\\BOTH", "", "Role1", "missing '\\'"),
    ("Role1 = CTImageStorage", "Role1 = VerificationSOPClass", "Role2", "role selection defined twice"),
    ("\\0200030aFF", "\\0200030aF", "ExtendedNegotiation1", "pairs of hexadecimal digits"),
    ("\\0200030aFF", "\\02 00", "ExtendedNegotiation1", "pairs of hexadecimal digits"),
    ("\\0200030aFF", "\\", "ExtendedNegotiation1", "pairs of hexadecimal digits"),
    ("\\0200030aFF", "\\" + "00" * 1024, "ExtendedNegotiation1", "longer than 1023 octets"),
    ("\\0200030aFF", "\\00\nExtendedNegotiation2 = CTImageStorage\\00", "ExtendedNegotiation2",
     "extended negotiation defined twice"),
    ("PresentationContexts = Images", "Contexts = Images", "[Default]", "no PresentationContexts entry"),
    ("PresentationContexts = Images", "PresentationContexts = Pictures", "PresentationContexts = P",
     "presentation context key undefined"),
    ("= Roles", "= Rules", "SCPSCURoleSelection = Rules", "role selection key undefined"),
    ("= EXTENDED", "= Extent", "ExtendedNegotiation = Extent", "extended negotiation key undefined"),
    ("Role2 = VerificationSOPClass", "Role2 = MRImageStorage", "SCPSCURoleSelection = R",
     f"abstract syntax {MR} is in the role selection list"),
    ("1 = CTImageStorage\\02", "1 = MRImageStorage\\02", "ExtendedNegotiation = E",
     f"abstract syntax {MR} is in the extended negotiation list"),
    ("[With Every-Thing]", "[Default]", "[Default]\nPresentationContexts = im", "profile DEFAULT is defined twice"),
    ("1.2.3.4.5\\private", "VerificationSOPClass\\private", "PresentationContext3", "is there twice"),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), MISTAKES, ids=[mistake[3] for mistake in MISTAKES])
def test_each_mistake_has_a_report_with_its_line(old, new, line, words, tmp_path):
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as error:
        load_profile(path, "Default")
    assert words in str(error.value)
    place = f"{path}:{text[:text.index(chr(10) + line) + 1].count(chr(10)) + 1}: " if line else f"{path}: "
    assert place in str(error.value)


def test_unknown_profile(tmp_path):
    with pytest.raises(UsageError, match="unknown configuration profile name: Other"):
        load_profile(write(tmp_path, GOOD), "Other")


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read config file: .*nothing\.cfg: No such file"):
        load_profile(str(tmp_path / "nothing.cfg"), "Default")


def test_entry_behind_a_gap_is_warned_of(tmp_path, caplog):
    path = write(tmp_path, GOOD.replace("TransferSyntax3", "TransferSyntax4"))
    with caplog.at_level(logging.WARNING):
        rules = load_profile(path, "Default").rules
    assert rules[CT].transfer_syntaxes == (EXPLICIT, BIG)
    assert f"{path}:6: TRANSFERSYNTAX4 is not used, TRANSFERSYNTAX3 is missing" in caplog.text


def test_entry_without_a_home_is_warned_of(tmp_path, caplog):
    path = write(tmp_path, "stray = 1\n" + GOOD)
    with caplog.at_level(logging.WARNING):
        assert load_profile(path, "Default").rules
    assert f"{path}:1: entry stray is in no supersection and not used" in caplog.text


def test_names_of_uids_do_not_contradict_one_another():
    others = other_uids()
    assert len(others) > 180
    assert others["StorageCommitmentPushModelSOPClass"] == "1.2.840.10008.1.20.1"
    assert not others.keys() & SOP_CLASS_UIDS.keys()
    assert not others.keys() & TRANSFER_SYNTAX_UIDS.keys()
