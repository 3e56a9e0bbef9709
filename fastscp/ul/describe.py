"""Association parameters as text for debug logging: the facts storescp prints, in our words.

Texts of the peer are given as they came (Latin-1), line ends included: a list of lines is what the logger
makes printable (``fastscp.log.text.printable_lines``). ``names`` maps UIDs to symbolic names and comes from above, because this package knows no SOP classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from fastscp.ul.events import Established, Rejected
from fastscp.ul.pdu import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTANCE,
    NO_REASON,
    REJECT_SOURCE_ACSE,
    REJECT_SOURCE_PRESENTATION,
    REJECT_SOURCE_USER,
    REJECTED_PERMANENT,
    REJECTED_TRANSIENT,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    USER_REJECTION,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    UserInformation,
)

_CONTEXT_RESULTS = {
    ACCEPTANCE: "Accepted",
    USER_REJECTION: "Rejected by user",
    NO_REASON: "Rejected without reason",
    ABSTRACT_SYNTAX_NOT_SUPPORTED: "Abstract Syntax Not Supported",
    TRANSFER_SYNTAXES_NOT_SUPPORTED: "Transfer Syntaxes Not Supported",
}
_REJECT_RESULTS = {REJECTED_PERMANENT: "Rejected Permanent", REJECTED_TRANSIENT: "Rejected Transient"}
_REJECT_SOURCES = {
    REJECT_SOURCE_USER: "Service User",
    REJECT_SOURCE_ACSE: "Service Provider (ACSE)",
    REJECT_SOURCE_PRESENTATION: "Service Provider (Presentation)",
}
_REJECT_REASONS = {
    (REJECT_SOURCE_USER, 1): "No Reason Given",
    (REJECT_SOURCE_USER, 2): "Application Context Name Not Supported",
    (REJECT_SOURCE_USER, 3): "Calling AE Title Not Recognized",
    (REJECT_SOURCE_USER, 7): "Called AE Title Not Recognized",
    (REJECT_SOURCE_ACSE, 1): "No Reason Given",
    (REJECT_SOURCE_ACSE, 2): "Protocol Version Not Supported",
    (REJECT_SOURCE_PRESENTATION, 1): "Temporary Congestion",
    (REJECT_SOURCE_PRESENTATION, 2): "Local Limit Exceeded",
}

_NO_NAMES: Mapping[str, str] = MappingProxyType({})

#: A PDV spends 6 octets of its P-DATA-TF, and a P-DATA-TF 6 on its own header in DCMTK's count.
_PDV_OVERHEAD = 12


def _uid_name(uid: str, names: Mapping[str, str]) -> str:
    """Return the symbolic name of ``uid`` with an equals sign, or the UID."""
    name = names.get(uid)
    return f"={name}" if name else uid


def max_send_pdv(request: AAssociateRQ) -> int:
    """Return the octets of payload DCMTK announces for one PDV to this peer."""
    return max(0, (request.max_pdu_length or 16384) - _PDV_OVERHEAD)


def rejected(event: Rejected) -> str:
    """Return one line for a rejection."""
    return reject(event.reject)


def reject(pdu: AAssociateRJ) -> str:
    """Return result, source and reason of an A-ASSOCIATE-RJ in one line (PS3.8 Table 9-21)."""
    result = _REJECT_RESULTS.get(pdu.result, f"Result {pdu.result}")
    source = _REJECT_SOURCES.get(pdu.source, f"Source {pdu.source}")
    reason = _REJECT_REASONS.get((pdu.source, pdu.reason), f"Reason {pdu.reason}")
    return f"{result}, Source: {source}, Reason: {reason}"


def established(event: Established, names: Mapping[str, str] = _NO_NAMES) -> list[str]:
    """Return the parameters that were negotiated, contexts with their results, as lines."""
    lines = _head("A-ASSOCIATE-AC", event.request, event.accept.user_information)
    lines.append("Presentation Contexts:")
    lines += _results(event.request, event.accept, names)
    lines += _user_information(event.request.user_information, "Requested", names)
    lines += _user_information(event.accept.user_information, "Accepted", names)
    return lines


def associate_rq(request: AAssociateRQ, names: Mapping[str, str] = _NO_NAMES) -> list[str]:
    """Return what the requestor proposed, as lines."""
    lines = _head("A-ASSOCIATE-RQ", request, None)
    lines.append("Presentation Contexts:")
    for context in request.contexts:
        lines.append(f"  Context ID:        {context.id} (Proposed)")
        lines.append(f"    Abstract Syntax: {_uid_name(context.abstract_syntax, names)}")
        lines.append("    Proposed Transfer Syntax(es):")
        lines += (f"      {_uid_name(uid, names)}" for uid in context.transfer_syntaxes)
    lines += _user_information(request.user_information, "Requested", names)
    return lines


def _head(title: str, request: AAssociateRQ, ours: UserInformation | None) -> list[str]:
    theirs = request.user_information
    lines = [
        f"{title} parameters",
        f"Their Implementation Class UID:    {theirs.implementation_class_uid or 'none'}",
        f"Their Implementation Version Name: {theirs.implementation_version_name or 'none'}",
        f"Application Context Name:    {request.application_context}",
        f"Calling Application Name:    {request.calling_ae_title}",
        f"Called Application Name:     {request.called_ae_title}",
        f"Their Max PDU Receive Size:  {request.max_pdu_length}",
    ]
    if ours is not None:
        lines.insert(1, f"Our Implementation Class UID:      {ours.implementation_class_uid or 'none'}")
        lines.insert(2, f"Our Implementation Version Name:   {ours.implementation_version_name or 'none'}")
        lines.append(f"Our Max PDU Receive Size:    {ours.maximum_length}")
    return lines


def _results(request: AAssociateRQ, accept: AAssociateAC, names: Mapping[str, str]) -> list[str]:
    answers = {answered.id: answered for answered in accept.contexts}
    lines = []
    for proposed in request.contexts:
        answered = answers[proposed.id]
        result = _CONTEXT_RESULTS.get(answered.result, f"Result {answered.result}")
        lines.append(f"  Context ID:        {proposed.id} ({result})")
        lines.append(f"    Abstract Syntax: {_uid_name(proposed.abstract_syntax, names)}")
        if answered.result == ACCEPTANCE:
            lines.append(f"    Accepted Transfer Syntax: {_uid_name(answered.transfer_syntax, names)}")
    return lines


def _user_information(user: UserInformation, title: str, names: Mapping[str, str]) -> list[str]:
    """Return role selections, extended negotiation and user identity; credentials never."""
    lines = []
    if user.window is not None:
        lines.append(f"{title} Asynchronous Operations Window: {user.window.invoked}, {user.window.performed}")
    lines += (
        f"{title} Role Selection: {_uid_name(role.sop_class_uid, names)} SCU {int(role.scu_role)}, SCP {int(role.scp_role)}"
        for role in user.roles)
    lines.append(f"{title} Extended Negotiation: {'' if user.extended else 'none'}".rstrip())
    lines += (f"  {_uid_name(item.sop_class_uid, names)}: {item.information.hex(' ')}" for item in user.extended)
    if user.common_extended:
        lines.append(f"{title} Common Extended Negotiation:")
        lines += (f"  {_uid_name(item.sop_class_uid, names)}: service class {item.service_class_uid}"
                  for item in user.common_extended)
    identity = user.user_identity
    if identity is None:
        lines.append(f"{title} User Identity Negotiation: none")
    else:
        lines.append(f"{title} User Identity Negotiation: type {identity.kind}, positive response "
                     f"{'requested' if identity.positive_response_requested else 'not requested'}")
    return lines
