"""storescp's reading of a command line.

An argument is an option when it has at least two characters, starts with ``-`` or ``+`` and no digit follows;
everything else is a parameter, wherever it stands. ``@file`` is replaced by the words of that file, once. An
option takes its values from what follows, whatever it looks like. There is no ``--option=value`` and there are
no abbreviations. Nothing here judges values or combinations: ``fastscp.cli.check`` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from fastscp.cli.option import Option
from fastscp.cli.options import FASTSCP, OptionTable
from fastscp.cli.sizes import octets
from fastscp.errors import UsageError

#: ratios of difflib: two letters of a short flag exchanged, and one letter of a long flag missing
_LIKE_ENOUGH = 0.74
_ALMOST_THE_SAME = 0.9


@dataclass(frozen=True)
class Occurrence:
    """One option as given, with its values; ``source`` says where when it was not on the command line ("file:12")."""

    option: Option
    values: tuple[str, ...] = ()
    source: str = field(default="", compare=False)


@dataclass(frozen=True)
class CommandLine:
    """A command line after expansion; options are asked for by their long flags."""

    program: str
    occurrences: tuple[Occurrence, ...] = ()
    parameters: tuple[str, ...] = ()
    #: everything in the order given, options by their long flags
    arguments: tuple[str, ...] = ()
    table: OptionTable = FASTSCP
    #: long flags that are not to be in effect, whatever a configuration file says; no word of a command line asks for that
    without: frozenset[str] = frozenset()

    def given(self, long: str) -> Occurrence | None:
        """Return the occurrence of ``long`` that counts, None when absent or replaced by a later one.

        An option that the program does not have is never given.
        """
        option = self.table.by_flag.get(long)
        if option is None:
            _ = FASTSCP.by_flag[long]  # a flag that is misspelt in the program is a mistake all the same
            return None
        for occurrence in reversed(self.occurrences):
            if occurrence.option is option:
                return occurrence
            if option.exclusive and occurrence.option.exclusive == option.exclusive:
                return None
        return None

    def has(self, long: str) -> bool:
        """Tell whether ``long`` is in effect because it was given."""
        return self.given(long) is not None

    def holds(self, long: str) -> bool:
        """Tell whether ``long`` is in effect, given or as the default of its exclusive set."""
        option = self.table.by_flag[long]
        return self.effective(option.exclusive) == long if option.default else self.has(long)

    def effective(self, exclusive: str) -> str:
        """Return the long flag in effect of an exclusive set, "" when there is none."""
        for occurrence in reversed(self.occurrences):
            if occurrence.option.exclusive == exclusive:
                return occurrence.option.long
        return self.table.defaults.get(exclusive, "")

    def last(self, long: str) -> tuple[str, ...]:
        """Return all values of the occurrence of ``long`` that counts, () when it was not given."""
        occurrence = self.given(long)
        return () if occurrence is None else occurrence.values

    def value(self, long: str) -> str | None:
        """Return the (first) value of ``long`` in effect, None when it was not given."""
        return next(iter(self.last(long)), None)

    def number(self, long: str) -> int | None:
        """Return the value of ``long`` as a number; it has been checked before."""
        value = self.value(long)
        return None if value is None else int(value)

    def size(self, long: str) -> int | None:
        """Return the value of ``long`` in octets; it has been checked before."""
        value = self.value(long)
        return None if value is None else octets(value)

    def values(self, long: str) -> tuple[str, ...]:
        """Return the value of every occurrence of ``long``, in the order given."""
        return tuple(occurrence.values[0] for occurrence in self.occurrences if occurrence.option.long == long)


def is_option(argument: str) -> bool:
    """Tell whether ``argument`` is taken for an option; ``-5`` and ``-`` are not."""
    return len(argument) >= 2 and argument[0] in "+-" and not "0" <= argument[1] <= "9"


def parse(program: str, arguments: Sequence[str], table: OptionTable = FASTSCP) -> CommandLine:
    """Split ``arguments`` (without the program name) into options and parameters.

    Raises :class:`UsageError` for an unknown option, a missing value and an unreadable command file.
    """
    words = iter(expand(arguments))
    occurrences: list[Occurrence] = []
    parameters: list[str] = []
    flat: list[str] = []
    for word in words:
        if not is_option(word):
            parameters.append(word)
            flat.append(word)
            continue
        option = table.by_flag.get(word)
        if option is None:
            raise UsageError(f"Unknown option {word}" + suggestion(word, table.by_flag))
        values = tuple(islice(words, len(option.arguments)))
        if len(values) < len(option.arguments):
            raise UsageError(f"Missing value for option {option.long}" + wanted(option))
        occurrences.append(Occurrence(option, values))
        flat += (option.long, *values)
    return CommandLine(program, tuple(occurrences), tuple(parameters), tuple(flat), table)


def wanted(option: Option) -> str:
    """Return a hint at the values of an option that takes more than one, "" for others."""
    if len(option.arguments) < 2:
        return ""
    return f"\nhint: {option.long} takes {' and '.join(argument.name for argument in option.arguments)}"


def suggestion(word: str, flags: Iterable[str]) -> str:
    """Return a hint at which of ``flags`` was meant by ``word``, "" when none is like it."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    known = sorted(flags)
    flag, separator, value = word.partition("=")
    if separator and flag in known:
        return f"\nhint: the value follows as a word of its own: {flag} {value}"
    other_sign = "".join(("+-"[flag[0] == "+"], flag[1:]))
    if other_sign in known:
        return f"\nhint: did you mean {other_sign}?"
    begun = [name for name in known if len(word) > 3 and name.startswith(flag)]
    same_letters = [name for name in known if name.lower() == flag.lower()]
    near = difflib.get_close_matches(flag, known, n=3, cutoff=_LIKE_ENOUGH)
    # one that is much nearer than the others stands alone
    nearest = near[:1] if difflib.get_close_matches(flag, near, n=2, cutoff=_ALMOST_THE_SAME) == near[:1] else near
    meant = same_letters or begun[:3] or nearest
    return f"\nhint: did you mean {' or '.join(meant)}?" if meant else ""


def expand(arguments: Sequence[str]) -> Iterator[str]:
    """Yield ``arguments`` with every ``@file`` replaced by the words in the file."""
    for argument in arguments:
        if len(argument) > 1 and argument[0] == "@":
            yield from read_command_file(argument[1:])
        else:
            yield argument


def read_command_file(name: str) -> list[str]:
    """Return the words of the command file ``name``; names of further command files in it are just words."""
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            content = file.read()
    except OSError as error:
        raise UsageError(f"Cannot open command file '{name}'") from error
    return split_words(content)


def split_words(content: str) -> list[str]:
    """Split the text of a command file at white space outside quotation marks.

    Quotation marks of either kind are dropped, the other kind inside them stays; a closing one ends its word
    even when no blank follows, so ``''`` is an empty word and ``'a'b`` are two. There is no escape character.
    """
    words: list[str] = []
    word = quote = ""
    for character in content:
        if quote:
            if character == quote:
                words.append(word)
                word = quote = ""
            else:
                word += character
        elif character in "\"'":
            quote = character
        elif not character.isspace():
            word += character
        elif word:
            words.append(word)
            word = ""
    if word:
        words.append(word)
    return words
