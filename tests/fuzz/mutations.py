"""Damage, chosen by a seeded generator: what takes the place of a fuzzer where there is none."""

from __future__ import annotations

import random

_INTERESTING = (b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\0\0\0\0",
                b"\xff\xff\xff\x7f", b"\xfc\xff\xfc\xff", b"SQ", b"UN", b"OB", b"UI", b"  ", b"\0\0\0\x80", b"zz")


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """Change, insert, remove, repeat or cut a few places."""
    data = bytearray(octets)
    for _ in range(chance.randint(1, 6)):
        if not data:
            break
        # headers are at the beginning; that is where mutations hurt
        at = min(chance.randrange(len(data)), chance.randrange(len(data)))
        kind = chance.randrange(6)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            token = chance.choice(_INTERESTING)
            data[at:at + len(token)] = token
        elif kind == 2:
            data[at:at] = chance.choice(_INTERESTING)
        elif kind == 3:
            del data[at:at + chance.randint(1, 40)]
        elif kind == 4:
            data[at:at] = data[at:at + chance.randint(1, 200)]
        else:
            del data[chance.randrange(len(data)):]
    return bytes(data)
