"""An object store in memory, with the answers of a real one: conditions, checksums, uploads in parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastscp.objects.store import DamagedError, Found, NotThereError, TakenError


def checksum(octets: bytes) -> str:
    return base64.b64encode(hashlib.sha256(octets).digest()).decode()


class FakeStore:
    """``says`` is whether it tells checksums, ``verifies`` whether it compares them, ``way`` what happens to octets."""

    def __init__(self, *, says: bool = True, verifies: bool = True) -> None:
        self.held: dict[str, bytes] = {}
        self.writes: list[str] = []
        self.says, self.verifies = says, verifies
        self.way: Callable[[bytes], bytes] = lambda octets: octets
        self.before: Callable[[str, str], None] = lambda _what, _key: None
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self._composite: dict[str, str] = {}
        self._number = 0

    def put(self, key: str, body: bytes, checksum_: str, *, only_new: bool = True) -> str:
        self.before("put", key)
        if only_new and key in self.held:
            raise TakenError(key)
        arrived = self.way(body)
        if self.verifies and checksum(arrived) != checksum_:
            raise DamagedError(key)
        self.held[key] = arrived
        self.writes.append(key)
        return checksum(arrived) if self.says else ""

    def begin(self, key: str) -> str:
        self.before("begin", key)
        self._number += 1
        self.uploads[str(self._number)] = key, {}
        return str(self._number)

    def put_part(self, key: str, upload: str, number: int, body: bytes, checksum_: str) -> dict[str, Any]:
        self.before("part", key)
        arrived = self.way(body)
        if self.verifies and checksum(arrived) != checksum_:
            raise DamagedError(key)
        self.uploads[upload][1][number] = arrived
        return {"PartNumber": number, "ETag": "x", "ChecksumSHA256": checksum_}

    def complete(self, key: str, upload: str, parts: Sequence[dict[str, Any]], *, only_new: bool = True) -> str:
        self.before("complete", key)
        if only_new and key in self.held:
            raise TakenError(key)
        came = self.uploads.pop(upload)[1]
        pieces = [came[part["PartNumber"]] for part in parts]
        self.held[key] = b"".join(pieces)
        self.writes.append(key)
        self._composite[key] = f"{checksum(b''.join(hashlib.sha256(piece).digest() for piece in pieces))}-{len(pieces)}"
        return self._composite[key] if self.says else ""

    def abort(self, key: str, upload: str) -> None:
        self.before("abort", key)
        self.uploads.pop(upload, None)

    def unfinished(self, key: str) -> list[str]:
        return [upload for upload, (of, _) in self.uploads.items() if of == key]

    def find(self, key: str) -> Found | None:
        self.before("find", key)
        if key not in self.held:
            return None
        return Found(len(self.held[key]), (self._composite.get(key) or checksum(self.held[key])) if self.says else "")

    def read(self, key: str) -> Iterator[bytes]:
        self.before("read", key)
        if key not in self.held:
            raise NotThereError(key)
        yield self.held[key]

    def keys(self, prefix: str) -> Iterator[str]:
        yield from sorted(key for key in self.held if key.startswith(prefix))
