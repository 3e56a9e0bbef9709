"""The option table: every option of ``fastscp``, in the order of its help; and what any such table is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fastscp.cli.option import Option
from fastscp.cli.options_general import (
    ACCESS,
    GENERAL,
    IP_VERSION,
    OTHER_NETWORK,
    PREFERENCES,
    PROCESSES,
    PROFILE,
)
from fastscp.cli.options_output import EVENTS, OUTPUT
from fastscp.cli.options_own import OWN
from fastscp.cli.options_tls import TLS

OPTIONS: tuple[Option, ...] = (
    *GENERAL,
    *PROCESSES,
    *IP_VERSION,
    *PROFILE,
    *PREFERENCES,
    *ACCESS,
    *OTHER_NETWORK,
    *TLS,
    *OUTPUT,
    *EVENTS,
    *OWN,
)


class OptionTable:
    """The options of one program. Rules about options that are not among them are left out."""

    def __init__(self, options: tuple[Option, ...]) -> None:
        known = {option.long for option in options}
        self.options = tuple(_among(option, known) for option in options)
        #: option by each of its spellings
        self.by_flag: Mapping[str, Option] = {flag: option for option in self.options for flag in option.flags}
        #: long flag of the option that holds in an exclusive set when none is given
        self.defaults: Mapping[str, str] = {option.exclusive: option.long for option in self.options if option.default}


def _among(option: Option, known: set[str]) -> Option:
    conflicts = tuple(long for long in option.conflicts if long in known)
    requires = tuple(long for long in option.requires if long in known)
    return option if (conflicts, requires) == (option.conflicts, option.requires) else replace(
        option, conflicts=conflicts, requires=requires)


FASTSCP = OptionTable(OPTIONS)
BY_FLAG, DEFAULTS = FASTSCP.by_flag, FASTSCP.defaults


def headings(options: tuple[Option, ...] = OPTIONS) -> Iterator[tuple[str, str, tuple[Option, ...]]]:
    """Yield ``(group, subgroup, options)`` in the order of the help."""
    pending: list[Option] = []
    for option in options:
        if pending and (pending[0].group, pending[0].subgroup) != (option.group, option.subgroup):
            yield pending[0].group, pending[0].subgroup, tuple(pending)
            pending = []
        pending.append(option)
    if pending:
        yield pending[0].group, pending[0].subgroup, tuple(pending)
