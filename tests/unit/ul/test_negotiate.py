"""Answers to A-ASSOCIATE-RQ by policy."""

import dataclasses

import pytest

from fastscp.ul import pdu
from fastscp.ul.negotiate import negotiate
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy
from tests.corpus.wire import BIG, CT, EXPLICIT, IMPLICIT, MR, VERIFICATION, associate_request

RULE = AbstractSyntaxRule((EXPLICIT, BIG, IMPLICIT))
POLICY = NegotiationPolicy(rules={CT: RULE, VERIFICATION: RULE}, implementation_class_uid="1.2.9",
                           implementation_version_name="OURS", max_pdu_length=8192)
UNKNOWN = "1.2.3.99"


def propose(*contexts, policy=POLICY, **others):
    return negotiate(associate_request([pdu.ProposedContext(*context) for context in contexts], **others), policy)


def results(answer):
    return [(context.id, context.result, context.transfer_syntax) for context in answer.accept.contexts]


def user(**others):
    return pdu.UserInformation(16384, "1.2.3", "T", **others)


def test_order_of_the_acceptor_decides():
    assert results(propose((1, CT, (IMPLICIT, BIG, EXPLICIT)), (3, CT, (IMPLICIT, BIG)))) == [
        (1, 0, EXPLICIT), (3, 0, BIG)]


def test_reasons_of_refused_contexts():
    answer = propose((1, UNKNOWN, (IMPLICIT,)), (3, CT, ("1.2.840.10008.1.2.4.50",)), (5, CT, (IMPLICIT,)))
    assert [result[:2] for result in results(answer)] == [(1, 3), (3, 4), (5, 0)]
    assert answer.contexts == {5: pdu.AcceptedContext(5, CT, IMPLICIT)}


def test_promiscuous_takes_unknown_but_not_known_others():
    policy = dataclasses.replace(POLICY, unknown_rule=RULE, never_unknown=frozenset({MR}))
    answer = propose((1, UNKNOWN, (IMPLICIT,)), (3, MR, (IMPLICIT,)), (5, "", (IMPLICIT,)), policy=policy)
    assert [result[:2] for result in results(answer)] == [(1, 0), (3, 3), (5, 3)]


def test_n09_no_contexts():
    answer = propose()
    assert results(answer) == []
    assert answer.contexts == {}


def test_n09_even_and_zero_ids():
    assert sorted(propose((0, CT, (IMPLICIT,)), (2, CT, (IMPLICIT,))).contexts) == [0, 2]


@pytest.mark.parametrize("count", [128, 256])
def test_n09_many_contexts(count):
    answer = propose(*((number, CT, (IMPLICIT,)) for number in range(count)))
    assert len(answer.contexts) == len(answer.accept.contexts) == count


def test_n09_repeated_id_means_what_was_accepted_first():
    answer = propose((1, CT, (IMPLICIT,)), (1, VERIFICATION, (EXPLICIT,)))
    assert results(answer) == [(1, 0, IMPLICIT)]
    assert answer.contexts == {1: pdu.AcceptedContext(1, CT, IMPLICIT)}


def test_n09_repeated_id_after_a_refusal():
    answer = propose((1, UNKNOWN, (IMPLICIT,)), (1, CT, (EXPLICIT,)))
    assert results(answer) == [(1, 0, EXPLICIT)]


def test_n09_no_transfer_syntax_and_strange_ones():
    answer = propose((1, CT, ()), (3, CT, (IMPLICIT, IMPLICIT)), (5, CT, (pdu.APPLICATION_CONTEXT_NAME,)))
    assert [result[:2] for result in results(answer)] == [(1, 4), (3, 0), (5, 4)]


def test_more_than_fifty_transfer_syntaxes():
    many = tuple(f"1.2.{number}" for number in range(200))
    assert results(propose((1, CT, (*many, IMPLICIT)))) == [(1, 0, IMPLICIT)]


@pytest.mark.parametrize(("changes", "answer"), [
    ({"protocol_version": 0}, (1, 2, 2)),
    ({"protocol_version": 0xFFFE}, (1, 2, 2)),
    ({"application_context": "1.2.3"}, (1, 1, 2)),
    ({"application_context": ""}, (1, 1, 2)),
], ids=repr)
def test_n13_rejections(changes, answer):
    assert propose((1, CT, (IMPLICIT,)), **changes) == pdu.AAssociateRJ(*answer)


def test_later_protocol_versions_are_taken():
    answer = propose((1, CT, (IMPLICIT,)), protocol_version=3)
    assert answer.accept.protocol_version == 1


def test_refuse_comes_before_the_application_context():
    policy = dataclasses.replace(POLICY, refuse=True)
    assert propose(policy=policy, application_context="1.2") == pdu.AAssociateRJ(1, 1, 1)


@pytest.mark.parametrize(("called", "reason"), [("STORESCP", None), ("storescp", 7), ("STORESCP2", 7), ("", 7)])
def test_another_title_is_not_recognized_where_only_the_own_one_is_served(called, reason):
    policy = dataclasses.replace(POLICY, ae_title="STORESCP ", require_called=True)
    request = dataclasses.replace(associate_request([pdu.ProposedContext(1, CT, (IMPLICIT,))]),
                                  called_ae_octets=called.encode().ljust(16))
    answer = negotiate(request, policy)
    assert not isinstance(negotiate(request, POLICY), pdu.AAssociateRJ)
    assert answer == pdu.AAssociateRJ(1, 1, 7) if reason else not isinstance(answer, pdu.AAssociateRJ)


def test_reject_without_implementation_class_uid():
    policy = dataclasses.replace(POLICY, reject_without_implementation_class_uid=True)
    anonymous = pdu.UserInformation(16384)
    assert propose(policy=policy, user_information=anonymous) == pdu.AAssociateRJ(1, 1, 1)
    assert propose(policy=policy, user_information=anonymous, application_context="1.2") == pdu.AAssociateRJ(1, 1, 2)
    assert results(propose((1, CT, (IMPLICIT,)), policy=policy)) == [(1, 0, IMPLICIT)]


def test_titles_and_reserved_octets_are_repeated_as_they_came():
    answer = propose(called=b"  \xff../x", calling=b"\0" * 16, reserved=b"r" * 32)
    assert answer.accept.called_ae_octets == b"  \xff../x".ljust(16)
    assert answer.accept.calling_ae_octets == bytes(16)
    assert answer.accept.reserved == b"r" * 32


def test_our_user_information():
    assert propose().accept.user_information == pdu.UserInformation(8192, "1.2.9", "OURS")


def test_operations_are_performed_one_by_one():
    answer = propose(user_information=user(window=pdu.AsynchronousOperationsWindow(0, 7)))
    assert answer.accept.user_information.window == pdu.AsynchronousOperationsWindow(1, 1)


def test_identity_is_not_verified_and_so_not_confirmed():
    answer = propose(user_information=user(user_identity=pdu.UserIdentity(2, True, b"user", b"pass")))
    assert answer.accept.user_information.user_identity_response is None


def test_common_extended_negotiation_has_no_answer():
    item = pdu.CommonExtendedNegotiation(CT, "1.2.840.10008.4.2")
    assert propose(user_information=user(common_extended=(item,))).accept.user_information.common_extended == ()


@pytest.mark.parametrize(("rule", "proposed", "answer"), [
    ((None, None), (True, True), None),
    ((True, True), (True, True), (True, True)),
    ((True, True), (True, False), (True, False)),
    ((False, True), (True, True), (False, True)),
    ((None, True), (False, True), (False, True)),
])
def test_roles(rule, proposed, answer):
    policy = NegotiationPolicy(rules={CT: AbstractSyntaxRule((IMPLICIT,), *rule)})
    asked = user(roles=(pdu.RoleSelection(CT, *proposed), pdu.RoleSelection(UNKNOWN, True, True)))
    roles = propose((1, CT, (IMPLICIT,)), policy=policy, user_information=asked).accept.user_information.roles
    assert roles == (() if answer is None else (pdu.RoleSelection(CT, *answer),))


def test_extended_negotiation_is_answered_where_the_rule_has_an_answer():
    policy = NegotiationPolicy(rules={CT: AbstractSyntaxRule((IMPLICIT,), extended=b"\2\0"), MR: RULE})
    asked = user(extended=tuple(pdu.ExtendedNegotiation(uid, b"\1") for uid in (CT, CT, MR, UNKNOWN)))
    answer = propose((1, CT, (IMPLICIT,)), policy=policy, user_information=asked)
    assert answer.accept.user_information.extended == (pdu.ExtendedNegotiation(CT, b"\2\0"),)


def test_context_that_only_an_scp_may_use_is_refused_to_a_requestor_without_role_selection():
    policy = NegotiationPolicy(rules={CT: AbstractSyntaxRule((IMPLICIT,), scu_role=False, scp_role=True)})
    assert results(propose((1, CT, (IMPLICIT,)), policy=policy))[0][:2] == (1, pdu.NO_REASON)
    information = user(roles=(pdu.RoleSelection(CT, False, True),))
    assert results(propose((1, CT, (IMPLICIT,)), policy=policy, user_information=information))[0][:2] == (1, 0)
