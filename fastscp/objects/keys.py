"""What objects are called in the store. Pure.

::

    PREFIX/objects/STUDY/SERIES/INSTANCE/SHA256.dcm     an object: its name says what is in it, so it is never another one
    PREFIX/studies/STUDY/00000001.json                  the manifest of a study, by revision
    PREFIX/sections/SECTION/...                         the same of what came through a section of the configuration file

A component is what the peer sent, made safe: letters, digits, ``.`` and ``-`` stay, every other octet is ``_`` and two hexadecimal
digits. It is never empty, nor one of dots alone, and what is too long is cut and gets a digest: two UIDs never have one name.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

#: a UID has at most 64 characters (PS3.5 §9.1); of what is longer that many stay, and a digest of the whole
_LONGEST: Final = 96
_KEPT: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-")
_MANIFEST: Final = re.compile(r"([0-9]{8,})\.json\Z")


def component(text: str) -> str:
    """Return a text of a peer as one component of a key."""
    octets = text.encode("utf-8", "surrogatepass")
    spelt = "".join(chr(octet) if octet in _KEPT else f"_{octet:02X}" for octet in octets)
    if not spelt.strip("."):  # nothing, or what paths mean something by
        spelt = spelt.replace(".", "_2E") or "_"
    if len(spelt) > _LONGEST:
        spelt = f"{spelt[:_LONGEST]}_{hashlib.sha256(octets).hexdigest()[:32]}"
    return spelt


def _base(prefix: str, sender: str) -> str:
    parts = [*prefix.strip("/").split("/"), *(("sections", component(sender)) if sender else ())]
    return "".join(f"{part}/" for part in parts if part)


def object_key(prefix: str, sender: str, study: str, series: str, instance: str, sha256: str) -> str:
    """Return the key of an object."""
    return f"{_base(prefix, sender)}objects/{component(study)}/{component(series)}/{component(instance)}/{sha256}.dcm"


def manifests_of(prefix: str, sender: str, study: str) -> str:
    """Return what the keys of a study's manifests begin with."""
    return f"{_base(prefix, sender)}studies/{component(study)}/"


def manifest_key(prefix: str, sender: str, study: str, revision: int) -> str:
    """Return the key of the manifest of a revision."""
    return f"{manifests_of(prefix, sender, study)}{revision:08d}.json"


def revision_of(key: str) -> int | None:
    """Return the revision of a manifest's key; None for any other key."""
    found = _MANIFEST.search(key)
    return None if found is None else int(found[1])
