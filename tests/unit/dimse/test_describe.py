"""What debug logs say about messages."""

import pytest

from fastscp.dimse import describe
from fastscp.dimse.command import Command, decode_command
from fastscp.ul.pdu import AcceptedContext
from tests.corpus import wire

CONTEXT = AcceptedContext(3, wire.CT, wire.EXPLICIT)


def test_store_request():
    text = describe.command(decode_command(wire.store_command(7)), CONTEXT)
    lines = dict(line.split(": ", 1) for line in text[1:])
    facts = {label.strip(): value for label, value in lines.items()}
    assert facts["Message Type"] == "C-STORE RQ"
    assert facts["Presentation Context ID"] == "3"
    assert facts["Message ID"] == "7"
    assert facts["Affected SOP Class UID"] == f"{wire.CT} (CTImageStorage)"
    assert facts["Affected SOP Instance UID"] == wire.INSTANCE
    assert facts["Transfer Syntax"] == "LittleEndianExplicit"
    assert facts["Data Set"] == "present"
    assert facts["Priority"] == "medium"


def test_move_originator_and_requested_uids():
    command = Command(1, 2, 0, priority=9, requested_sop_class_uid="1.2", requested_sop_instance_uid="1.3",
                      move_originator_ae_title="MOVER", move_originator_message_id=44)
    text = "\n".join(describe.command(command, CONTEXT))
    for fact in ("MOVER", "44", "unknown (0009)", "1.2", "1.3", "none"):
        assert fact in text


def test_response():
    text = "\n".join(describe.response(decode_command(wire.store_command(7)), 0xA700))
    for fact in ("C-STORE RSP", ": 7", wire.INSTANCE, "0xa700: Refused: Out of resources"):
        assert fact in text


@pytest.mark.parametrize(("field", "name"), [
    (0x0001, "C-STORE RQ"), (0x8030, "C-ECHO RSP"), (0x0FFF, "C-CANCEL RQ"), (0x0140, "N-CREATE RQ"),
    (0x7FFF, "Unknown (7fff)")])
def test_message_types(field, name):
    assert describe.message_type(field) == name
