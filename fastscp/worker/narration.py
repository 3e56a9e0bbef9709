"""What the log says of associations, in storescp's words."""

from __future__ import annotations

import logging

from fastscp.dicom.uids import SOP_CLASS_NAMES, TRANSFER_SYNTAX_NAMES
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable, printable_lines
from fastscp.net.peer import Peer
from fastscp.ul import describe
from fastscp.ul.events import Established

_log = logging.getLogger(APPLICATION)
_NAMES = SOP_CLASS_NAMES | TRANSFER_SYNTAX_NAMES


def log_established(event: Established, peer: Peer, *, with_contexts: bool) -> None:
    """Log what was agreed on, as far as it is wanted; presentation contexts at info level where asked for."""
    if not _log.isEnabledFor(logging.INFO):
        return
    request = event.request
    _log.info("Association Received %s: %s -> %s", peer.name, printable(request.calling_ae_title),
              printable(request.called_ae_title))
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", printable_lines(describe.associate_rq(request, _NAMES)))
    level = logging.INFO if with_contexts else logging.DEBUG
    if _log.isEnabledFor(level):
        _log.log(level, "%s", printable_lines(describe.established(event, _NAMES)))
    _log.info("Association Acknowledged (Max Send PDV: %s)", describe.max_send_pdv(request))
    if not event.contexts:
        _log.info("    (but no valid presentation contexts)")
