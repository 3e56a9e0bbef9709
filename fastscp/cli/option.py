"""The vocabulary of the option table: what an option and its arguments are.

An :class:`Option` says everything about one option. The parser, ``--help``, the manual page, docs/options.md and
the shell completions are derived from it and from nothing else.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace


class Kind(enum.Enum):
    """What an argument is; decides its check and how a shell completes it."""

    INTEGER = "integer"
    SIZE = "size"  #: see ``fastscp.cli.sizes``
    SHARE = "share"  #: a size, or a percentage
    STRING = "string"
    FILE = "filename"
    DIRECTORY = "directory"
    COMMAND = "command"
    CHOICE = "choice"


class Origin(enum.Enum):
    """Whose option it is."""

    MANUAL = "storescp 3.6.1"  #: in the manual fastscp replaces
    NEWER = "storescp 3.6.2 to 3.7.0"  #: added by later versions of storescp
    OWN = "fastscp"


@dataclass(frozen=True)
class Argument:
    """One argument of an option; ``minimum`` and ``maximum`` bound integers and are inclusive.

    ``longest`` bounds titles: that many characters, without blanks around them, none of them one that PS3.5
    §6.2 keeps out of an AE.
    """

    name: str
    kind: Kind = Kind.STRING
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    longest: int | None = None


@dataclass(frozen=True)
class Option:
    """One option.

    ``label`` is the first line of its help when it takes arguments (``[s]econds: integer (default: 30)``).
    Options with the same ``exclusive`` name replace one another, the rightmost counts; ``default`` marks the
    member that holds when none is given. ``conflicts`` and ``requires`` name other options by their long
    flags and are judged on what is in effect; of ``requires`` any one suffices. ``tls`` options are only
    allowed with ``--enable-tls``. ``ends`` marks options that print something and end the program. ``absent`` is what holds without an
    option whose help, which is storescp's, does not say so.
    """

    long: str
    short: str = ""
    help: str = ""
    label: str = ""
    arguments: tuple[Argument, ...] = ()
    exclusive: str = ""
    default: bool = False
    conflicts: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    tls: bool = False
    repeatable: bool = False
    ends: bool = False
    absent: str = ""
    origin: Origin = Origin.MANUAL
    group: str = ""
    subgroup: str = ""

    @property
    def name(self) -> str:
        """The long flag without its dashes."""
        return self.long[2:]

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling, short one first."""
        return (self.short, self.long) if self.short else (self.long,)


def grouped(group: str, subgroup: str, *options: Option) -> tuple[Option, ...]:
    """Put ``options`` under the headings ``group`` and ``subgroup`` ("" for none)."""
    return tuple(replace(option, group=group, subgroup=subgroup) for option in options)


def only_with_tls(*options: Option) -> tuple[Option, ...]:
    """Allow ``options`` only with ``--enable-tls``."""
    return tuple(replace(option, tls=not option.ends) for option in options)


def alternatives(exclusive: str, *options: Option) -> tuple[Option, ...]:
    """Make ``options`` one exclusive set."""
    return tuple(replace(option, exclusive=exclusive) for option in options)


def seconds(minimum: int = 1) -> tuple[Argument, ...]:
    """One argument that is a number of seconds."""
    return (Argument("seconds", Kind.INTEGER, minimum),)


def count(minimum: int = 1, maximum: int | None = None) -> tuple[Argument, ...]:
    """One argument that is a number of something."""
    return (Argument("number", Kind.INTEGER, minimum, maximum),)


def size() -> tuple[Argument, ...]:
    """One argument that is a number of octets."""
    return (Argument("size", Kind.SIZE),)


def share() -> tuple[Argument, ...]:
    """One argument that is a number of octets, or a percentage of what there is."""
    return (Argument("size", Kind.SHARE),)


def choice(name: str, *choices: str) -> tuple[Argument, ...]:
    """One argument that is one of some words."""
    return (Argument(name, Kind.CHOICE, choices=choices),)


def text(name: str) -> tuple[Argument, ...]:
    """One argument that is any text, the empty one included."""
    return (Argument(name),)


def title(name: str) -> tuple[Argument, ...]:
    """One argument that is an AE title (PS3.5 §6.2)."""
    return (Argument(name, longest=16),)


def file(name: str = "filename") -> tuple[Argument, ...]:
    """One argument that is the name of a file."""
    return (Argument(name, Kind.FILE),)


def directory(name: str = "directory") -> tuple[Argument, ...]:
    """One argument that is the name of a directory."""
    return (Argument(name, Kind.DIRECTORY),)


def command() -> tuple[Argument, ...]:
    """One argument that is a command for the shell."""
    return (Argument("command", Kind.COMMAND),)
