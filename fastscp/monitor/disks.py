"""Which file systems matter, and how much of one has to be free: what a reload may change of what the monitor knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Disks:
    """``directories`` by what they are for; ``octets``, or else ``percent``, have to be free."""

    directories: Mapping[str, str]
    octets: int = 0
    percent: float = 0.0

    def mark(self, size: int) -> int:
        """Return how much of a file system of ``size`` octets has to be free."""
        return self.octets or int(size * self.percent / 100)


def encoded_disks(disks: Disks) -> bytes:
    """Return it as octets; a path may be any."""
    return json.dumps(asdict(disks)).encode()


def decoded_disks(octets: bytes) -> Disks:
    """Return what ``encoded_disks`` has encoded."""
    return Disks(**json.loads(octets))
