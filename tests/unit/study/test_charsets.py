"""Terms of Specific Character Set, right and nearly right."""

from __future__ import annotations

import pytest

from fastscp.study.charsets import meant
from fastscp.study.transliterate import transliterate


@pytest.mark.parametrize(("term", "defined"), [
    *((term, term) for term in ("", "ISO_IR 6", "ISO_IR 100", "ISO_IR 13", "ISO_IR 192", "GB18030", "GBK", "ISO 2022 IR 6",
                                "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 100")),
    *((term, "ISO_IR 192") for term in ("ISO_IR_192", "ISO 2022 IR 192", "iso_ir 192", "ISO-IR 192", "ISO IR 192", "ISOIR192",
                                        "IR 192", "ISO_IR192", " ISO_IR  192\0", "UTF-8", "utf8", "ISO 2022 192")),
    *((term, "ISO_IR 100") for term in ("ISO-IR 100", "ISO8859-1", "ISO 8859-1", "iso_8859_1", "latin1", "Latin-1", "ISO_IR 0100")),
    ("ISO8859-5", "ISO_IR 144"), ("ISO-8859-9", "ISO_IR 148"), ("latin5", "ISO_IR 148"), ("ISO_IR 87", "ISO 2022 IR 87"),
    ("iso2022-ir-149", "ISO 2022 IR 149"), ("ISO 2022 IR_87", "ISO 2022 IR 87"), ("GB-18030", "GB18030"), ("us-ascii", "ISO_IR 6"),
    ("Shift_JIS", "ISO_IR 13"),
])
def test_term(term: str, defined: str) -> None:
    assert meant([term]) == [defined]


@pytest.mark.parametrize("term", ["ISO8859-15x", "ISO_IR 1000", "ISO8859-42", "CP1252", "LATIN7"])
def test_what_means_none_stays(term: str) -> None:
    assert meant([term + " "]) == [term]


@pytest.mark.parametrize("terms", [["ISO 2022 IR 6", "ISO 2022 IR 192"], ["", "ISO_IR 192"], ["ISO_IR 192", "ISO_IR 100"]])
def test_what_can_only_be_alone_is_alone(terms: list[str]) -> None:
    assert meant(terms) == ["ISO_IR 192"]


def test_code_extensions_keep_their_order() -> None:
    assert meant(["", "ISO_2022_IR_87", "ISO 2022 IR 159"]) == ["", "ISO 2022 IR 87", "ISO 2022 IR 159"]


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR_192", "ISO 2022 IR 192", "utf-8", "\\ISO_IR_192"])
def test_name_is_spelt_by_what_is_meant(charset: str) -> None:
    assert transliterate("Łukasz^Żak".encode().decode("latin-1"), charset) == transliterate(
        "Łukasz^Żak".encode("iso8859-2").decode("latin-1"), "ISO_IR 101") == "Lukasz_Zak"
