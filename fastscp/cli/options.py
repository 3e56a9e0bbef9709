"""The option table: every option of ``fastscp``, in the order of its help."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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

#: Option by each of its spellings.
BY_FLAG: Mapping[str, Option] = {flag: option for option in OPTIONS for flag in option.flags}

#: Long flag of the option that holds in an exclusive set when none is given.
DEFAULTS: Mapping[str, str] = {option.exclusive: option.long for option in OPTIONS if option.default}


def headings() -> Iterator[tuple[str, str, tuple[Option, ...]]]:
    """Yield ``(group, subgroup, options)`` in the order of the help."""
    pending: list[Option] = []
    for option in OPTIONS:
        if pending and (pending[0].group, pending[0].subgroup) != (option.group, option.subgroup):
            yield pending[0].group, pending[0].subgroup, tuple(pending)
            pending = []
        pending.append(option)
    if pending:
        yield pending[0].group, pending[0].subgroup, tuple(pending)
