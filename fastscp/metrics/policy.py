"""Where the metrics are served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fastscp.errors import UsageError

_LAST_PORT = 65535


@dataclass(frozen=True)
class MetricsPolicy:
    """``--metrics``."""

    port: int
    address: str = "127.0.0.1"

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        return ipaddress.ip_address(self.address).is_loopback

    @classmethod
    def of(cls, text: str) -> MetricsPolicy:
        """Return what ``[ADDRESS:]PORT`` means. Raises ValueError."""
        address, separator, port = text.rpartition(":")
        if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= _LAST_PORT:
            raise ValueError(f"{port or text} is no port")
        if not separator:
            return cls(int(port))
        if ":" in address and not (address.startswith("[") and address.endswith("]")):
            raise ValueError(f"an IPv6 address is written [{address}]:{port}")
        return cls(int(port), str(ipaddress.ip_address(address.strip("[]"))))


def metrics_policy(value: str | None) -> MetricsPolicy | None:
    """Return where metrics are served; None: nowhere. Raises UsageError for what is no address and port."""
    if value is None:
        return None
    try:
        return MetricsPolicy.of(value)
    except ValueError as error:
        raise UsageError(f"Invalid value for option --metrics ({value}): {error}") from error
