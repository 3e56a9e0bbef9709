"""PS3.8, the DICOM Upper Layer, sans-IO: octets go in, events and octets come out. Public: what is in ``__all__``."""

from typing import TYPE_CHECKING

from fastscp import lazy

if TYPE_CHECKING:
    from fastscp.ul.answers import Answers
    from fastscp.ul.association import Association, AssociationError
    from fastscp.ul.events import (
        Aborted,
        AssociationEvent,
        Established,
        Fragments,
        Rejected,
        ReleaseRequested,
    )
    from fastscp.ul.pdu import AcceptedContext
    from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

__all__ = ["Aborted", "AbstractSyntaxRule", "AcceptedContext", "Answers", "Association", "AssociationError", "AssociationEvent",
           "Established", "Fragments", "NegotiationPolicy", "Rejected", "ReleaseRequested"]

__getattr__ = lazy.names("fastscp.ul", {
    "Aborted": "fastscp.ul.events",
    "AbstractSyntaxRule": "fastscp.ul.policy",
    "AcceptedContext": "fastscp.ul.pdu",
    "Answers": "fastscp.ul.answers",
    "Association": "fastscp.ul.association",
    "AssociationError": "fastscp.ul.association",
    "AssociationEvent": "fastscp.ul.events",
    "Established": "fastscp.ul.events",
    "Fragments": "fastscp.ul.events",
    "NegotiationPolicy": "fastscp.ul.policy",
    "Rejected": "fastscp.ul.events",
    "ReleaseRequested": "fastscp.ul.events",
})
