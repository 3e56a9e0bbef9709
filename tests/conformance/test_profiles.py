"""``-xf``: association profiles beside the real storescp, by A-ASSOCIATE-AC and by error message."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

import fastscp
from fastscp.config.profiles import load_profile
from fastscp.config.uid_names import other_uids
from fastscp.dicom.uids import SOP_CLASS_UIDS, STORAGE_SOP_CLASSES, TRANSFER_SYNTAX_UIDS, TRANSFER_SYNTAXES
from fastscp.errors import UsageError
from fastscp.ul.decode import decode_associate_ac
from fastscp.ul.encode import encode_associate_rq
from fastscp.ul.pdu import ExtendedNegotiation, ProposedContext, RoleSelection, UserInformation
from tests.corpus import wire
from tests.differential.test_negotiation import OFFIS, ask_ours, ask_storescp
from tests.support.oracle import REFERENCE, installed_version
from tests.support.servers import FastscpServer, StorescpServer, free_port, listens, wait_until

pytestmark = pytest.mark.oracle

DCMTK_SAMPLE = Path("/etc/dcmtk/storescp.cfg")
OUR_SAMPLE = Path(fastscp.__file__).parent / "data" / "storescp.cfg"

PROFILES = [
    (DCMTK_SAMPLE, "Default"), (DCMTK_SAMPLE, "AllDICOM"), (DCMTK_SAMPLE, " all dicom"),
    (OUR_SAMPLE, "Default"), (OUR_SAMPLE, "Practice"), (OUR_SAMPLE, "Reports"),
]

SIMPLE = r"""[[TransferSyntaxes]]
[U]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[P]
PresentationContext1 = VerificationSOPClass\U
PresentationContext2 = CTImageStorage\U
[[Profiles]]
[D]
PresentationContexts = P
"""


def requests(count):
    """Yield requests for 128 contexts each, of all kinds of classes and transfer syntaxes."""
    generator = random.Random(7)
    classes = [*STORAGE_SOP_CLASSES, wire.VERIFICATION, "1.2.3.4", "1.2.840.10008.5.1.4.31"]
    syntaxes = [*TRANSFER_SYNTAXES, "1.2.3.4.5"]
    for _ in range(count):
        contexts = [
            ProposedContext(2 * number + 1, generator.choice(classes),
                            tuple(generator.sample(syntaxes, generator.choice([1, 2, 5, 12]))))
            for number in range(128)
        ]
        yield wire.associate_request(contexts)


@pytest.mark.parametrize(("path", "profile"), PROFILES, ids=lambda value: getattr(value, "parent", value).__str__())
def test_same_answer_to_128_contexts(path, profile, tmp_path):
    policy = replace(load_profile(str(path), profile), **OFFIS)
    with StorescpServer(["--fork", "-od", tmp_path, "-xf", path, profile]) as server:
        for request in requests(10):
            octets = encode_associate_rq(request)
            ours, theirs = ask_ours(policy, octets), ask_storescp(server, octets)
            if not any(rule.extended for rule in policy.rules.values()):
                assert ours == theirs
                continue
            # storescp answers extended negotiation that nobody asked for (PS3.7 §D.3.3.5: it must not)
            accept, their_accept = decode_associate_ac(ours[6:]), decode_associate_ac(theirs[6:])
            assert accept.contexts == their_accept.contexts
            assert accept.user_information == replace(their_accept.user_information, extended=())


def extended_answer(ask):
    user = UserInformation(16384, "1.2.3", "T", extended=(ExtendedNegotiation(wire.CT, b"\x01\x00"),))
    request = wire.associate_request([ProposedContext(1, wire.CT, (wire.EXPLICIT,))], user_information=user)
    return decode_associate_ac(ask(encode_associate_rq(request))[6:]).user_information.extended


def test_same_extended_negotiation_where_it_is_asked_for(tmp_path):
    path = tmp_path / "f.cfg"
    path.write_text(SIMPLE + "ExtendedNegotiation = R\n[[ExtendedNegotiation]]\n[R]\n"
                    "ExtendedNegotiation1 = CTImageStorage\\020003000aFF\n")
    policy = load_profile(str(path), "D")
    with StorescpServer(["--fork", "-od", tmp_path, "-xf", path, "D"]) as server:
        theirs = extended_answer(lambda octets: ask_storescp(server, octets))
    assert extended_answer(lambda octets: ask_ours(policy, octets)) == theirs
    assert theirs == (ExtendedNegotiation(wire.CT, b"\x02\0\x03\0\x0a\xff"),)


def role_answer(ask, role):
    roles = () if role is None else (RoleSelection(wire.CT, *role),)
    user = UserInformation(16384, "1.2.3", "T", roles=roles)
    request = wire.associate_request([ProposedContext(1, wire.CT, (wire.EXPLICIT,))], user_information=user)
    accept = decode_associate_ac(ask(encode_associate_rq(request))[6:])
    answered = [(role.scu_role, role.scp_role) for role in accept.user_information.roles]
    return [context.result for context in accept.contexts], answered


@pytest.mark.parametrize("configured", [None, "SCU", "SCP", "BOTH"])
def test_same_roles(configured, tmp_path):
    path = tmp_path / "f.cfg"
    roles = "" if configured is None else (
        f"SCPSCURoleSelection = R\n[[SCPSCURoleSelection]]\n[R]\nRole1 = CTImageStorage\\{configured}\n")
    path.write_text(SIMPLE + roles)
    policy = load_profile(str(path), "D")
    with StorescpServer(["--fork", "-od", tmp_path, "-xf", path, "D"]) as server:
        for role in (None, (True, False), (False, True), (True, True)):
            theirs = role_answer(lambda octets: ask_storescp(server, octets), role)
            assert role_answer(lambda octets: ask_ours(policy, octets), role) == theirs
    # a requestor that refuses both roles gets none from us; storescp grants what is configured
    assert role_answer(lambda octets: ask_ours(policy, octets), (False, False))[1] in ([], [(False, False)])


def complaint_of_storescp(path, profile, directory):
    """Return what storescp says about a file that it refuses, None when it takes it."""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(["storescp", "-xf", str(path), profile, "-od", str(directory), str(free_port())],
                                   stderr=stderr, stdout=subprocess.DEVNULL)
        wait_until(lambda: process.poll() is not None or listens(process), "storescp listens or ends")
        if process.poll() is None:
            process.kill()
            process.wait()
            return None
        stderr.seek(0)
        text = stderr.read().decode()
    assert process.returncode == 1
    return text


MISTAKES = [
    ("[[TransferSyntaxes]]", "[[X]]"), ("[[PresentationContexts]]", "[[X]]"), ("[[Profiles]]", "[[X]]"),
    ("= LittleEndianExplicit", "= Foo"), ("= LittleEndianExplicit", "= littleendianexplicit"),
    ("= LittleEndianExplicit", "="), ("= LittleEndianExplicit", "= 1.2.x"),
    ("= LittleEndianExplicit", "= LittleEndianExplicit\n TransferSyntax2 = LittleEndianImplicit"),
    ("VerificationSOPClass\\U", "VerificationSOPClass"), ("VerificationSOPClass\\U", "VerificationSOPClass\\V"),
    ("VerificationSOPClass\\U", "Foo\\U"), ("VerificationSOPClass\\U", "VerificationSOPClass \\U"),
    ("CTImageStorage", "VerificationSOPClass"), ("= P", "= Q"), ("PresentationContexts = P", "Contexts = P"),
    ("[D]\n", "[D]\nPresentationContexts = P\n[D]\n"), ("[D]", "[E]"),
    ("= P\n", "= P\nSCPSCURoleSelection = R\n"), ("= P\n", "= P\nExtendedNegotiation = R\n"),
    ("= P\n", "= P\nSCPSCURoleSelection = R\n[[SCPSCURoleSelection]]\n[R]\nRole1 = CTImageStorage\\NONE\n"),
    ("= P\n", "= P\nSCPSCURoleSelection = R\n[[SCPSCURoleSelection]]\n[R]\nRole1 = MRImageStorage\\SCU\n"),
    ("= P\n", "= P\n[[SCPSCURoleSelection]]\n[R]\nRole1 = MRImageStorage\\SCU\nRole2 = MRImageStorage\\SCU\n"),
    ("= P\n", "= P\n[[ExtendedNegotiation]]\n[R]\nExtendedNegotiation1 = CTImageStorage\\0\n"),
    ("= P\n", "= P\n[[ExtendedNegotiation]]\n[R]\nExtendedNegotiation1 = CTImageStorage\\\n"),
    ("= P\n", f"= P\n[[ExtendedNegotiation]]\n[R]\nExtendedNegotiation1 = CTImageStorage\\{'00' * 1024}\n"),
]

#: what both take
FINE = [
    ("", ""), ("[U]", "[ u ]"), ("\\U", "\\ u "), ("[[Profiles]]", "[ [ PRO FILES ] ]"), ("\n", "\r\n"),
    ("TransferSyntax1 =", "transfer syntax 1="), ("= LittleEndianExplicit", "= =LittleEndianExplicit"),
    ("= LittleEndianExplicit", "= LittleEndianExplicit\nTransferSyntax3 = Nonsense"),
    ("= LittleEndianExplicit", "= LittleEndianExplicit\n# comment\n   \nTransferSyntax2 = LittleEndianImplicit"),
    ("= P\n", "=\n  P\n"), ("[[Profiles]]", "[[Unknown]]\n[X]\nY = Z\n[[Profiles]]"),
    ("[[TransferSyntaxes]]", "stray = 1\n[section]\nstray = 2\n[[TransferSyntaxes]]"),
    ("= P\n", "= P\n[[ExtendedNegotiation]]\n[R]\nExtendedNegotiation1 = CTImageStorage\\0aFF\n"),
    ("= P\n", "= P\nPresentationContexts = Nonsense\n"),
]


@pytest.mark.parametrize(("old", "new"), MISTAKES)
def test_what_storescp_refuses_is_refused_with_file_and_line(old, new, tmp_path):
    path = tmp_path / "f.cfg"
    path.write_text(SIMPLE.replace(old, new, 1))
    assert complaint_of_storescp(path, "D", tmp_path)
    with pytest.raises(UsageError) as error:
        load_profile(str(path), "D")
    if "[E]" not in new:
        assert re.search(rf"{re.escape(str(path))}:(\d+:)? ", str(error.value))


@pytest.mark.parametrize(("old", "new"), FINE)
def test_what_storescp_takes_is_taken(old, new, tmp_path):
    path = tmp_path / "f.cfg"
    path.write_bytes(SIMPLE.replace(old, new).encode() if old else SIMPLE.encode())
    assert complaint_of_storescp(path, "D", tmp_path) is None
    assert len(load_profile(str(path), "D").rules) == 2


#: Names of the reference that newer versions have corrected.
CORRECTED_SINCE = {
    "RFC2557MIMEEncapsulation", "XMLEncoding", "StandardRoboticCoordinateSystemFrameOfReference", "SRI24FrameOfReferenc",
}


def test_every_symbolic_name_is_one_of_storescp(tmp_path):
    """One file with all names of one table, so that a name storescp does not know is found by its complaint."""
    path = tmp_path / "f.cfg"
    names = [*other_uids(), "VerificationSOPClass", "CTImageStorage", "JPEG2000"]
    if installed_version() != REFERENCE:
        names = [name for name in names if name not in CORRECTED_SINCE]
    assert not set(other_uids()) & (set(SOP_CLASS_UIDS) | set(TRANSFER_SYNTAX_UIDS))
    lines = "\n".join(f"TransferSyntax{number} = {name}" for number, name in enumerate(names, start=1))
    path.write_text(SIMPLE.replace("TransferSyntax1 = LittleEndianExplicit", lines))
    assert complaint_of_storescp(path, "D", tmp_path) is None
    assert len(load_profile(str(path), "D").rules[wire.CT].transfer_syntaxes) == len(names)


def test_the_service_negotiates_by_a_profile(tmp_path):
    with FastscpServer(["-od", tmp_path, "-xf", OUR_SAMPLE, "reports"]) as server:
        contexts = [ProposedContext(1, wire.CT, (wire.IMPLICIT,)), ProposedContext(3, wire.VERIFICATION, (wire.IMPLICIT,)),
                    ProposedContext(5, "1.2.840.10008.5.1.4.1.1.88.11", (wire.IMPLICIT, wire.EXPLICIT))]
        answer = decode_associate_ac(ask_storescp(server, encode_associate_rq(wire.associate_request(contexts)))[6:])
    assert [(context.result, context.transfer_syntax) for context in answer.contexts] == [
        (3, wire.IMPLICIT), (0, wire.IMPLICIT), (0, wire.EXPLICIT)]


@pytest.mark.parametrize("flag", ["-xf", "--config-file"])
def test_the_service_does_not_start_with_a_bad_file(flag, tmp_path):
    path = tmp_path / "f.cfg"
    path.write_text(SIMPLE.replace("= LittleEndianExplicit", "= Foo"))
    done = subprocess.run(
        [sys.executable, "-m", "fastscp", flag, str(path), "D", "-od", str(tmp_path), str(free_port())],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"F: cannot read config file: {path}:3: not a valid transfer syntax UID: 'Foo'\n"
