"""What an association tells its caller, besides fragments of messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastscp.ul.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ, AcceptedContext


@dataclass(frozen=True, slots=True)
class Established:
    """The association was acknowledged; the A-ASSOCIATE-AC is in the output."""

    request: AAssociateRQ
    accept: AAssociateAC
    contexts: Mapping[int, AcceptedContext]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The association was rejected; the A-ASSOCIATE-RJ is in the output."""

    request: AAssociateRQ
    reject: AAssociateRJ


@dataclass(frozen=True, slots=True)
class ReleaseRequested:
    """The peer wants to end; the caller finishes what is open and calls ``release``."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The peer aborted (PS3.8 Table 9-26)."""

    source: int
    reason: int


#: Fragments of one message that follow each other in one read: presentation context id, flags (bit 0 command;
#: bit 1 last, when they complete the message), payloads.
Fragments = tuple[int, int, list[memoryview]]
AssociationEvent = Fragments | Established | Rejected | ReleaseRequested | Aborted
