"""Options as keyword arguments: names, types and what is wrong with them, all from the option table."""

from __future__ import annotations

import inspect
import typing
from keyword import iskeyword
from pathlib import Path

import pytest

from fastscp import Receiver, ReceiverOptions
from fastscp.cli import keywords
from fastscp.cli.documents_embedding import embedding_options_markdown, embedding_options_module
from fastscp.cli.options import OPTIONS
from fastscp.cli.options_sections import in_program

ROOT = Path(__file__).parents[3]


def words(**options):
    """Return what a command line would say."""
    return [[one.option.long, *one.values] for one in keywords.given(options).occurrences]


def test_every_option_but_those_of_a_program_alone_has_a_keyword():
    left_out = {option.long for option in OPTIONS} - {option.long for option in keywords.OPTIONS.values()}
    assert left_out == {"--help", "--version", "--list-profiles", "--list-ciphers", "--arguments", "--check-config", "--print-config", "--inetd"}
    assert all(name.isidentifier() and not iskeyword(name) for name in keywords.OPTIONS)
    own = set(inspect.signature(Receiver.__init__).parameters)
    assert not own & set(keywords.OPTIONS)


def test_the_types_are_those_of_the_table():
    assert set(ReceiverOptions.__annotations__) == {keywords.keyword(option) for option in OPTIONS if in_program(option)}
    assert ReceiverOptions.__total__ is False
    types = typing.get_type_hints(ReceiverOptions)
    assert types["max_pdu"] == int | None
    assert types["promiscuous"] == bool | None
    assert types["sync"] == typing.Literal["none", "object", "group"] | None
    assert types["padding_create"] == tuple[int, int] | None
    assert types["min_free"] == int | str | None


def test_types_and_documents_are_current():
    """``scripts/generate-docs`` writes them."""
    assert (ROOT / "fastscp/embedding/options.py").read_text() == embedding_options_module()
    assert (ROOT / "docs/embedding-options.md").read_text() == embedding_options_markdown()


@pytest.mark.parametrize(("options", "expected"), [
    ({}, []),
    ({"max_pdu": 65536}, [["--max-pdu", "65536"]]),
    ({"promiscuous": True, "quiet": None}, [["--promiscuous"]]),
    ({"sort_on_study_uid": ""}, [["--sort-on-study-uid", ""]]),
    ({"output_directory": Path("/data")}, [["--output-directory", "/data"]]),
    ({"state_dir": "/s\udc80"}, [["--state-dir", "/s\udc80"]]),
    ({"padding_create": (512, 64)}, [["--padding-create", "512", "64"]]),
    ({"config_file": [Path("p.cfg"), "Default"]}, [["--config-file", "p.cfg", "Default"]]),
    ({"cipher": ["A", "B"], "enable_tls": ("k", "c")}, [["--cipher", "A"], ["--cipher", "B"], ["--enable-tls", "k", "c"]]),
    ({"min_free": "5%", "max_object_size": 4096}, [["--min-free", "5%"], ["--max-object-size", "4096"]]),
    ({"sync": "group"}, [["--sync", "group"]]),
])
def test_what_they_mean(options, expected):
    assert words(**options) == expected


def test_false_takes_an_option_away():
    assert keywords.given({"promiscuous": False, "ignore": None}) == keywords.Given((), frozenset({"--promiscuous"}))


@pytest.mark.parametrize(("options", "message"), [
    ({"max_pud": 65536}, "max_pud: unknown option; did you mean max_pdu?"),
    ({"inetd": True}, "inetd: unknown option"),
    ({"help": True}, "help: unknown option"),
    ({"max_pdu": "65536"}, "max_pdu: an int is wanted, not str"),
    ({"max_pdu": True}, "max_pdu: an int is wanted, not bool"),
    ({"promiscuous": 1}, "promiscuous: True or False is wanted, not int"),
    ({"sort_on_study_uid": True}, "sort_on_study_uid: a str is wanted, not bool"),
    ({"aetitle": b"A"}, "aetitle: a str is wanted, not bytes"),
    ({"output_directory": 3}, "output_directory: a str or a path is wanted, not int"),
    ({"min_free": 0.5}, "min_free: an int or a str is wanted, not float"),
    ({"min_free": True}, "min_free: an int or a str is wanted, not bool"),
    ({"sync": 1}, "sync: a str is wanted, not int"),
    ({"cipher": "A"}, "cipher: a sequence is wanted, not str"),
    ({"cipher": [1]}, "cipher: a str is wanted, not int"),
    ({"padding_create": 5}, "padding_create: a tuple is wanted, not int"),
    ({"padding_create": (5,)}, r"padding_create: 2 values are wanted \(file-pad, item-pad\), not 1"),
])
def test_unknown_names_and_other_types_are_a_type_error(options, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        keywords.given(options)


@pytest.mark.parametrize(("options", "message"), [
    ({"sort_on_study_uid": "a", "sort_on_patientname": True}, "sort_on_patientname: not allowed with sort_on_study_uid"),
    ({"verbose": True, "log_level": "info"}, "log_level: not allowed with verbose"),
    ({"aetitle": "a\0b"}, "aetitle: a NUL is in it"),
])
def test_what_does_not_go_together_is_a_value_error(options, message):
    with pytest.raises(ValueError, match=message):
        keywords.given(options)


def test_messages_of_the_command_line_name_keywords():
    assert keywords.spoken("--max-associations-per-host not allowed with --inetd or --max-associations") == (
        "max_associations_per_host not allowed with inetd or max_associations")
    assert keywords.spoken("--no-such-option") == "--no-such-option"
