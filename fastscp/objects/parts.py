"""In which parts an object is uploaded, and the checksum that the whole then has. Pure.

Source: Amazon S3, multipart uploads: 5 MiB to 5 GiB each but for the last, 10,000 at most. The checksum of the whole is the SHA-256 of
the SHA-256s of the parts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Final

THRESHOLD: Final = 16 << 20  #: what is longer goes in parts
PART_OCTETS: Final = 16 << 20  #: what is in memory for each upload
MOST_PARTS: Final = 10_000
_STEP: Final = 1 << 20


def part_octets(size: int) -> int | None:
    """Return how long the parts of an object are; None where it goes as a whole."""
    if size <= THRESHOLD:
        return None
    least = -(-size // MOST_PARTS)
    return max(PART_OCTETS, -(-least // _STEP) * _STEP)


def ranges(size: int) -> list[tuple[int, int]]:
    """Return offset and length of each part; one where it goes as a whole."""
    octets = part_octets(size)
    if octets is None:
        return [(0, size)]
    return [(offset, min(octets, size - offset)) for offset in range(0, size, octets)]


def encoded(digest: bytes) -> str:
    """Return a checksum as the protocol has it."""
    return base64.b64encode(digest).decode()


def of_whole(digests: Iterable[bytes]) -> str:
    """Return the checksum of an object that was put together of parts, without their number behind it."""
    return encoded(hashlib.sha256(b"".join(digests)).digest())
