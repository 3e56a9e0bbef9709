"""The options as keyword arguments of Python: ``--max-pdu 16384`` is ``max_pdu=16384``.

A flag is a bool; an option with one argument has that as its value, one with several a tuple of them, one that may be repeated
a sequence of values. None is the same as no argument. False takes a flag, or what a configuration file says, away.

Everything here follows from the option table. Unknown names and values of another type are a TypeError; values that are
not allowed, and options that do not go together, a ValueError.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastscp.cli.layers import excludes
from fastscp.cli.option import Argument, Kind, Option
from fastscp.cli.options import FASTSCP
from fastscp.cli.options_sections import in_program
from fastscp.cli.parse import Occurrence, suggestion

_PATHS = frozenset({Kind.FILE, Kind.DIRECTORY})
_SIZES = frozenset({Kind.SIZE, Kind.SHARE})
_FLAG = re.compile(r"--[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Given:
    """What keyword arguments ask for."""

    occurrences: tuple[Occurrence, ...] = ()
    without: frozenset[str] = frozenset()  #: long flags of options that are not to be in effect


def keyword(option: Option) -> str:
    """Return the name of an option in Python."""
    return option.name.replace("-", "_")


OPTIONS: Mapping[str, Option] = {keyword(option): option for option in FASTSCP.options if in_program(option)}


def annotation(option: Option) -> str:
    """Return the type of an option's value, as an annotation."""
    arguments = option.arguments
    if not arguments:
        return "bool"
    if option.repeatable:
        return f"Sequence[{_annotation(arguments[0])}]"
    if len(arguments) > 1:
        return f"tuple[{', '.join(map(_annotation, arguments))}]"
    return _annotation(arguments[0])


def _annotation(argument: Argument) -> str:
    if argument.kind is Kind.INTEGER:
        return "int"
    if argument.kind in _SIZES:
        return "int | str"
    if argument.kind is Kind.CHOICE:
        return f"Literal[{', '.join(repr(choice) for choice in argument.choices)}]".replace("'", '"')
    return "str | PathLike[str]" if argument.kind in _PATHS else "str"


def given(keywords: Mapping[str, object]) -> Given:
    """Return what keyword arguments ask for. Raises TypeError and ValueError, which name the keyword."""
    occurrences: list[Occurrence] = []
    without = set()
    for name, value in keywords.items():
        option = OPTIONS.get(name)
        if option is None:
            raise TypeError(_unknown(name))
        if value is None:
            continue
        if value is False:
            without.add(option.long)
            continue
        for other in occurrences:
            if other.option is not option and excludes(option, other.option):
                raise ValueError(f"{name}: not allowed with {keyword(other.option)}")
        occurrences += [Occurrence(option, values) for values in _values(name, option, value)]
    return Given(tuple(occurrences), frozenset(without))


def spoken(message: str) -> str:
    """Return a message about options of a command line with their names in Python."""
    return _FLAG.sub(_in_python, message)


def _in_python(flag: re.Match[str]) -> str:
    option = FASTSCP.by_flag.get(flag[0])
    return flag[0] if option is None else keyword(option)


def _unknown(name: str) -> str:
    hint = suggestion(f"--{name.replace('_', '-')}", [option.long for option in OPTIONS.values()])
    return f"{name}: unknown option" + "".join(f"; {line.removeprefix('hint: ')}" for line in spoken(hint).split("\n") if line)


def _values(name: str, option: Option, value: object) -> list[tuple[str, ...]]:
    """Return the values of each occurrence."""
    arguments = option.arguments
    if not arguments:
        if value is not True:
            raise TypeError(f"{name}: True or False is wanted, not {_kind(value)}")
        return [()]
    if not option.repeatable and len(arguments) == 1:
        return [(_value(name, arguments[0], value),)]
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"{name}: a {'sequence' if option.repeatable else 'tuple'} is wanted, not {_kind(value)}")
    if option.repeatable:
        return [(_value(name, arguments[0], one),) for one in value]
    if len(value) != len(arguments):
        raise TypeError(f"{name}: {len(arguments)} values are wanted ({', '.join(argument.name for argument in arguments)}), not {len(value)}")
    return [tuple(_value(name, argument, one) for argument, one in zip(arguments, value, strict=True))]


def _value(name: str, argument: Argument, value: object) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if argument.kind is Kind.INTEGER:
        if not is_number:
            raise TypeError(f"{name}: an int is wanted, not {_kind(value)}")
    elif argument.kind in _SIZES:
        if not is_number and not isinstance(value, str):
            raise TypeError(f"{name}: an int or a str is wanted, not {_kind(value)}")
    elif argument.kind in _PATHS:
        if not isinstance(value, str | os.PathLike):
            raise TypeError(f"{name}: a str or a path is wanted, not {_kind(value)}")
        value = os.fsdecode(value)
    elif not isinstance(value, str):
        raise TypeError(f"{name}: a str is wanted, not {_kind(value)}")
    text = str(value)
    if "\0" in text:
        raise ValueError(f"{name}: a NUL is in it")
    return text


def _kind(value: object) -> str:
    return type(value).__name__
