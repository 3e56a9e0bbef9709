"""Logger names and levels: DCMTK's, so that its configuration files select fastscp's loggers.

Loggers are those of the standard ``logging``; names are hierarchical by dots in both worlds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

APPLICATION = "dcmtk.apps.storescp"  #: what the service itself says
NETWORK = "dcmtk.dcmnet"  #: associations, PDUs, DIMSE messages
DATA = "dcmtk.dcmdata"  #: data sets and files
TLS = "dcmtk.dcmtls"

TRACE = 5
DEBUG = logging.DEBUG
INFO = logging.INFO
WARN = logging.WARNING
ERROR = logging.ERROR
FATAL = logging.CRITICAL
OFF = FATAL + 10

#: Level by the name used on the command line.
LEVELS: Mapping[str, int] = {
    "fatal": FATAL,
    "error": ERROR,
    "warn": WARN,
    "info": INFO,
    "debug": DEBUG,
    "trace": TRACE,
}


def level_name(level: int) -> str:
    """Return log4cplus's name for ``level``; a level between two names is called like the one below."""
    for name, threshold in LEVELS.items():
        if level >= threshold:
            return name.upper()
    return "TRACE"


def parse_level(name: str) -> int | None:
    """Return the level called ``name`` in a configuration file (any case), None for other words."""
    upper = name.strip().upper()
    if upper == "OFF":
        return OFF
    return TRACE if upper == "ALL" else LEVELS.get(upper.lower())
