from __future__ import annotations

import pytest

from fastscp.dicom.engine.resolve import VRs, creator_name
from fastscp.dicom.rewriter import shared_dictionary
from tests.support.engine import Bench


@pytest.mark.parametrize(("value", "expected"), [(b"ACME ", "ACME"), (b"ACME\0X", "ACME"), (b" A", " A"), (b"", "")])
def test_creators_are_compared_without_padding(value: bytes, expected: str) -> None:
    assert creator_name(value) == expected


@pytest.mark.parametrize(("vr", "tag", "expected"), [
    ("xs", 0x00280106, "US"), ("lt", 0x00283006, "OW"), ("ox", 0x7FE00010, "OW"), ("ox", 0x60003000, "OW"),
    ("ox", 0x54001010, "OB"), ("UI", 0x00080018, "UI"), ("", 0x00080018, "UN"), ("na", 0xFFFEE000, "UN"),
])
def test_choices_of_the_standard_are_decided(vr: str, tag: int, expected: str) -> None:
    assert VRs(shared_dictionary()).resolved(vr, Bench().level, tag) == expected


def test_the_item_decides_where_it_can() -> None:
    level = Bench().level
    level.signed, level.bits = True, 16
    vrs = VRs(shared_dictionary())
    assert vrs.resolved("xs", level, 0x00280106) == "SS"
    assert vrs.resolved("xs", level, 0x00280071) == "US", "it comes before Pixel Representation"
    assert vrs.resolved("ox", level, 0x54001010) == "OW"


def test_private_attributes_belong_to_their_creator() -> None:
    level = Bench().level
    vrs = VRs(shared_dictionary())
    assert vrs.private(level, 0x00291008) == "UN"
    vrs.reserve(level, 0x00290010, b"SIEMENS CSA HEADER")
    assert vrs.private(level, 0x00291008) == "CS"
    vrs.reserve(level, 0x00290011, b"NOBODY KNOWS THIS")
    assert level.creators == {0x002910: "SIEMENS CSA HEADER"}
