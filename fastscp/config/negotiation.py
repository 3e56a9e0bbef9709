"""storescp's built-in negotiation: which SOP classes, and which transfer syntaxes in which order.

Source: the tables of ``fastscp.dicom.uids``; the orders are those of storescp 3.6.7, checked against it
in tests/differential/test_negotiation.py.
"""

from __future__ import annotations

from types import MappingProxyType

from fastscp.dicom.uids import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAX_UIDS,
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

_ACCEPT_ALL = ()


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
        never_unknown=frozenset(TRANSFER_SYNTAX_UIDS.values()) if promiscuous else frozenset(),
        ae_title=ae_title,
        max_pdu_length=max_pdu,
        refuse=refuse,
        reject_without_implementation_class_uid=reject,
        implementation_class_uid=implementation_class_uid,
        implementation_version_name=implementation_version_name,
    )
