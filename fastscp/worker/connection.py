"""One accepted socket and the association on it.

Strategy: whatever arrives becomes a list of items (requests, data fragments, release ...) that are handled
strictly in order (``Flow``), DIMSE items by ``StorageService``.

The state of the association is the state machine's (``fastscp.ul.association``), that of the connection the
stream's. All this module adds is what lies between them: the machine is ahead by the items that wait here, so an
association is *open* from the moment ``Established`` was handled until its end was told.

Invariants: a connection that ends leaves no temporary and no open request behind. What it does not do: files, studies, statuses, and when.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fastscp.dimse.command import Command
from fastscp.dimse.provider import SHORTEST_DATA
from fastscp.errors import PeerError, ProcessError
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.log.text import printable
from fastscp.net.peer import Peer
from fastscp.net.transport import Transport, TransportError
from fastscp.process.loop import OUT
from fastscp.store.policy import OnDuplicate
from fastscp.ul import describe
from fastscp.ul.association import Association
from fastscp.ul.events import Aborted, Established, Rejected, ReleaseRequested
from fastscp.ul.pdu import P_DATA_TF
from fastscp.worker import committing
from fastscp.worker.choosing import DENIED, answers_to
from fastscp.worker.context import ConnectionContext
from fastscp.worker.express import lane_of
from fastscp.worker.flow import Flow, Lane
from fastscp.worker.limits import PEER_LEFT, Admittance, Patience
from fastscp.worker.narration import log_established, log_late, log_published, silence
from fastscp.worker.publication import Published
from fastscp.worker.service import StorageService
from fastscp.worker.stream import Stream

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)

_INTERNAL_ERROR = "internal error"
_ABORT_TIMEOUT_S = 5.0  #: an aborted peer gets that long to close the connection, or less


class Connection:
    """The worker's side of one peer. ``finished`` is called once, when everything was given back."""

    def __init__(self, context: ConnectionContext, number: int, transport: Transport, peer: Peer,
                 finished: Callable[[Connection], None]) -> None:
        self.number = number
        self.peer = peer
        self.name = f"{context.incarnation}-{number}"
        self._context = context
        self._finished = finished
        self._stream = Stream(context.loop, transport, self.ready)
        self._admittance = Admittance(context.places, peer) if context.places or context.sections else None
        self._association = Association(answers_to(context, self._admittance, peer, self._join))
        self.flow = Flow(self, context, self._stream, self._association)
        enter = self.flow.enter
        self._patience = Patience(context.loop, context.network, partial(enter, self._timed_out), partial(enter, self._expired))
        self.storage = StorageService(self, context.service)
        self.commitment = committing.on(self, context.service, self.storage.caller)
        self._denied = False  #: the address is to blame
        self._watched = True  #: whether the end of the connection is looked for while the peer waits for a hook

    def _join(self, context: ConnectionContext | None) -> None:
        """Belong to a section, before anything else has happened: its rules count from here on. None: to nobody's."""
        self._denied = context is None
        if context is not None:
            self._context = context
            self.storage = StorageService(self, context.service, context.sender)
            self.commitment = committing.on(self, context.service, self.storage.caller)
            self._patience.use(context.network)

    def name_peer(self, host: str) -> None:
        """Take the host name that was looked up meanwhile; "" when there is none."""
        self.peer = self.storage.caller.peer = replace(self.peer, host=host, host_follows=False)

    # -- life -------------------------------------------------------------------------------------

    def start(self, waited_s: float = 0.0) -> None:
        """Begin: the time to a complete A-ASSOCIATE-RQ is limited by the ACSE timeout, of which ``waited_s`` have passed."""
        if self._admittance is not None and self._admittance.flooding:
            _log.warning("too many connections of %s, closing", self.peer.name)
            self._close("failed", "too many connections of the host")
            return
        self._patience.begin(waited_s)
        self._stream.open()

    def ready(self, mask: int) -> None:
        """Serve what epoll reports."""
        self.flow.enter(self._serve, mask)

    def _serve(self, mask: int) -> None:
        stream, flow = self._stream, self.flow
        if not stream.transport.connected:
            if not stream.handshake():
                return
        elif flow.blocked and mask & ~OUT and not self.storage.waiting:
            self._peer_left()
            return
        elif mask & OUT:
            stream.flush()
            self.update()
            if mask == OUT:
                return
        if not stream.closed:
            flow.read()

    def handle(self, item: Any) -> None:
        """Handle an item: of the upper layer here, of DIMSE by the storage service."""
        handler = _HANDLERS.get(type(item))
        if handler is None:
            self.storage.handle(item)
        else:
            handler(self, item)

    @property
    def blocked(self) -> bool:
        """Whether the peer waits for us: for a hook, a delay, the coordinator, our own work."""
        return self.flow.blocked

    def block(self) -> None:
        """Handle no further item and read nothing until ``resume``."""
        self.flow.block()

    def took(self, lane: Lane) -> None:
        """Take note of what the express lane has stored and answered."""
        storage = self.storage
        storage.idle_since = self._context.loop.now
        storage.outcomes.stored(lane.written, lane.stored)
        for name in lane.replaced:
            log_published(Published(lane.directory, os.fsdecode(name), replaced=True, duplicate=OnDuplicate.REPLACE))

    def resume(self) -> None:
        """Go on with what waits behind the item that blocked; harmless while items are being handled."""
        self.storage.idle_since = self._context.loop.now  # it was not the peer who kept silent
        self.flow.resume()

    def respond(self, context_id: int, command: Command, code: int, comment: str = "",
                offending: tuple[int, ...] = ()) -> None:
        """Queue a response; it leaves at the latest when the connection blocks or has handled its items.

        A peer that takes no P-DATA-TF long enough for any answer is aborted.
        """
        provider = self.flow.inbox.provider
        if provider is None:
            raise ProcessError("a response without an association")
        try:
            self._stream.output += provider.encode_response(context_id, command, code, comment, offending)
        except PeerError as error:
            self._on_violation(error)

    def flush(self) -> None:
        """Send what is queued while the connection stays blocked."""
        try:
            self._stream.flush()
            self.update()
        except TransportError as error:
            self.lost(str(error))

    # -- what is waited for, and how long ---------------------------------------------------------

    def update(self) -> None:
        """Watch the socket for what is wanted now, within the limit for what the peer has to do next."""
        storage, blocked = self.storage, self.flow.blocked
        if self.flow.inbox.provider is not None:
            if blocked and storage.waiting:
                self._patience.step(self._context.network.acse_timeout_s)
            else:
                ours = blocked and not self.flow.working
                inside = not ours and self.flow.inside
                self._patience.follow(storage.idle_since, inside=inside, unread=bool(self._stream.output), blocked=blocked)
        left = PEER_LEFT if blocked and not self.flow.working and self._watched and not storage.waiting else 0
        self._stream.update(reading=not blocked, besides=left)

    def _peer_left(self) -> None:
        """Give up whoever left while a hook runs; objects that were sent before are stored when it has ended.

        What is held back is not: its peer has given it up, and would only wait here with a descriptor.
        """
        if self.storage.turnstile.held:
            self.end_of_file()
            return
        self._watched = self._stream.transport.peek() != P_DATA_TF
        (self.end_of_file if self._watched else self.update)()

    def _expired(self, why: str) -> None:
        _log.error("timed out: %s: %s, aborting association", self.storage.caller, why)
        self.abort(f"timed out: {why}", source=2, reason=0)

    def _timed_out(self) -> None:
        association = self._association
        if association.artim_running:  # Sta2 or Sta13
            log_late(self.storage.caller, connected=self._stream.transport.connected, over=association.over,
                     begun=association.inside_pdu)
            association.artim_expired()
        elif self.flow.blocked and self.storage.waiting:
            self.storage.give_up()
        else:
            missing = silence(answers=bool(self._stream.output), storing=self.storage.busy,
                              begun=self.flow.inside)
            _log.error("timed out: %s %s, aborting association", self.storage.caller, missing)
            self.abort(f"timed out: the peer {missing}", source=2, reason=0)
        if association.finished:
            self._close("failed", "timed out")

    # -- upper layer events -----------------------------------------------------------------------

    def _on_established(self, event: Established) -> None:
        self._stream.output += self._association.take_output()  # before the answers to what came in the same read
        request = event.request
        self.storage.outcomes.opened(request)
        log_established(event, self.storage.caller, with_contexts=self._context.log_contexts)
        if self._context.depot is not None:
            self.flow.lane = lane_of(self._context.depot, self._context.service, self, event, self._context.answers.policy.max_pdu_length)
        if 0 < request.max_pdu_length < SHORTEST_DATA:
            why = f"takes PDUs of at most {request.max_pdu_length} octets, no answer fits"
            _log.error("%s %s; aborting association", self.storage.caller, why)
            self.abort(why, source=0, reason=0)  # now, not after its first object was stored

    def _on_rejected(self, event: Rejected) -> None:
        reason = DENIED if self._denied else describe.rejected(event)
        self.storage.outcomes.rejected(event.request, reason)
        if self._denied:  # as access rules do it: without a word
            _log.warning("%s: %s", self.storage.caller, reason)
            self._close("failed", reason)
            return
        _application_log.info("Refusing Association from %s: %s", self.storage.caller, reason)
        self._await_close(self._context.network.acse_timeout_s)

    def _on_release(self, _event: ReleaseRequested) -> None:
        _application_log.info("Association Release")
        self._give_back("released", "association released inside it")
        self._association.release()
        self._await_close(self._context.network.acse_timeout_s)

    def _on_aborted(self, event: Aborted) -> None:
        why = f"aborted by the peer (source {event.source}, reason {event.reason})"
        _application_log.info("Association Aborted by %s (source %d, reason %d)", self.storage.caller, event.source, event.reason)
        self._close("aborted", why)

    def _on_violation(self, error: PeerError) -> None:
        """Abort for what the DIMSE layer found, in its place in the order of items."""
        _log.error("%s: %s, aborting association", self.storage.caller, printable(str(error)))
        self.abort(str(error), source=error.source, reason=error.reason)

    def violated(self, error: PeerError) -> None:
        """End after what the upper layer found; its A-ABORT is queued already."""
        if self._stream.closed:
            return
        _log.error("%s: %s, aborting association", self.storage.caller, printable(str(error)))
        self._give_back("aborted", str(error))
        self._await_close(self._context.network.acse_timeout_s)

    def end_of_file(self) -> None:
        """End: the peer sends nothing more."""
        if self.flow.inbox.provider is not None:
            _application_log.info("Association Aborted: connection closed by %s", self.storage.caller)
        elif not self._association.over:
            _log.log(logging.DEBUG if self._stream.transport.silent else logging.INFO,
                     "connection closed by %s before an association was requested", self.peer.name)
        self._close("failed", "connection closed by the peer")

    def lost(self, reason: str) -> None:
        """End: the transport failed."""
        if self.flow.inbox.provider is not None or not self._association.over:
            _log.log(logging.DEBUG if self._stream.transport.silent else logging.ERROR,
                     "connection to %s lost: %s", self.storage.caller, reason)
        self._close("failed", f"connection lost: {reason}")

    def failed(self) -> None:
        """End after an error that nobody expected."""
        _log.error("internal error, ending the connection of %s", self.storage.caller, exc_info=True)
        self.abort(_INTERNAL_ERROR, source=2, reason=0)
        self.close(_INTERNAL_ERROR)

    # -- endings ----------------------------------------------------------------------------------

    def abort(self, why: str, *, source: int, reason: int) -> None:
        """Send an A-ABORT and end (PS3.8 §9.3.8); without an open association the connection is closed.

        ``why`` is what is told of the objects that this costs.
        """
        if self.flow.inbox.provider is None:  # without an association there is nothing to abort
            self._close("failed", why)
            return
        self.flow.give_up_gathering()
        self._association.abort(source, reason)
        self._give_back("aborted", why)
        self._await_close(min(_ABORT_TIMEOUT_S, self._context.network.acse_timeout_s))

    def _give_back(self, how: str, why: str) -> None:
        """Drop the object under way and what waits behind it, and tell how the association ended."""
        self.flow.blocked = self.flow.working = False
        held: tuple[Admittance | committing.Committing | None, ...] = (self._admittance, self.commitment)
        for one in held:
            if one is not None:
                one.give_back()
        self.storage.drop(why, self.flow.inbox.take_unserved())
        self._tell_closed(how)

    def _await_close(self, limit_s: float) -> None:
        """Serve nothing more: the peer closes the connection, or the end of the ARTIM timer does (Sta13)."""
        self._stream.output += self._association.take_output()
        self._patience.step(limit_s)
        try:
            self._stream.flush()
            self._stream.update(reading=True)
        except TransportError as error:
            self.lost(str(error))

    def _tell_closed(self, how: str) -> None:
        if self.flow.inbox.provider is not None:
            self.flow.close_lane()
            self.flow.inbox.provider = None
            self.storage.outcomes.closed(how)

    def _close(self, how: str, why: str) -> None:
        """Give everything back."""
        if self._stream.closed:
            return
        self.flow.give_up_gathering()
        self._association.transport_closed()
        self._patience.cancel()
        self._stream.close()  # first: a late callback must find a closed connection
        self._give_back(how, why)
        self._finished(self)

    def close(self, why: str) -> None:
        """End at once, without a word to the peer."""
        self._close("failed", why)


_HANDLERS: dict[type, Callable[[Connection, Any], None]] = {
    Established: Connection._on_established,  # noqa: SLF001 - its own methods
    Rejected: Connection._on_rejected,  # noqa: SLF001
    ReleaseRequested: Connection._on_release,  # noqa: SLF001
    Aborted: Connection._on_aborted,  # noqa: SLF001
    PeerError: Connection._on_violation,  # noqa: SLF001
    **committing.HANDLERS,
}
