from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastscp.study import naming
from fastscp.study.policy import Sorting, StudyPolicy
from fastscp.study.transliterate import transliterate

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 6789)


@pytest.mark.parametrize(("sorting", "prefix", "name"), [
    (Sorting.CONCURRENT_STUDIES, "P", "P_20260102_030405006"), (Sorting.CONCURRENT_STUDIES, "", "20260102_030405006"),
    (Sorting.STUDY_UID, "P", "P_1.2_3"), (Sorting.STUDY_UID, "", "1.2_3"),
    (Sorting.PATIENT_NAME, "", "Doe_20260102_030405006"),
])
def test_directory_names(sorting: Sorting, prefix: str, name: str) -> None:
    assert naming.directory_name(StudyPolicy(sorting=sorting, prefix=prefix), "1.2/3", "Doe", WHEN) == name


def test_patient_without_a_name() -> None:
    policy = StudyPolicy(sorting=Sorting.PATIENT_NAME)
    assert naming.directory_name(policy, "1.2", "", WHEN) == "ANONYMOUS_20260102_030405006"


@given(st.text(st.characters(max_codepoint=255)))
def test_cleaned_texts_are_harmless(text: str) -> None:
    cleaned = naming.clean(text)
    assert len(cleaned) == len(text)
    assert naming.is_clean(cleaned)
    assert not set(cleaned) & set("/\0\n'\"`$\\;&|<>*?~#()[]{}!")


@given(st.text(st.characters(max_codepoint=255)))
def test_patients_are_letters_digits_and_underscores(text: str) -> None:
    spelt = naming.spell_patient(text)
    assert spelt.replace("_", "a").isalnum() or not spelt
    assert spelt.isascii()


@pytest.mark.parametrize(("name", "spelt"), [
    ("M\xfcller^J\xf6rg", "Mueller_Joerg"), ("\xc6\xd0\xdf", "ADss"), ("A\\B", "A"), ("Doe ", "Doe"), ("", ""), ("\0", ""),
])
def test_latin_1_spelling(name: str, spelt: str) -> None:
    assert naming.spell_patient(name) == spelt


@pytest.mark.parametrize(("value", "uid"), [
    ("1.2.3\0", "1.2.3"), (" 1.2 .3", "1.2.3"), ("1.2\\1.3", "1.2"), ("a\nb", "ab"), ("", ""), ("\0", "")])
def test_study_uids_are_compared_without_white_space(value: str, uid: str) -> None:
    assert naming.study_uid(value) == uid


def test_refused_names() -> None:
    assert all(map(naming.is_refused, ["", ".", "..", "a/b"]))
    assert not naming.is_refused("...")


@pytest.mark.parametrize(("octets", "charset", "spelt"), [
    ("Ж".encode("iso8859_5"), "ISO_IR 144", "Zh"), ("Müller^Jörg".encode(), "ISO_IR 192", "Mueller_Joerg"),
    ("Łukasz^Žižka".encode("iso8859_2"), "ISO_IR 101", "Lukasz_Zizka"),
    (b"Yamada^Tarou=" + b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "\\ISO 2022 IR 87", "Yamada_Tarou"),
    ("=\u5c71".encode(), "ISO_IR 192", "Shan"), ("Müller".encode("latin-1"), "", "Mueller"), (b"Doe^John", "NO SUCH SET", "Doe_John"), (b"\xff\xfe", "ISO_IR 192", None),
])
@pytest.mark.filterwarnings("ignore")
def test_transliteration(octets: bytes, charset: str, spelt: str | None) -> None:
    result = transliterate(octets.decode("latin-1"), charset)
    if spelt is not None:
        assert result == spelt
    assert result
    assert result.replace("_", "a").isalnum()
    assert result.isascii()


@pytest.mark.parametrize(("prefix", "parent", "name"), [
    ("", "out", "1.2"), ("P", "out", "P_1.2"), ("a/b", "out/a", "b_1.2"), ("a/", "out/a", "_1.2"),
    ("a/b/c", "out/a/b", "c_1.2"), ("/srv/b", "/srv", "b_1.2"), ("../b", "out/..", "b_1.2"),
])
def test_prefix_may_lead_into_a_directory(prefix: str, parent: str, name: str) -> None:
    policy = StudyPolicy(sorting=Sorting.STUDY_UID, prefix=prefix)
    assert naming.parent_directory(policy, "out") == parent
    assert naming.directory_name(policy, "1.2", "", WHEN) == name


def test_number_of_a_name_comes_and_goes() -> None:
    assert naming.numbered("P_1.2", 3) == "P_1.2.r3"
    assert naming.unnumbered("P_1.2.r3") == "P_1.2"
    assert naming.unnumbered("P_1.2.rx") == "P_1.2.rx"
