"""Which broker a URL leads to."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Final

from fastscp.errors import UsageError
from fastscp.relay.broker import Broker

_REDIS: Final = ("redis://", "rediss://")


@dataclass(frozen=True)
class Target:
    """Where events go."""

    url: str
    stream: str
    most: int | None = None  #: entries that are kept, None: all
    replicas: int = 0  #: that have to have what is confirmed
    password: str | None = None  #: where the URL has none


def check_target(url: str) -> None:
    """Raise UsageError for a URL that leads to no broker that can be used."""
    if not url.startswith(_REDIS):
        raise UsageError(f"Invalid value for option --relay: {url.partition(':')[0]}: only {' and '.join(f'{name}...' for name in _REDIS)} are known",
                         option="--relay")
    if importlib.util.find_spec("redis") is None:
        raise UsageError("--relay needs the Python package redis: install fastscp[relay]", option="--relay")


def broker_of(target: Target) -> Broker:
    """Return the broker; nothing is connected yet. Raises UsageError, and BrokerError for a URL that it cannot read."""
    check_target(target.url)
    from fastscp.relay.redis_streams import RedisBroker  # noqa: PLC0415 - only where it is asked for

    return RedisBroker(target.url, target.stream, most=target.most, replicas=target.replicas, password=target.password)
