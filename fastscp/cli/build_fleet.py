"""The fleet of a gateway, from its options."""

from __future__ import annotations

import importlib.util

from fastscp.errors import UsageError
from fastscp.study.policy import FleetPolicy

_SCHEMES = ("postgresql://", "postgres://")


def fleet_policy(url: str | None, limit_s: int | None) -> FleetPolicy | None:
    """Return what is shared with others, None where nothing is. Raises UsageError."""
    if url is None:
        return None
    check_url(url)
    return FleetPolicy(url, FleetPolicy.limit_s if limit_s is None else limit_s)


def check_url(url: str) -> None:
    """Raise UsageError for the URL of a database that cannot be used."""
    if not url.startswith(_SCHEMES):
        raise UsageError(f"Invalid value for option --state: {url.partition(':')[0]}: only {_SCHEMES[0]}... is known", option="--state")
    if importlib.util.find_spec("psycopg") is None:
        raise UsageError("--state needs the Python package psycopg: install fastscp[fleet]", option="--state")
