"""Reads the property files of log4cplus: ``key = value`` lines, ``#`` comments, ``${variables}``.

There are no continuation lines. As an extension, a line ``include file`` reads another file in its place.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastscp.errors import UsageError

PREFIX = "log4cplus."
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_INCLUDE = re.compile(r"include\s+(?!=)(\S.*)")
_DEEPEST_INCLUDE = 8


def load(name: str, application: str) -> dict[str, str]:
    """Return the properties of the file ``name`` with variables replaced.

    Raises :class:`UsageError` in the cases in which storescp refuses the file.
    """
    if not os.path.exists(name):
        raise UsageError("Specified --log-config file does not exist")
    properties = dict(_read(name, 0))
    if not properties:
        raise UsageError("Specified --log-config file does not contain any settings")
    if not any(key.startswith(PREFIX) for key in properties):
        raise UsageError("Specified --log-config file does not contain any valid settings")
    if f"{PREFIX}rootLogger" not in properties:
        raise UsageError("Specified --log-config file does not set up log4cplus.rootLogger")
    return substituted(properties, {**os.environ, **predefined(application)})


def _read(name: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST_INCLUDE:
        raise UsageError(f"Log configuration files include one another: {name}")
    try:
        lines = Path(name).read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UsageError(f"Specified --log-config file cannot be read: {name}") from error
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            continue
        included = _INCLUDE.fullmatch(text)
        if included:
            yield from _read(os.path.join(os.path.dirname(name), included[1]), depth + 1)
        elif "=" in text:
            key, _, value = text.partition("=")
            yield key.rstrip(), value.strip()


def predefined(application: str) -> dict[str, str]:
    """Return the variables DCMTK defines; date and time are those of the start."""
    now = time.localtime()
    return {
        "appname": application,
        "date": time.strftime("%Y%m%d", now),
        "time": time.strftime("%H%M%S", now),
        "pid": str(os.getpid()),
        "hostname": socket.gethostname(),
    }


def substituted(properties: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """Replace ``${name}`` by a property of the file, else by one of ``variables``; others stay as they are."""
    known = dict(properties)

    def value(match: re.Match[str]) -> str:
        return known.get(match[1]) or variables.get(match[1]) or match[0]

    for key in sorted(properties):
        known[key] = _VARIABLE.sub(value, known[key])
    return known


def subset(properties: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the properties that start with ``prefix``, without it."""
    return {key[len(prefix) :]: value for key, value in properties.items() if key.startswith(prefix)}
