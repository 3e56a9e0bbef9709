from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.errors import UsageError
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy
from fastscp.study.templates import parse

VALUES = {"p": "/out/dir", "f": "CT.1", "a": "MODALITY", "c": "ARCHIVE", "r": "10.0.0.1"}


def run(command: str, values: dict[str, str], letters: str = "pfacr") -> str:
    template = parse(command, letters, argv=False, option="-xcr")
    return subprocess.run(template.arguments(values), capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(("command", "expected"), [
    ("#p/#f", "'/out/dir'/'CT.1'"), ("IN/#f", "IN/'CT.1'"), ("#p/#f.complete", "'/out/dir'/'CT.1'.complete"),
    ("'#a'", "'\"MODALITY\"'"), ("'#c'", "'\"ARCHIVE\"'"), ("'#r'", "'10.0.0.1'"), ("'#p'", "'/out/dir'"),
    ('"#a"', '"MODALITY"'), ("\\#f", "'CT.1'"), ('"\\#f"', '"\\\\CT.1"'), ("a\\\\#f", "a\\\\'CT.1'"),
    ("# comment", "# comment"), ("x#y", "x#y"), ("#", "#"), ("a '#' b", "a '#' b"), ("echo $#", "echo $#"),
    ("echo $(date) #f", "echo $(date) 'CT.1'"), ("echo \"$(echo ')')\" #f", "echo \"$(echo ')')\" 'CT.1'"),
    ("echo `date` #f", "echo `date` 'CT.1'"), ("${X:-y} #f", "${X:-y} 'CT.1'"), ("echo it\\'s #f", "echo it\\'s 'CT.1'"),
    ("echo $(echo ${X##*/}) $((1<<2)) #f", "echo $(echo ${X##*/}) $((1<<2)) 'CT.1'"),
    ("a\\\n#x'\n#r'", "a\\\n#x'\n10.0.0.1'"), ("\\ #x'\n#r'", "\\ #x'\n10.0.0.1'"), ("\\\\ # it's\n#f", "\\\\ # it's\n'CT.1'"),
    ("x \\\n# it's\n#f", "x \\\n# it's\n'CT.1'"),
    ("echo $'x'", "echo $'x'"), ("cat <<< #f", "cat <<< 'CT.1'"), ("#foo", "'CT.1'oo"),
])
def test_insertion(command: str, expected: str) -> None:
    template = parse(command, "pfacr", argv=False, option="-xcr")
    assert template.arguments(VALUES) == ["/bin/sh", "-c", expected]


@pytest.mark.parametrize("command", [
    "echo $(basename #f)", 'echo "$(basename "#f")"', "echo `basename #f`", 'echo "`echo #a`"', "echo ${X:-#f}",
    "echo $((#f))", "cat <<EOF\n#f\nEOF", "cat <<'EOF'\n#f\nEOF", "echo $#f", 'echo "$#a"', "echo $'#f'", "echo x # #f",
    'echo "${X:-#a}"', "echo $(echo $(echo #a))", 'echo "$(case a in a) echo #f;; esac)"', "echo $(case a in a) echo #f;; esac)",
    "echo $(echo x # it's\n) '#f'", 'echo "$(cat <<E\n)\nE\n)" #f', 'echo "$\\\n(echo #f)"', "cat <\\\n<E\n#f\nE",
])
def test_unsafe_places_are_refused_with_a_hint(command: str) -> None:
    with pytest.raises(UsageError, match=r"-xcr: #. .* cannot be replaced safely; use .* FASTSCP_"):
        parse(command, "pfacr", argv=False, option="-xcr")


def test_what_is_not_available_stays_as_it_is() -> None:
    assert parse("x#f #p", "pacr", argv=False, option="-xcs").arguments(VALUES)[2] == "x#f '/out/dir'"


@pytest.mark.parametrize("place", ["{}", '"{}"', "'{}'", "\\{}", 'a"b{}c"d', "a'b{}c'd", "x{}y", '"$(echo x)"{}', "'\"'{}'\"'"])
@settings(deadline=None)
@given(value=st.text(st.characters(min_codepoint=1, max_codepoint=0x17F, exclude_characters="\r"), min_size=1))
def test_every_value_is_one_literal_word(place: str, value: str) -> None:
    command = f"printf '<%s>' {place.format('#f')}"
    marked = run(command, {"f": "MARK"})
    assert run(command, {"f": value}) == marked.replace("MARK", value)


def test_arguments_without_a_shell() -> None:
    template = parse("prog '#a' x#f;y \"$(id) #p\" ''", "pfacr", argv=True, option="-xcr")
    assert template.arguments({**VALUES, "a": "A '\" $(id)"}) == [
        "prog", "A '\" $(id)", "xCT.1;y", "$(id) /out/dir", ""]


@pytest.mark.parametrize("command", ["", "   ", "prog 'open"])
def test_arguments_that_are_no_command_are_refused(command: str) -> None:
    with pytest.raises(UsageError):
        parse(command, "pfacr", argv=True, option="-xcr")


def test_commands_are_checked_when_made() -> None:
    with pytest.raises(UsageError, match="--exec-on-eostudy"):
        Commands(HookPolicy(on_end_of_study="echo $(basename #p)"))
    commands = Commands(HookPolicy(on_reception="echo #f", on_end_of_series="echo #p"), ignore=True)
    assert commands.has("reception")
    assert not commands.has("study")
    assert commands.arguments("reception", {"a": "", "c": "", "r": ""}) == ["/bin/sh", "-c", "echo #f"]
