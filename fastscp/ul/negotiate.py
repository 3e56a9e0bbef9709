"""Answer an A-ASSOCIATE-RQ by a ``NegotiationPolicy``.

The acceptor's order of preference decides which of the proposed transfer syntaxes is taken. An association
is acknowledged even when no presentation context can be used, as storescp does: the requestor sees the
results and goes.

Invariants: there is exactly one result per proposed presentation context id, in the order of the proposal.
Of an id that was proposed several times the first proposal that can be accepted is answered, so that both
sides mean the same. Nothing here is ever raised for what a peer proposed.

Source: PS3.8 §7.1, §9.3.3, §9.3.4; PS3.7 Annex D.3
"""

from __future__ import annotations

from dataclasses import dataclass

from fastscp.ul.pdu import (
    ABSTRACT_SYNTAX_NOT_SUPPORTED,
    ACCEPTANCE,
    APPLICATION_CONTEXT_NAME,
    NO_REASON,
    REJECT_SOURCE_ACSE,
    REJECT_SOURCE_USER,
    REJECTED_PERMANENT,
    TRANSFER_SYNTAXES_NOT_SUPPORTED,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AcceptedContext,
    AsynchronousOperationsWindow,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

#: What a refused context's transfer syntax item holds; its value is not significant (PS3.8 §9.3.3.2).
_INSIGNIFICANT_TRANSFER_SYNTAX = "1.2.840.10008.1.2"

# Reasons of the two rejecting sources that occur here (PS3.8 Table 9-21).
_NO_REASON_GIVEN = 1
_APPLICATION_CONTEXT_NOT_SUPPORTED = 2
_CALLED_TITLE_NOT_RECOGNIZED = 7
_PROTOCOL_VERSION_NOT_SUPPORTED = 2


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An association that can begin: what to answer, and what messages may use."""

    accept: AAssociateAC
    contexts: dict[int, AcceptedContext]


def negotiate(request: AAssociateRQ, policy: NegotiationPolicy) -> Acceptance | AAssociateRJ:
    """Return the acceptance of ``request``, or the rejection."""
    reject = _rejection(request, policy)
    if reject is not None:
        return reject
    # DEVIATION PS3.8 §9.3.2.2: even ids and zero are taken like odd ones, as storescp does.
    results: dict[int, ContextResult] = {}
    contexts: dict[int, AcceptedContext] = {}
    with_roles = {role.sop_class_uid for role in request.user_information.roles}
    for proposed in request.contexts:
        if proposed.id in contexts:
            continue
        result = _answer(proposed, policy, with_roles)
        results[proposed.id] = result
        if result.result == ACCEPTANCE:
            contexts[proposed.id] = AcceptedContext(
                proposed.id, proposed.abstract_syntax, result.transfer_syntax)
    accept = AAssociateAC(
        called_ae_octets=request.called_ae_octets,
        calling_ae_octets=request.calling_ae_octets,
        contexts=tuple(results.values()),
        user_information=_user_information(request, policy),
        reserved=request.reserved,
    )
    return Acceptance(accept, contexts)


def _rejection(request: AAssociateRQ, policy: NegotiationPolicy) -> AAssociateRJ | None:
    if not request.protocol_version & 1:
        return AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_ACSE, _PROTOCOL_VERSION_NOT_SUPPORTED)
    if policy.refuse:
        return AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_USER, _NO_REASON_GIVEN)
    if request.application_context != APPLICATION_CONTEXT_NAME:
        return AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_USER, _APPLICATION_CONTEXT_NOT_SUPPORTED)
    if policy.require_called and request.called_ae_title != policy.ae_title.strip(" "):
        return AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_USER, _CALLED_TITLE_NOT_RECOGNIZED)
    if (policy.reject_without_implementation_class_uid
            and not request.user_information.implementation_class_uid):
        return AAssociateRJ(REJECTED_PERMANENT, REJECT_SOURCE_USER, _NO_REASON_GIVEN)
    return None


def find_rule(abstract_syntax: str, policy: NegotiationPolicy) -> AbstractSyntaxRule | None:
    """Return the rule for contexts of ``abstract_syntax``; None when it is not supported."""
    rule = policy.rules.get(abstract_syntax)
    if rule is None and abstract_syntax and abstract_syntax not in policy.never_unknown:
        rule = policy.unknown_rule
    return rule


def _answer(proposed: ProposedContext, policy: NegotiationPolicy, with_roles: set[str]) -> ContextResult:
    """Answer one context. A requestor that negotiates no role is an SCU (PS3.7 §D.3.3.4)."""
    rule = find_rule(proposed.abstract_syntax, policy)
    if rule is None:
        return ContextResult(proposed.id, ABSTRACT_SYNTAX_NOT_SUPPORTED, _INSIGNIFICANT_TRANSFER_SYNTAX)
    offered = proposed.transfer_syntaxes
    for uid in rule.transfer_syntaxes:
        if uid in offered:
            if rule.scp_role and not rule.scu_role and proposed.abstract_syntax not in with_roles:
                return ContextResult(proposed.id, NO_REASON, _INSIGNIFICANT_TRANSFER_SYNTAX)
            return ContextResult(proposed.id, ACCEPTANCE, uid)
    return ContextResult(proposed.id, TRANSFER_SYNTAXES_NOT_SUPPORTED, _INSIGNIFICANT_TRANSFER_SYNTAX)


def _user_information(request: AAssociateRQ, policy: NegotiationPolicy) -> UserInformation:
    """Answer the request's user information.

    A user identity is never verified, so it gets no positive response (PS3.7 §D.3.3.7.2); common extended
    negotiation has no answer at all (§D.3.3.6.2).
    """
    asked = request.user_information
    return UserInformation(
        maximum_length=policy.max_pdu_length,
        implementation_class_uid=policy.implementation_class_uid,
        implementation_version_name=policy.implementation_version_name,
        # Operations are performed one after the other (PS3.7 §D.3.3.3.2).
        window=None if asked.window is None else AsynchronousOperationsWindow(1, 1),
        roles=_roles(request, policy),
        extended=_extended(request, policy),
    )


def _roles(request: AAssociateRQ, policy: NegotiationPolicy) -> tuple[RoleSelection, ...]:
    """Answer role selections whose rule has an answer; a role that was not proposed is never granted."""
    answers: dict[str, RoleSelection] = {}
    for role in request.user_information.roles:
        rule = find_rule(role.sop_class_uid, policy)
        if rule is None or (rule.scu_role is None and rule.scp_role is None):
            continue
        answers[role.sop_class_uid] = RoleSelection(
            role.sop_class_uid, role.scu_role and bool(rule.scu_role), role.scp_role and bool(rule.scp_role))
    return tuple(answers.values())


def _extended(request: AAssociateRQ, policy: NegotiationPolicy) -> tuple[ExtendedNegotiation, ...]:
    answers: dict[str, ExtendedNegotiation] = {}
    for item in request.user_information.extended:
        rule = find_rule(item.sop_class_uid, policy)
        if rule is not None and rule.extended is not None:
            answers[item.sop_class_uid] = ExtendedNegotiation(item.sop_class_uid, rule.extended)
    return tuple(answers.values())
