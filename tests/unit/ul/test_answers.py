"""Requests answered from memory: the same answer, bounded, and no secrets kept."""

import pytest

from fastscp.config.negotiation import standard_policy
from fastscp.errors import PeerError
from fastscp.ul.answers import Answers
from fastscp.ul.encode import encode_associate_rq
from fastscp.ul.events import Established, Rejected
from fastscp.ul.pdu import UserIdentity, UserInformation
from tests.corpus import wire

POLICY = standard_policy()


def body(**changes):
    return encode_associate_rq(wire.associate_request(**changes))[6:]


@pytest.mark.parametrize("request_body", [body(), body(calling=b"OTHER"), body(contexts=()),
                                          body(application_context="1.2.3")])
def test_the_second_answer_is_the_first_one(request_body):
    answers = Answers(POLICY)
    first, second = answers.to(request_body), answers.to(bytes(bytearray(request_body)))
    assert second is first
    assert second == Answers(POLICY).to(request_body)


def test_every_request_gets_its_own_answer():
    answers = Answers(POLICY)
    for _ in range(2):
        for number in range(200):
            answer = answers.to(body(calling=b"MODALITY%d" % number))
            assert answer.event.request.calling_ae_title == f"MODALITY{number}"
            assert b"MODALITY%d " % number in answer.octets
    assert len(answers._remembered) == 64


def test_the_request_that_was_seen_longest_ago_makes_room():
    answers = Answers(POLICY)
    kept = answers.to(body())
    for number in range(500):
        answers.to(body(calling=b"M%d" % number))
        assert answers.to(body()) is kept


def test_acceptance_and_rejection():
    assert isinstance(Answers(POLICY).to(body()).event, Established)
    rejected = Answers(standard_policy(refuse=True)).to(body())
    assert isinstance(rejected.event, Rejected)
    assert rejected.octets[0] == 3


def test_a_password_is_not_kept():
    answers = Answers(POLICY)
    identity = UserIdentity(2, False, b"joe", b"secret")
    request = body(user_information=UserInformation(maximum_length=16384, user_identity=identity))
    assert answers.to(request) == answers.to(request)
    assert not answers._remembered


def test_many_long_requests_are_not_all_kept():
    answers = Answers(POLICY)
    for number in range(100):
        answers.to(body(calling=b"M%d" % number) + wire.item(0x7F, bytes(30_000)))
        assert answers._octets == sum(map(len, answers._remembered)) <= 1 << 18
    assert len(answers._remembered) == 8
    small = [body(calling=b"S%d" % number) for number in range(60)]
    for request in small:
        answers.to(request)
    assert set(small) <= set(answers._remembered)


def test_a_long_request_is_not_kept():
    answers = Answers(POLICY)
    request = body() + wire.item(0x7F, bytes(33_000))
    assert isinstance(answers.to(request).event, Established)
    assert not answers._remembered


def test_what_cannot_be_understood_is_refused_every_time():
    answers = Answers(POLICY)
    for _ in range(2):
        with pytest.raises(PeerError):
            answers.to(body()[:70])
    assert not answers._remembered
