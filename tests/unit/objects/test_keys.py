"""Names in the store: stable, safe, never the same for two."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastscp.objects import keys

SHA = "ab" * 32


def test_keys_of_the_usual_kind() -> None:
    assert keys.object_key("p/q", "", "1.2", "1.3", "1.4", SHA) == f"p/q/objects/1.2/1.3/1.4/{SHA}.dcm"
    assert keys.manifest_key("p", "", "1.2", 7) == "p/studies/1.2/00000007.json"
    assert keys.object_key("", "", "1.2", "1.3", "1.4", SHA) == f"objects/1.2/1.3/1.4/{SHA}.dcm"


def test_a_section_has_a_place_of_its_own() -> None:
    assert keys.manifest_key("p", "ct one", "1.2", 1) == "p/sections/ct_20one/studies/1.2/00000001.json"


@pytest.mark.parametrize(("text", "name"), [("", "_"), (".", "_2E"), ("..", "_2E_2E"), ("a/b", "a_2Fb"), ("1.2\0", "1.2_00"), ("_", "_5F"),
                                            ("ä", "_C3_A4"), ("\udcff", "_ED_B3_BF")])
def test_hostile_uids(text: str, name: str) -> None:
    assert keys.component(text) == name


@given(st.text(max_size=300), st.text(max_size=300))
def test_components_are_safe_and_distinct(one: str, other: str) -> None:
    first, second = keys.component(one), keys.component(other)
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,160}", first)
    assert first.strip(".")
    assert (first == second) == (one == other)


def test_revisions_are_read_from_keys() -> None:
    assert keys.revision_of(keys.manifest_key("p", "", "1.2", 123456789)) == 123456789
    assert keys.revision_of("p/studies/1.2/notes.json") is None
