"""Which programs of hooks are known to be missing at the start, and which cannot be known."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastscp.cli.programs import first_word, missing_program
from fastscp.study.policy import HookPolicy


@pytest.mark.parametrize(("command", "program"), [
    ("prog #p", "prog"), ("  prog", "prog"), ("\n\nprog", "prog"), ("prog;other", "prog"), ("prog|cat", "prog"),
    ("prog&", "prog"), ("prog>log", "prog"), ("A=1 B='x y' prog x", "prog"), ("'my prog' x", "my prog"),
    ('"my prog" x', "my prog"), ("my\\ prog x", "my prog"), ("./a/b-c.d+e x", "./a/b-c.d+e"), ("if true; then :; fi", "if"),
    (". ./settings", "."), ("c'd' /tmp", "cd"), ("a='#p' prog", "prog"),
    # what only the shell knows, or only the time of the call
    ("", ""), ("#p/run", ""), ("'#p/run' x", ""), ('"#p/run" x', ""), ("x#f y", ""), ("$PROG x", ""), ("`which x` y", ""),
    ("~/bin/x", ""), ("(cd /; prog)", ""), ("{ prog; }", ""), ("! prog", ""), ("f() { :; }; f", ""),
    ("2>/dev/null prog", ""), (">log prog", ""), ("PATH=/opt/bin prog", ""), ("A=$(x) prog", ""), ("A=1", ""),
    ("# comment\nprog", ""), ("*.sh", ""), ('"$HOME/x"', ""), ("'unfinished", ""), ("[ -f x ]", ""),
])
def test_first_word(command: str, program: str) -> None:
    assert first_word(command) == program


@pytest.mark.parametrize("command", [
    "true", "cd /tmp && ./later", "if true; then nosuchprogram; fi", "for a in 1; do :; done", "case x in x) ;; esac",
    "exec nosuchprogram", "test -f x", ". ./nosuchfile", ": #p", "echo #p | nosuchprogram", "#p/run", "/bin/sh -c x",
])
def test_commands_that_may_run(command: str) -> None:
    assert missing_program(HookPolicy(on_reception=command)) == ""


@pytest.mark.parametrize(("hooks", "complaint"), [
    (HookPolicy(on_reception="nosuchprogram #p"), "--exec-on-reception: no such program: nosuchprogram"),
    (HookPolicy(on_end_of_series="/no/such #p"), "--exec-on-eoseries: no such program: /no/such"),
    (HookPolicy(on_end_of_study="A=1 nosuchprogram"), "--exec-on-eostudy: no such program: nosuchprogram"),
    (HookPolicy(on_reception="nosuchprogram #p", argv=True), "--exec-on-reception: no such program: nosuchprogram"),
    (HookPolicy(on_reception="/etc #p", argv=True), "--exec-on-reception: no such program: /etc"),
    (HookPolicy(on_reception="/etc/passwd #p"), "--exec-on-reception: no such program: /etc/passwd"),
    (HookPolicy(on_reception="if x", argv=True), "--exec-on-reception: no such program: if"),
    (HookPolicy(on_reception="true", on_end_of_study="-x"), "--exec-on-eostudy: no such program: -x"),
    (HookPolicy(on_reception="#p/run x", argv=True), ""), (HookPolicy(on_reception="true", argv=True), ""),
    (HookPolicy(), ""),
])
def test_missing_program(hooks: HookPolicy, complaint: str) -> None:
    assert missing_program(hooks) == complaint


def test_program_is_looked_for_where_the_hook_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    for hooks in (HookPolicy(on_reception="mine #p"), HookPolicy(on_reception="mine #p", argv=True)):
        program.chmod(0o644)
        assert missing_program(hooks) == "--exec-on-reception: no such program: mine"
        program.chmod(0o755)
        assert missing_program(hooks) == ""


def test_relative_program_is_looked_for_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert missing_program(HookPolicy(on_reception="./script #p")).endswith("./script")
    (tmp_path / "script").touch(0o755)
    assert missing_program(HookPolicy(on_reception="./script #p")) == ""
