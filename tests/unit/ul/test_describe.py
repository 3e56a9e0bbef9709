"""What debug logs say about an association."""

from fastscp.config.negotiation import standard_policy
from fastscp.ul import describe, pdu
from fastscp.ul.association import Established, Rejected
from fastscp.ul.negotiate import negotiate
from tests.corpus import wire

POLICY = standard_policy(implementation_class_uid="1.2.9", implementation_version_name="OURS")


def establish(**user):
    request = wire.associate_request(user_information=pdu.UserInformation(16384, "1.2.3", "THEIRS", **user))
    answer = negotiate(request, POLICY)
    return Established(request, answer.accept, answer.contexts)


def test_established_has_both_sides_and_every_context():
    text = "\n".join(describe.established(establish(), {wire.CT: "CTImageStorage", wire.EXPLICIT: "LittleEndianExplicit"}))
    for fact in ("1.2.9", "OURS", "1.2.3", "THEIRS", "MODALITY", "STORESCP", "16384", "=CTImageStorage",
                 "=LittleEndianExplicit", wire.MR, "3 (Accepted)", "7 (Abstract Syntax Not Supported)"):
        assert fact in text


def test_repeated_context_id_is_described():
    request = wire.associate_request([pdu.ProposedContext(1, wire.CT, (wire.IMPLICIT,))] * 2)
    answer = negotiate(request, POLICY)
    text = "\n".join(describe.established(Established(request, answer.accept, answer.contexts)))
    assert text.count("1 (Accepted)") == 2


def test_request_lists_proposals_and_user_information():
    event = establish(
        window=pdu.AsynchronousOperationsWindow(5, 6), roles=(pdu.RoleSelection(wire.CT, True, False),),
        extended=(pdu.ExtendedNegotiation(wire.CT, b"\1\2"),),
        common_extended=(pdu.CommonExtendedNegotiation(wire.CT, "1.2.840.10008.4.2"),))
    text = "\n".join(describe.associate_rq(event.request))
    for fact in ("3 (Proposed)", wire.IMPLICIT, "5, 6", "SCU 1, SCP 0", "01 02", "1.2.840.10008.4.2"):
        assert fact in text


def test_credentials_are_never_described():
    event = establish(user_identity=pdu.UserIdentity(2, True, b"joe", b"secret"))
    text = "\n".join(describe.established(event) + describe.associate_rq(event.request))
    assert "type 2, positive response requested" in text
    assert "secret" not in text
    assert "joe" not in text


def test_rejection_is_one_line():
    rejected = Rejected(wire.associate_request(), pdu.AAssociateRJ(1, 1, 2))
    assert describe.rejected(rejected) == (
        "Rejected Permanent, Source: Service User, Reason: Application Context Name Not Supported")
    assert describe.reject(pdu.AAssociateRJ(9, 8, 7)) == "Result 9, Source: Source 8, Reason: Reason 7"


def test_max_send_pdv_leaves_room_for_headers():
    assert describe.max_send_pdv(wire.associate_request()) == 16372
    assert describe.max_send_pdv(wire.associate_request(user_information=pdu.UserInformation(1))) == 0


def test_line_ends_of_the_peer_begin_no_line():
    request = wire.associate_request(user_information=pdu.UserInformation(16384, "1.2\n3", "E: forged\nline"))
    assert "Their Implementation Version Name: E: forged\nline" in describe.associate_rq(request)
