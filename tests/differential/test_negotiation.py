"""Our A-ASSOCIATE-AC beside that of the real storescp, octet by octet."""

import random
import socket
import struct

import pytest

from fastscp.config.negotiation import preferred_transfer_syntaxes, standard_policy
from fastscp.dicom.uids import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from fastscp.ul.answers import Answers
from fastscp.ul.association import Association
from fastscp.ul.decode import decode_associate_ac
from fastscp.ul.encode import encode_associate_rq, encode_release_rq
from fastscp.ul.pdu import ProposedContext, RoleSelection, UserIdentity, UserInformation
from tests.corpus import wire
from tests.support.oracle import installed_version
from tests.support.servers import StorescpServer

pytestmark = pytest.mark.oracle

#: what storescp 3.6.7 calls itself
OFFIS = {"implementation_class_uid": f"1.2.276.0.7230010.3.0.{installed_version()}",
         "implementation_version_name": f"OFFIS_DCMTK_{installed_version().replace('.', '')}"}
OFFERED = [uid for uid in TRANSFER_SYNTAXES if uid.startswith("1.2.840.10008.1.2")]
#: more than these in one context and storescp 3.6.7 does not answer
TRANSFER_SYNTAXES_AT_ONCE = 45

PREFERENCES = [
    "prefer-uncompr", "prefer-little", "prefer-big", "prefer-lossless", "prefer-jpeg8", "prefer-jpeg12",
    "prefer-j2k-lossless", "prefer-j2k-lossy", "prefer-jls-lossless", "prefer-jls-lossy", "prefer-mpeg2",
    "prefer-mpeg2-high", "prefer-mpeg4", "prefer-mpeg4-bd", "prefer-mpeg4-2-2d", "prefer-mpeg4-2-3d",
    "prefer-mpeg4-2-st", "prefer-hevc", "prefer-hevc10", "prefer-rle", "prefer-deflated", "implicit", "accept-all",
]


def read_pdu(sock):
    header = sock.recv(6, socket.MSG_WAITALL)
    assert len(header) == 6, "storescp closed the connection"
    return header + sock.recv(struct.unpack(">I", header[2:])[0], socket.MSG_WAITALL)


def ask_storescp(server, octets):
    """Return storescp's first PDU for a request."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as sock:
        sock.sendall(octets)
        answer = read_pdu(sock)
        if answer[0] == 2:
            sock.sendall(encode_release_rq())
            read_pdu(sock)
    return answer


def ask_ours(policy, octets):
    association = Association(Answers(policy))
    association.receive(memoryview(octets))
    return association.take_output()


def order(ask):
    """Return the transfer syntaxes an acceptor takes, the preferred one first, by taking them away one by one."""
    contexts = [ProposedContext(2 * number + 1, wire.CT, (uid,)) for number, uid in enumerate(OFFERED)]
    answer = decode_associate_ac(ask(encode_associate_rq(wire.associate_request(contexts)))[6:])
    left = [uid for uid, context in zip(OFFERED, answer.contexts, strict=True) if context.result == 0]
    found = []
    assert 0 < len(left) <= TRANSFER_SYNTAXES_AT_ONCE
    while left:
        request = wire.associate_request([ProposedContext(1, wire.CT, tuple(left))])
        (context,) = decode_associate_ac(ask(encode_associate_rq(request))[6:]).contexts
        assert context.result == 0
        found.append(context.transfer_syntax)
        left.remove(context.transfer_syntax)
    return found


@pytest.mark.parametrize("preference", PREFERENCES)
def test_order_of_preference(preference, tmp_path):
    with StorescpServer(["--fork", "-od", tmp_path, f"--{preference}"]) as server:
        theirs = order(lambda octets: ask_storescp(server, octets))
    ours = order(lambda octets: ask_ours(standard_policy(preference), octets))
    assert ours == list(preferred_transfer_syntaxes(preference))
    assert [uid for uid in ours if uid in theirs] == theirs
    if preference != "accept-all":  # newer versions of storescp accept more there
        assert ours == theirs


def random_request(generator):
    """Return a request with 1 to 128 contexts, some of which cannot be accepted."""
    classes = [*(uid for uid, row in STORAGE_SOP_CLASSES.items() if row.accepted_by_default), wire.VERIFICATION]
    strange = ["1.2.3.4", "1.2.840.10008.5.1.4.31", wire.IMPLICIT, "1.2.840.10008.3.1.1.1"]
    contexts = []
    for number in range(generator.choice([1, 2, 5, 30, 128])):
        pool = strange if generator.random() < 0.2 else classes
        syntaxes = generator.sample([*OFFERED, "1.2.3.4.5"], generator.choice([1, 2, 3, 8, 40]))
        contexts.append(ProposedContext(2 * number + 1, generator.choice(pool), tuple(syntaxes)))
    user = UserInformation(
        generator.choice([0, 4096, 16384, 0xFFFFFFFF]), generator.choice(["", "1.2.3"]), "T",
        roles=(RoleSelection(wire.CT, True, True),) if generator.random() < 0.3 else (),
        user_identity=UserIdentity(1, True, b"joe") if generator.random() < 0.3 else None)
    return wire.associate_request(contexts, user_information=user, called=generator.choice([b"X", b"STORESCP"]))


@pytest.mark.parametrize(("options", "policy"), [
    ([], standard_policy(**OFFIS)),
    (["-pdu", "131072", "--prefer-lossless"], standard_policy("prefer-lossless", max_pdu=131072, **OFFIS)),
    (["--implicit"], standard_policy("implicit", **OFFIS)),
    (["--promiscuous"], standard_policy(promiscuous=True, **OFFIS)),
    (["--reject"], standard_policy(reject=True, **OFFIS)),
    (["--refuse"], standard_policy(refuse=True, **OFFIS)),
], ids=lambda value: "_".join(value) or "default" if isinstance(value, list) else "")
def test_same_answer(options, policy, tmp_path):
    generator = random.Random(1)
    with StorescpServer(["--fork", "-od", tmp_path, *options]) as server:
        theirs_known = known_to(server)
        for _ in range(15):
            request = random_request(generator)
            contexts = tuple(
                context for context in request.contexts
                if context.abstract_syntax in theirs_known or context.abstract_syntax not in STORAGE_SOP_CLASSES)
            if not contexts:
                continue
            octets = encode_associate_rq(
                wire.associate_request(contexts, user_information=request.user_information))
            assert ask_ours(policy, octets) == ask_storescp(server, octets)


def known_to(server):
    """Return the storage SOP classes this version of storescp knows: newer ones came with newer versions."""
    classes = list(STORAGE_SOP_CLASSES)
    known = set()
    for start in range(0, len(classes), 100):
        part = classes[start : start + 100]
        request = wire.associate_request(
            [ProposedContext(2 * number + 1, uid, (wire.IMPLICIT,)) for number, uid in enumerate(part)])
        answer = ask_storescp(server, encode_associate_rq(request))
        if answer[0] != 2:
            return set(classes)  # everybody is rejected, whatever is proposed
        known |= {uid for uid, context in zip(part, decode_associate_ac(answer[6:]).contexts, strict=True)
                  if context.result == 0}
    assert len(known) > 120
    return known


@pytest.mark.parametrize("changes", [
    {"protocol_version": 0}, {"protocol_version": 0xFFFE}, {"protocol_version": 3},
    {"application_context": "1.2.3"}, {"application_context": ""},
    {"calling": b"  ME"}, {"called": b"../secret/VICTIM"}, {"calling": b"`id`"},
], ids=repr)
def test_same_answer_to_strange_requests(changes, tmp_path):
    octets = encode_associate_rq(wire.associate_request(**changes))
    with StorescpServer(["--fork", "-od", tmp_path]) as server:
        assert ask_ours(standard_policy(**OFFIS), octets) == ask_storescp(server, octets)


def test_context_ids_that_are_even_zero_or_many(tmp_path):
    contexts = [ProposedContext(number, wire.CT, (wire.IMPLICIT,)) for number in range(200)]
    octets = encode_associate_rq(wire.associate_request(contexts))
    with StorescpServer(["--fork", "-od", tmp_path]) as server:
        assert ask_ours(standard_policy(**OFFIS), octets) == ask_storescp(server, octets)


def test_every_known_uid_is_refused_in_promiscuous_mode_like_storescp(tmp_path):
    """What the oracle knows to be something else, ours refuses too; ours knows what came later as well."""
    from pydicom._uid_dict import UID_dictionary

    uids = [uid for uid, row in UID_dictionary.items() if row[1]]
    policy = standard_policy(promiscuous=True, **OFFIS)
    refused_by_both = 0
    with StorescpServer(["--fork", "-od", tmp_path, "--promiscuous"]) as server:
        for start in range(0, len(uids), 100):
            part = uids[start : start + 100]
            octets = encode_associate_rq(wire.associate_request(
                [ProposedContext(2 * number + 1, uid, (wire.IMPLICIT,)) for number, uid in enumerate(part)]))
            theirs = decode_associate_ac(ask_storescp(server, octets)[6:]).contexts
            ours = decode_associate_ac(ask_ours(policy, octets)[6:]).contexts
            for uid, their, our in zip(part, theirs, ours, strict=True):
                if their.result:
                    assert our.result == 3, uid
                    refused_by_both += 1
                elif our.result:
                    assert uid not in STORAGE_SOP_CLASSES or not STORAGE_SOP_CLASSES[uid].accepted_by_default, uid
    assert refused_by_both > 150
