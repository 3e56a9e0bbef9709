"""Line rules of association configuration files."""

from __future__ import annotations

import pytest

from fastscp.config.profile_file import mangle, parse
from fastscp.errors import UsageError


def tree(text):
    """Return the content as nested dicts; of a name that appears twice the last counts here."""
    return {
        supersection.name: {
            section.name: {entry.key: entry.value for entry in section.entries} for section in supersection.sections
        }
        for supersection in parse("f.cfg", text).supersections
    }


def test_headings_and_entries():
    assert tree("[[A]]\n[b]\nkey = Value\nother=1.2\n[c]\n[[D]]\n") == {
        "A": {"B": {"KEY": "Value", "OTHER": "1.2"}, "C": {}}, "D": {}}


@pytest.mark.parametrize("text", [
    "[[Trans fer-Syntaxes_1]]", "[ [ transfer-syntaxes_1 ] ]", "  [[TRANSFER-SYNTAXES_1]]  ", "[[TransferSyntaxes.-]_1]",
    "[[[Transfer-Syntaxes_1]]]", "[[Transfer-Syntaxes_1]] # a remark",
])
def test_case_blanks_and_other_characters_do_not_count_in_headings(text):
    names = [supersection.name for supersection in parse("f.cfg", text).supersections]
    assert names in (["TRANSFER-SYNTAXES_1"], ["TRANSFERSYNTAXES-"])


def test_mangle():
    assert mangle(" Pre sentation\tContext:1 ") == "PRESENTATIONCONTEXT1"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends(newline):
    assert tree(newline.join(["[[A]]", "[B]", "k = v", "l = w"])) == {"A": {"B": {"K": "v", "L": "w"}}}


def test_comments_begin_in_the_first_column_or_are_indented():
    assert tree("#[[X]]\n[[A]]\n[B]\n# k = v\n  # k = v\nl = # no comment\n") == {"A": {"B": {"L": "# no comment"}}}


def test_continuation_lines():
    entry = "k = one\n two\n\n\tthree\n# comment\n four\nl = five\n"
    assert tree(f"[[A]]\n[B]\n{entry}") == {"A": {"B": {"K": "one\ntwo\nthree\nfour", "L": "five"}}}


def test_value_may_begin_in_the_next_line():
    assert tree("[[A]]\n[B]\nk =\n  v\n") == {"A": {"B": {"K": "v"}}}


def test_indented_line_after_a_heading_is_no_continuation():
    assert tree("[[A]]\n[B]\n  k = v\n") == {"A": {"B": {"K": "v"}}}


def test_entry_in_the_line_of_its_heading():
    assert tree("[[A]] [B] k = v") == {"A": {}}  # one heading in a line; what follows is an entry
    assert parse("f.cfg", "[[A]]\n[B] k = v").supersections[0].sections[0].entries[0].value == "v"


def test_first_of_equal_keys_and_supersections_is_found():
    file = parse("f.cfg", "[[A]]\n[B]\nk = 1\nk = 2\n[[A]]\n[C]\n")
    first = file.find("A")
    assert [section.name for section in first.sections] == ["B"]
    assert first.sections[0].find("K").value == "1"
    assert first.sections[0].find("L") is None
    assert file.find("X") is None


def test_what_is_in_no_supersection_is_remembered():
    assert parse("f.cfg", "k = v\n[B]\nl = w\n[[A]]\nm = x\n").homeless == [
        (1, "entry k"), (2, "section [B]"), (3, "entry l"), (5, "entry m")]


def test_line_numbers():
    file = parse("f.cfg", "\n[[A]]\n# c\n[B]\nk = v\n w\nl = x\n")
    section = file.supersections[0].sections[0]
    assert (file.supersections[0].line, section.line, [entry.line for entry in section.entries]) == (2, 4, [5, 7])


@pytest.mark.parametrize(("text", "message"), [
    ("[[A]\n", "f.cfg:1: heading without ]]: [[A]"),
    ("\n[A\n", "f.cfg:2: heading without ]: [A"),
    ("[[ ]]\n", "f.cfg:1: heading without a name: [[ ]]"),
    ("[[A]]\n[B]\nkey value\n", "f.cfg:3: neither a [heading] nor key = value: key value"),
    ("[[A]]\n[B]\n = value\n", "f.cfg:3: no key before '=': = value"),
])
def test_errors_name_file_and_line(text, message):
    with pytest.raises(UsageError) as error:
        parse("f.cfg", text)
    assert str(error.value) == message
