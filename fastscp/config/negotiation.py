"""storescp's built-in negotiation: which SOP classes, and which transfer syntaxes in which order.

Source: the tables of ``fastscp.dicom.uids``; the orders are those of storescp 3.6.7, checked against it
in tests/differential/test_negotiation.py.
"""

from __future__ import annotations

from types import MappingProxyType

from fastscp.config.known_uids import known_non_storage_uids
from fastscp.dicom.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_SOP_CLASSES,
    VERIFICATION,
)
from fastscp.errors import UsageError
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

_UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

#: Option to the one transfer syntax it puts before the uncompressed ones.
_PREFERRED = MappingProxyType({
    "prefer-lossless": "1.2.840.10008.1.2.4.70",
    "prefer-jpeg8": "1.2.840.10008.1.2.4.50",
    "prefer-jpeg12": "1.2.840.10008.1.2.4.51",
    "prefer-j2k-lossless": "1.2.840.10008.1.2.4.90",
    "prefer-j2k-lossy": "1.2.840.10008.1.2.4.91",
    "prefer-jls-lossless": "1.2.840.10008.1.2.4.80",
    "prefer-jls-lossy": "1.2.840.10008.1.2.4.81",
    "prefer-mpeg2": "1.2.840.10008.1.2.4.100",
    "prefer-mpeg2-high": "1.2.840.10008.1.2.4.101",
    "prefer-mpeg4": "1.2.840.10008.1.2.4.102",
    "prefer-mpeg4-bd": "1.2.840.10008.1.2.4.103",
    "prefer-mpeg4-2-2d": "1.2.840.10008.1.2.4.104",
    "prefer-mpeg4-2-3d": "1.2.840.10008.1.2.4.105",
    "prefer-mpeg4-2-st": "1.2.840.10008.1.2.4.106",
    "prefer-hevc": "1.2.840.10008.1.2.4.107",
    "prefer-hevc10": "1.2.840.10008.1.2.4.108",
    "prefer-rle": "1.2.840.10008.1.2.5",
    "prefer-deflated": DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
})

#: ``--accept-all``: lossy before lossless within each family, uncompressed last. storescp 3.6.7 has those of
#: its time in this order; what newer versions added stands beside its relatives.
_ACCEPT_ALL = (
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.51",  # JPEG
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.81",  # JPEG-LS
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.100",  # MPEG2
    "1.2.840.10008.1.2.4.100.1",
    "1.2.840.10008.1.2.4.101",
    "1.2.840.10008.1.2.4.101.1",
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264
    "1.2.840.10008.1.2.4.102.1",
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.4.103.1",
    "1.2.840.10008.1.2.4.104",
    "1.2.840.10008.1.2.4.104.1",
    "1.2.840.10008.1.2.4.105",
    "1.2.840.10008.1.2.4.105.1",
    "1.2.840.10008.1.2.4.106",
    "1.2.840.10008.1.2.4.106.1",
    "1.2.840.10008.1.2.4.107",  # HEVC/H.265
    "1.2.840.10008.1.2.4.108",
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.110",  # JPEG XL
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.8.1",  # deflated image frames
    "1.2.840.10008.1.2.1.98",  # encapsulated uncompressed
    *_UNCOMPRESSED,
)


def preferred_transfer_syntaxes(preference: str) -> tuple[str, ...]:
    """Return the order of preference for a long option name without its dashes.

    Raises ``UsageError`` for a name that is no preference.
    """
    if preference in {"prefer-uncompr", "prefer-little"}:
        return _UNCOMPRESSED
    if preference == "prefer-big":
        return (EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    if preference == "implicit":
        return (IMPLICIT_VR_LITTLE_ENDIAN,)
    if preference == "accept-all":
        return _ACCEPT_ALL
    preferred = _PREFERRED.get(preference)
    if preferred is None:
        raise UsageError(f"unknown preference of transfer syntaxes: {preference}")
    return (preferred, *_UNCOMPRESSED)


def standard_policy(
    preference: str = "prefer-uncompr",
    *,
    ae_title: str = "STORESCP",
    max_pdu: int = 16384,
    promiscuous: bool = False,
    refuse: bool = False,
    reject: bool = False,
    implementation_class_uid: str = "",
    implementation_version_name: str = "",
) -> NegotiationPolicy:
    """Return what storescp negotiates without an association profile.

    Verification and all storage SOP classes share one rule. With ``promiscuous`` every other abstract
    syntax has it too, unless its UID is known to be something else.
    """
    rule = AbstractSyntaxRule(preferred_transfer_syntaxes(preference))
    rules = {uid: rule for uid, row in STORAGE_SOP_CLASSES.items() if row.accepted_by_default}
    rules[VERIFICATION] = rule
    return NegotiationPolicy(
        rules=MappingProxyType(rules),
        unknown_rule=rule if promiscuous else None,
        never_unknown=known_non_storage_uids() if promiscuous else frozenset(),
        ae_title=ae_title,
        max_pdu_length=max_pdu,
        refuse=refuse,
        reject_without_implementation_class_uid=reject,
        implementation_class_uid=implementation_class_uid,
        implementation_version_name=implementation_version_name,
    )
