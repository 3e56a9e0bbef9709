"""Hook commands with placeholders, inserted so that a value is always exactly one literal text. Pure.

Strategy: the template is lexed once, at start-up, the way the POSIX shell would (POSIX.1-2017 XCU 2.2 and
2.3), and every placeholder is remembered with the quoting around it: bare, in double or in single quotes, after
a backslash. A value is then quoted for its place. Where no quoting can make a value literal text, or shells
disagree about the quoting (command substitution, backquotes, here-documents, ``${...}``, ``$'...'``), a
placeholder is refused with ``UsageError``; the same values are in the hook's environment, where every position
is safe: ``$(basename "$FASTSCP_FILE")``.

Placeholders are storescp's: ``#p`` ``#f`` ``#a`` ``#c`` ``#r``, replaced wherever they stand, even in the middle
of a word. What is not available in a hook stays as it is in the text.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from fastscp.errors import UsageError


class Quoting(enum.Enum):
    """Where in the shell's language a placeholder stands."""

    BARE = "bare"
    DOUBLE = "double"
    SINGLE = "single"
    PLAIN = "plain"  #: not in a shell: one argument of ``--exec-argv``


@dataclass(frozen=True)
class Placeholder:
    """``#`` and a letter, with the quoting around it."""

    letter: str
    quoting: Quoting


Part = str | Placeholder

SHELL = ("/bin/sh", "-c")

#: letters whose value storescp itself puts into double quotes; in single quotes these stay to be seen
_TITLED = frozenset("ac")
_DOUBLE_SPECIAL = str.maketrans({character: "\\" + character for character in '\\"$`'})


@dataclass(frozen=True)
class Template:
    """A command: one text for ``/bin/sh -c``, or the arguments of a program."""

    words: tuple[tuple[Part, ...], ...]
    in_shell: bool

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """Return the argument vector to execute; ``values`` maps letters to what they stand for."""
        texts = ["".join(part if isinstance(part, str) else insert(values[part.letter], part) for part in word)
                 for word in self.words]
        return [*SHELL, *texts] if self.in_shell else texts


def insert(value: str, placeholder: Placeholder) -> str:
    """Return shell source text that yields ``value``, literally, at the place of ``placeholder``."""
    if placeholder.quoting is Quoting.PLAIN:
        return value
    if placeholder.quoting is Quoting.DOUBLE:
        return value.translate(_DOUBLE_SPECIAL)
    if placeholder.quoting is Quoting.SINGLE:
        if placeholder.letter in _TITLED:
            value = f'"{value}"'
        return value.replace("'", "'\\''")
    return "'" + value.replace("'", "'\\''") + "'"


def parse(command: str, letters: str, *, argv: bool, option: str) -> Template:
    """Return the template of ``command``, in which ``letters`` are available.

    Raises ``UsageError`` naming ``option`` where a placeholder cannot be made safe.
    """
    if argv:
        return _parse_arguments(command, letters, option)
    return Template((tuple(_Lexer(command, letters, option).parts()),), in_shell=True)


def _parse_arguments(command: str, letters: str, option: str) -> Template:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"{option}: {error}: {command}", option=option) from error
    if not words:
        raise UsageError(f"{option}: the command is empty", option=option)
    return Template(tuple(tuple(_split_plain(word, letters)) for word in words), in_shell=False)


def _split_plain(word: str, letters: str) -> list[Part]:
    parts: list[Part] = []
    start = position = 0
    while (position := word.find("#", position)) >= 0:
        if word[position + 1 : position + 2] in letters and position + 1 < len(word):
            parts += [word[start:position], Placeholder(word[position + 1], Quoting.PLAIN)]
            start = position + 2
        position += 1
    return [part for part in (*parts, word[start:]) if part]


_WORD_BREAKS = frozenset(" \t\n;|&()<>")
_CONTINUATION = "\\\n"  #: the shell takes it out before it looks for anything else


class _Lexer:
    """One pass over a shell command; collects literal text and placeholders."""

    def __init__(self, command: str, letters: str, option: str) -> None:
        self._text = command
        self._letters = letters
        self._option = option
        self._at = 0
        self._parts: list[Part] = []
        self._literal: list[str] = []
        self._here_document = False  #: ``<<`` seen: after the next newline quoting is another

    def parts(self) -> list[Part]:
        """Lex the whole command."""
        text = self._text
        while self._at < len(text):
            character = text[self._at]
            if self._placeholder():
                self._take(Quoting.BARE)
            elif character == "'":
                self._single()
            elif character == '"':
                self._double()
            elif character == "\\":
                self._backslash_bare()
            elif character == "$":
                self._dollar()
            elif character == "`":
                self._skip("in backquotes", self._end_of_backquotes())
            elif character == "#" and self._at_word_start():
                self._skip("in a comment", self._end_of_comment())
            elif text.startswith(("<<", "<" + _CONTINUATION), self._at):
                self._here()
            elif character == "\n" and self._here_document:
                self._skip("in a here-document", len(text))
            else:
                self._copy(1)
        self._flush()
        return self._parts

    # -- what placeholders become -----------------------------------------------------------------

    def _placeholder(self, at: int | None = None) -> bool:
        at = self._at if at is None else at
        return self._text[at : at + 1] == "#" and self._text[at + 1 : at + 2] != "" \
            and self._text[at + 1] in self._letters

    def _take(self, quoting: Quoting) -> None:
        self._flush()
        self._parts.append(Placeholder(self._text[self._at + 1], quoting))
        self._at += 2

    def _flush(self) -> None:
        if self._literal:
            self._parts.append("".join(self._literal))
            self._literal.clear()

    def _copy(self, count: int) -> None:
        self._literal.append(self._text[self._at : self._at + count])
        self._at += count

    def _skip(self, where: str, end: int) -> None:
        """Copy up to ``end`` as it is; a placeholder in there cannot be made safe."""
        for at in range(self._at, end):
            if self._placeholder(at):
                self._refuse(at, where)
        self._copy(end - self._at)

    def _refuse(self, at: int, where: str) -> None:
        raise UsageError(
            f"{self._option}: {self._text[at : at + 2]} {where} cannot be replaced safely; use the environment "
            f"variable {VARIABLES[self._text[at + 1]]} there, in double quotes: {self._text}", option=self._option)

    # -- the shell's language ---------------------------------------------------------------------

    def _single(self) -> None:
        self._copy(1)
        while self._at < len(self._text):
            if self._placeholder():
                self._take(Quoting.SINGLE)
            elif self._text[self._at] == "'":
                self._copy(1)
                return
            else:
                self._copy(1)

    def _double(self) -> None:
        self._copy(1)
        while self._at < len(self._text):
            character = self._text[self._at]
            if self._placeholder():
                self._take(Quoting.DOUBLE)
            elif character == '"':
                self._copy(1)
                return
            elif character == "\\":
                self._backslash_double()
            elif character == "$":
                self._dollar()
            elif character == "`":
                self._skip("in backquotes", self._end_of_backquotes())
            else:
                self._copy(1)

    def _backslash_bare(self) -> None:
        if self._placeholder(self._at + 1):
            self._at += 1  # the backslash would only have quoted the value's first character
        else:
            self._copy(2)

    def _backslash_double(self) -> None:
        if self._placeholder(self._at + 1):
            self._literal.append("\\\\")  # stays a backslash in front of the value
            self._at += 1
        else:
            self._copy(2)

    def _dollar(self) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        if self._placeholder(self._at + 1):
            self._refuse(self._at + 1, "after $")
        if self._text.startswith(_CONTINUATION, self._at + 1):
            self._skip("after $ and a line that goes on", len(self._text))
        elif following == "(":
            self._skip("in $(...)", self._end_of_group("(", ")"))
        elif following == "{":
            self._skip("in ${...}", self._end_of_group("{", "}"))
        elif following == "'":
            self._skip("after $'", len(self._text))  # shells differ on where this ends
        else:
            self._copy(1)

    def _here(self) -> None:
        if self._text.startswith("<<<", self._at):
            self._copy(3)
        else:
            self._here_document = True
            self._copy(2)

    def _at_word_start(self) -> bool:
        at = self._at
        while self._text.endswith(_CONTINUATION, 0, at) and self._is_escaped(at - 1):
            at -= 2
        return at == 0 or (self._text[at - 1] in _WORD_BREAKS and not self._is_escaped(at - 1))

    def _is_escaped(self, at: int) -> bool:
        """Whether an odd number of backslashes stands before ``at``."""
        before = self._text[:at]
        return (len(before) - len(before.rstrip("\\"))) % 2 == 1

    def _end_of_comment(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _end_of_backquotes(self) -> int:
        at = self._at + 1
        while at < len(self._text) and self._text[at] != "`":
            at += 2 if self._text[at] == "\\" else 1
        return min(at + 1, len(self._text))

    def _end_of_group(self, opening: str, closing: str) -> int:
        """Return where the group at ``$(`` or ``${`` ends: brackets are counted outside quotes.

        What makes counting unsafe in ``$(`` (``case``, comments, here-documents) lets it go on to the end of the text.
        """
        unsafe = () if opening == "{" else ("case",) if self._text.startswith("$((", self._at) else ("case", "#", "<<")
        at, depth, quote = self._at + 1, 0, ""
        while at < len(self._text):
            character = self._text[at]
            if character == "\\" and quote != "'":
                at += 1
            elif quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif self._text.startswith(unsafe, at) and (character == "<" or self._text[at - 1] in _WORD_BREAKS):
                return len(self._text)
            elif character == opening:
                depth += 1
            elif character == closing:
                depth -= 1
                if not depth:
                    return at + 1
            at += 1
        return len(self._text)


#: environment variables that carry the values of the placeholders
VARIABLES: Mapping[str, str] = {
    "p": "FASTSCP_PATH", "f": "FASTSCP_FILE", "a": "FASTSCP_CALLING_AET", "c": "FASTSCP_CALLED_AET",
    "r": "FASTSCP_PEER",
}
