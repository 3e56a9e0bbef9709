import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.cli.options import BY_FLAG, DEFAULTS, OPTIONS
from fastscp.cli.parse import is_option, parse, split_words
from fastscp.errors import UsageError


def line(*arguments):
    return parse("fastscp", arguments)


def test_options_stand_before_or_after_the_port():
    for arguments in (["-v", "11112"], ["11112", "-v"], ["11112", "--verbose"]):
        assert line(*arguments).parameters == ("11112",)
        assert line(*arguments).has("--verbose")


def test_rightmost_of_exclusive_options_counts():
    parsed = line("+te", "+tb", "-v", "+t=", "-d")
    assert parsed.effective("output-transfer-syntax") == "--write-xfer-same"
    assert not parsed.has("--write-xfer-little")
    assert parsed.has("--write-xfer-same")
    assert parsed.has("--debug")
    assert not parsed.has("--verbose")


def test_defaults_hold_but_were_not_given():
    parsed = line("11112")
    assert parsed.holds("--write-xfer-same")
    assert not parsed.has("--write-xfer-same")
    assert not line("+te").holds("--write-xfer-same")
    assert not parsed.holds("--promiscuous")


def test_last_value_of_a_repeated_option_counts():
    assert line("-ta", "5", "-ta", "7").number("--acse-timeout") == 7


def test_all_values_of_a_repeatable_option_count():
    assert line("+cf", "a", "-v", "+cf", "b").values("--add-cert-file") == ("a", "b")


def test_values_may_look_like_anything():
    parsed = line("-su", "", "-fe", "-v", "-aet", "@x" * 0 + "+tls", "-xcr", "--foo", "11112")
    assert parsed.last("--sort-on-study-uid") == ("",)
    assert parsed.value("--filename-extension") == "-v"
    assert parsed.value("--aetitle") == "+tls"
    assert parsed.value("--exec-on-reception") == "--foo"
    assert not parsed.has("--verbose")


def test_two_values():
    parsed = line("+p", "4", "8", "11112")
    assert parsed.last("--padding-create") == ("4", "8")
    assert parsed.parameters == ("11112",)


def test_absent_option_has_no_value():
    parsed = line("11112")
    assert (parsed.value("--aetitle"), parsed.number("--max-pdu"), parsed.last("--config-file")) == (None, None, ())


@pytest.mark.parametrize("argument", ["-5", "+5", "-", "+", "", "11112", "@file", "-0x"])
def test_parameters(argument):
    assert not is_option(argument)


@pytest.mark.parametrize("argument", ["-v", "--", "++", "-.5", "+tls", "--foo"])
def test_options(argument):
    assert is_option(argument)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--foo"], "Unknown option --foo"),
    (["--nothing-like-it-at-all"], "Unknown option --nothing-like-it-at-all"),
    (["--forq"], "Unknown option --forq\nhint: did you mean --fork?"),
    (["-xrc"], "Unknown option -xrc\nhint: did you mean -rc or -xcs or -xcr?"),
    (["+xcr"], "Unknown option +xcr\nhint: did you mean -xcr?"),
    (["--AETITLE"], "Unknown option --AETITLE\nhint: did you mean --aetitle?"),
    (["--max-pdu=16384"],
     "Unknown option --max-pdu=16384\nhint: the value follows as a word of its own: --max-pdu 16384"),
    (["--verb"], "Unknown option --verb\nhint: did you mean --verbose or --verbose-pc?"),
    (["-ta"], "Missing value for option --acse-timeout"),
    (["+p", "4"], "Missing value for option --padding-create\nhint: --padding-create takes file-pad and item-pad"),
    (["11112", "+tls", "key"],
     "Missing value for option --enable-tls\nhint: --enable-tls takes private key and certificate"),
    (["@/nonexistent/file"], "Cannot open command file '/nonexistent/file'"),
])
def test_refused(arguments, message):
    with pytest.raises(UsageError) as caught:
        line(*arguments)
    assert str(caught.value) == message


def test_command_file(tmp_path):
    file = tmp_path / "options.txt"
    file.write_text("-v  -aet 'MY  AE'\n-su \"\" @other\t11112")
    parsed = line("-d", f"@{file}", "-pm")
    assert parsed.arguments == (
        "--debug", "--verbose", "--aetitle", "MY  AE", "--sort-on-study-uid", "", "@other", "11112", "--promiscuous")
    assert parsed.parameters == ("@other", "11112")


@pytest.mark.parametrize(("content", "words"), [
    ("", []), ("  \n", []), ("a b\tc\nd", ["a", "b", "c", "d"]), ("'a b' \"c d\"", ["a b", "c d"]),
    ("'a \"b\"' \"it's\"", ['a "b"', "it's"]), ("''", [""]), ("'a'b", ["a", "b"]), ("x'y z'", ["xy z"]), ("'open", ["open"]),
    ("'", []), ("a\\ b", ["a\\", "b"]),
])
def test_words_of_command_files(content, words):
    assert split_words(content) == words


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]))))
def test_quoted_words_come_back(words):
    assert split_words(" ".join(f"'{word}'" for word in words)) == words


def test_table_is_consistent():
    assert len(BY_FLAG) == sum(len(option.flags) for option in OPTIONS)
    for option in OPTIONS:
        assert all(is_option(flag) for flag in option.flags), option.long
        assert option.long.startswith("--")
        assert option.help
        assert option.group
        assert {*option.conflicts, *option.requires} <= BY_FLAG.keys()
        assert option.long not in (*option.conflicts, *option.requires)
        assert bool(option.arguments) == bool(option.label), option.long
        assert not option.default or option.exclusive
    assert len(DEFAULTS) == sum(option.default for option in OPTIONS)
