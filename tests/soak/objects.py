"""Objects that senders of several kinds send, and what must be found on disk of each.

What a server does to them is known: lengths become explicit, elements get in order, the rest stays. So each object
is made twice, once as it is sent and once as it has to be stored.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from dataclasses import dataclass

from tests.support import datasets as ds
from tests.support.rawscu import DEFLATED

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.33"


@dataclass(frozen=True)
class Parcel:
    """One object: how it is sent, and the digest of the data set that must be stored."""

    kind: str
    sop_class: str
    sop_instance: str
    study: str
    transfer_syntax: str
    octets: bytes
    digest: bytes


def fresh(chance: random.Random) -> str:
    """Return a UID that no other seed has."""
    return f"2.25.{chance.getrandbits(124)}"


def digest(data_set: bytes) -> bytes:
    """Return what a stored data set is compared by."""
    return hashlib.blake2b(data_set, digest_size=16).digest()


def _header(kind: str, sop_class: str, instance: str, study: str, chance: random.Random) -> list[bytes]:
    return [
        ds.explicit(0x00080016, "UI", ds.uid(sop_class)),
        ds.explicit(0x00080018, "UI", ds.uid(instance)),
        ds.explicit(0x00080060, "CS", kind[:2].encode()),
        ds.explicit(0x00081030, "LO", b"soaked %05d" % chance.randrange(100000)),
        ds.explicit(0x00100010, "PN", b"Soak^%04d " % chance.randrange(10000)),
        ds.explicit(0x0020000D, "UI", ds.uid(study)),
        ds.explicit(0x0020000E, "UI", ds.uid(f"{study[:50]}.{chance.randrange(1, 3)}")),
        ds.explicit(0x00200013, "IS", b"%04d" % chance.randrange(10000)),
    ]


def _image(kind: str, sop_class: str, instance: str, study: str, size: int, chance: random.Random) -> bytes:
    return b"".join([*_header(kind, sop_class, instance, study, chance),
                     ds.explicit(0x00280010, "US", struct.pack("<H", 128)),
                     ds.explicit(0x7FE00010, "OW", chance.randbytes(size & ~1))])


def _tree(chance: random.Random, levels: int, *, delimited: bool) -> bytes:
    """Encode nested items; the same for the same state of ``chance``, but for how lengths are written."""
    items = []
    for _ in range(chance.randrange(1, 4)):
        content = ds.explicit(0x0040A040, "CS", b"CONTAINER ")
        if levels:
            content += _tree(chance, levels - 1, delimited=delimited)
        items.append(ds.item(content, delimited=delimited))
    return ds.sequence(0x0040A730, b"".join(items), delimited=delimited)


def _report(instance: str, study: str, chance: random.Random) -> tuple[bytes, bytes]:
    head = b"".join(_header("SR", REPORT, instance, study, chance))
    state = chance.getstate()
    sent = head + _tree(chance, 5, delimited=True)
    chance.setstate(state)
    return sent, head + _tree(chance, 5, delimited=False)


def _implicit(instance: str, study: str, chance: random.Random) -> bytes:
    return b"".join([
        ds.implicit(0x00080016, ds.uid(MR)), ds.implicit(0x00080018, ds.uid(instance)), ds.implicit(0x00080060, b"MR"),
        ds.implicit(0x0020000D, ds.uid(study)), ds.implicit(0x0020000E, ds.uid("1.2.3")),
        ds.implicit(0x7FE00010, chance.randbytes(20_000))])


def _disordered(instance: str, study: str, chance: random.Random) -> tuple[bytes, bytes]:
    head = b"".join(_header("CT", CT, instance, study, chance))
    parts = [ds.explicit(0x00411000 + number, "LO", b"%06d" % number) for number in range(300)]
    shuffled = chance.sample(parts, len(parts))
    pixels = ds.explicit(0x7FE00010, "OW", chance.randbytes(5000))
    return head + pixels + b"".join(shuffled), head + b"".join(parts) + pixels


def _enhanced(instance: str, study: str, chance: random.Random) -> bytes:
    head = b"".join(_header("CT", ENHANCED_CT, instance, study, chance))
    frame = ds.item(ds.sequence(0x00209111, ds.item(ds.explicit(0x00209157, "UL", bytes(8))))
                    + ds.sequence(0x00209113, ds.item(ds.explicit(0x00200032, "DS", b"1.0\\2.0\\3.0 "))))
    return head + ds.sequence(0x52009230, frame * 400) + ds.explicit(0x7FE00010, "OW", chance.randbytes(1 << 20))


KINDS = ("SR", "MR", "CT", "CT", "small", "small", "Enhanced", "implicit", "deflated", "disordered")


def make(chance: random.Random, study: str, kind: str | None = None) -> Parcel:
    """Make an object of some kind."""
    kind = kind or chance.choice(KINDS)
    instance = fresh(chance)
    sop_class, syntax = CT, ds.EXPLICIT
    stored: bytes | None = None
    if kind == "SR":
        sop_class = REPORT
        sent, stored = _report(instance, study, chance)
    elif kind == "MR":
        sop_class = MR
        sent = _image(kind, MR, instance, study, 38_000, chance)
    elif kind == "CT":
        sent = _image(kind, CT, instance, study, 130_000, chance)
    elif kind == "Enhanced":
        sop_class = ENHANCED_CT
        sent = _enhanced(instance, study, chance)
    elif kind == "implicit":
        sop_class, syntax = MR, ds.IMPLICIT
        sent = _implicit(instance, study, chance)
    elif kind == "disordered":
        sent, stored = _disordered(instance, study, chance)
    elif kind == "deflated":
        syntax = DEFLATED
        stored = _image("CT", CT, instance, study, 20_000, chance) + ds.explicit(0x7FE10010, "OB", bytes(100_000))
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        sent = deflater.compress(stored) + deflater.flush()
        sent += b"\0" * (len(sent) & 1)
    else:
        sent = _image("CT", CT, instance, study, chance.randrange(10, 4000), chance)
    return Parcel(kind, sop_class, instance, study, syntax, sent, digest(sent if stored is None else stored))
