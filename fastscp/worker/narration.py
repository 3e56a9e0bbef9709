"""What the log says of associations, in storescp's words where it has any."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from fastscp.dicom.uids import SOP_CLASS_NAMES, TRANSFER_SYNTAX_NAMES
from fastscp.dimse import describe as dimse
from fastscp.dimse.command import Command
from fastscp.log.limit import STORED
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.log.text import printable, printable_lines
from fastscp.store.naming import clean_file_name
from fastscp.store.policy import OnDuplicate
from fastscp.ul import describe
from fastscp.ul.events import Established
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.outcome import Caller
from fastscp.worker.publication import Published

_log = logging.getLogger(APPLICATION)
_network_log = logging.getLogger(NETWORK)
_NAMES = SOP_CLASS_NAMES | TRANSFER_SYNTAX_NAMES

_MOST_CONTEXTS = 8  #: listed in one warning
_MOST_SYNTAXES = 4  #: of each of them
_LONGEST_NAME = 64
_DUPLICATES: dict[OnDuplicate | None, str] = {
    OnDuplicate.REPLACE: "overwriting", OnDuplicate.KEEP: "kept", OnDuplicate.COMPARE: "unchanged",
    OnDuplicate.RENAME: "storing as",
}


def log_established(event: Established, caller: Caller, *, with_contexts: bool) -> None:
    """Log what was agreed on, as far as it is wanted; presentation contexts at info level where asked for."""
    if _log.isEnabledFor(logging.INFO):
        _log_agreement(event, caller, with_contexts=with_contexts)
    if not event.contexts:
        _log.warning("no presentation context of %s is acceptable: %s", caller, _refused_contexts(event))


def _log_agreement(event: Established, caller: Caller, *, with_contexts: bool) -> None:
    request = event.request
    _log.info("Association Received %s: %s -> %s", caller.peer.name, printable(request.calling_ae_title),
              printable(request.called_ae_title))
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", printable_lines(describe.associate_rq(request, _NAMES)))
    level = logging.INFO if with_contexts else logging.DEBUG
    if _log.isEnabledFor(level):
        _log.log(level, "%s", printable_lines(describe.established(event, _NAMES)))
    _log.info("Association Acknowledged (Max Send PDV: %s)", describe.max_send_pdv(request))
    if not event.contexts:
        _log.info("    (but no valid presentation contexts)")


def _refused_contexts(event: Established) -> str:
    """List what was proposed, in bounded length, by names where there are any."""
    proposed = event.request.contexts
    if not proposed:
        return "none is proposed"
    listed = [f"{_name(context.abstract_syntax)} ({_some(map(_name, context.transfer_syntaxes), _MOST_SYNTAXES)})"
              for context in proposed[: _MOST_CONTEXTS + 1]]
    return _some(listed, _MOST_CONTEXTS)


def _some(names: Iterable[str], most: int) -> str:
    """Join as many names as are shown, and say whether there are more."""
    shown = list(names)
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def _name(uid: str) -> str:
    return _NAMES.get(uid) or printable(uid, _LONGEST_NAME)


def log_late(caller: Caller, *, connected: bool, over: bool, begun: bool) -> None:
    """Log what the peer of a connection without an open association did not do in time.

    ``connected``: its TLS handshake is done, if there is one; ``over``: its association is; ``begun``: its
    association request has begun.
    """
    if not connected:
        _network_log.error("TLS handshake with %s not complete in time, closing", caller)
    elif over:
        _network_log.info("%s does not close the connection of its former association, closing", caller)
    elif begun:
        _network_log.error("association request of %s not complete in time, closing", caller)
    else:
        _network_log.error("no association request from %s in time, closing", caller)


def silence(*, answers: bool, storing: bool, begun: bool) -> str:
    """Say what the peer of an open association did not do in time.

    ``answers``: some of ours wait for it to take them; ``storing``: an object is under way; ``begun``: a message is.
    """
    if answers:
        return "does not take its answers"
    if storing:
        return "does not go on with its object"
    return "does not go on with its message" if begun else "asks for nothing"


def log_request(command: Command, context: AcceptedContext) -> None:
    """Log a message of the peer in full."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", printable_lines(dimse.command(command, context)))


def log_response(command: Command, code: int) -> None:
    """Log what is answered to a request."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", printable_lines(dimse.response(command, code)))


def log_begun(command: Command, prefix: str, peer: str, *, cleaned: bool, padded: bool) -> None:
    """Log a C-STORE-RQ. ``cleaned``: its file's name is not made of the UID as it is."""
    if cleaned:
        uid = command.affected_sop_instance_uid
        _log.warning('Sanitized unusual characters in SOP Instance UID, converted from "%s" to "%s".', printable(uid),
                     clean_file_name(uid))
    _log.info("Received Store Request (MsgID %d, %s)", command.message_id, prefix)
    if padded:
        _log.warning("%s sends UIDs padded with blanks, corrected", peer)


def log_published(published: Published) -> None:
    """Log where an object went."""
    path = f"{published.directory}/{published.file}"
    if published.written:
        _log.info("storing DICOM file: %s", path, extra=STORED)
    if published.warning:
        _log.warning("%s, storing as: %s", printable(published.warning), path)
    duplicate = _DUPLICATES.get(published.duplicate)
    if duplicate:
        _log.warning("DICOM file already exists, %s: %s", duplicate, path)
