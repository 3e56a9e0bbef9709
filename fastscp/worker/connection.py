"""One accepted socket and the association on it.

Strategy: whatever arrives becomes a list of items (requests, data fragments, release ...) that are handled
strictly in order, DIMSE items by ``StorageService``. An item that has to wait (for the coordinator, a hook,
a delay) blocks the connection: the items behind it are kept, and the socket is not read until it goes on.
All time limits of a connection are one deadline, which moves without a timer being touched.

Invariants: items are handled in order of arrival; a connection that ends leaves no temporary and no open
request behind. What it does not do: files, studies, statuses.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fastscp.dicom.uids import SOP_CLASS_NAMES, TRANSFER_SYNTAX_NAMES
from fastscp.dimse.command import Command
from fastscp.dimse.provider import SHORTEST_DATA, DataFragments, Provider
from fastscp.errors import PeerError, ProcessError
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.log.text import printable, printable_lines
from fastscp.net.peer import Peer
from fastscp.net.transport import HandshakeState, Transport, TransportError
from fastscp.process.loop import IN, OUT, Timer
from fastscp.ul import describe
from fastscp.ul.association import Aborted, Association, Established, Rejected, ReleaseRequested
from fastscp.worker.context import Shared
from fastscp.worker.service import StorageService

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)

_NAMES = SOP_CLASS_NAMES | TRANSFER_SYNTAX_NAMES
_NEVER = float("inf")
_INFLATING_OCTETS = 1 << 13  #: read at once of a deflated data set
_OUTPUT_LIMIT = 1 << 16  #: octets of answers a peer may leave unread before it is not read any more


class Connection:
    """The worker's side of one peer."""

    def __init__(self, shared: Shared, number: int, transport: Transport, peer: Peer) -> None:
        self._shared = shared
        self.number = number
        self.peer = peer
        self.name = f"{shared.incarnation}-{number}"
        self.storage = StorageService(self, shared)
        self._transport = transport
        self._fd = transport.fileno()
        self._association = Association(shared.answers)
        self._provider: Provider | None = None
        self._items: deque[Any] = deque()
        self._blocked = False
        self._pumping = False
        self._output = bytearray()
        self._interest = 0
        self._deadline = _NEVER
        self._timer: Timer | None = None
        self._handshaking = True
        self._established = False
        self._ending = False  #: nothing the peer still sends counts
        self._closed = False

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the time to a complete A-ASSOCIATE-RQ is limited by the ACSE timeout."""
        self._set_deadline(self._shared.config.network.acse_timeout_s)
        self._set_interest(IN)

    def ready(self, mask: int) -> None:
        """Serve what epoll reports."""
        try:
            if self._handshaking:
                if not self._handshake():
                    return
                mask = IN
            if mask & OUT:
                self._flush()
                self._update_deadline()
            if mask & ~OUT and not self._closed:
                self._read()
        except TransportError as error:
            self._lost(str(error))

    def _handshake(self) -> bool:
        state = self._transport.handshake()
        if state is HandshakeState.DONE:
            self._handshaking = False
            self._set_interest(IN)
            return True
        self._set_interest(OUT if state is HandshakeState.WANTS_WRITE else IN)
        return False

    def _read(self) -> None:
        buffer = self._shared.buffer
        if self.storage.inflating:  # a thousandfold: others shall have their turn in between
            buffer = buffer[:_INFLATING_OCTETS]
        transport = self._transport
        while True:
            count = transport.receive_into(buffer)
            if count < 0:
                return
            if count == 0:
                self._end_of_file()
                return
            if self._ending:
                return
            try:
                events = self._association.receive(buffer[:count])
            except PeerError as error:
                self._run(error.events)
                self._violation(error)
                return
            self._run(events)
            if not transport.pending() or self._blocked or self._closed:
                return

    def _run(self, events: list[Any]) -> None:
        """Turn the upper layer's events into items and handle what can be handled now."""
        items = self._items
        fragments: list[Any] = []
        for event in events:
            if type(event) is tuple:
                fragments.append(event)
                continue
            if fragments:
                self._assemble(fragments)
                fragments = []
            items.append(event)
            if type(event) is Established:
                self._provider = Provider(event.contexts, event.request.max_pdu_length)
        if fragments:
            self._assemble(fragments)
        self._pump()

    def _assemble(self, fragments: list[Any]) -> None:
        provider = self._provider
        if provider is None or self._ending:
            return
        try:
            self._items.extend(provider.receive(fragments))
        except PeerError as error:
            self._items.extend(error.items)
            self._items.append(error)

    def _pump(self) -> None:
        """Handle items in order until one has to wait."""
        if self._pumping:
            return
        self._pumping = True
        items = self._items
        handlers = _HANDLERS
        try:
            while items and not self._blocked and not self._closed:
                item = items.popleft()
                handler = handlers.get(type(item))
                if handler is None:
                    self.storage.handle(item)
                else:
                    handler(self, item)
        finally:
            self._pumping = False
        if self._closed:
            return
        if items:  # the receive buffer will be used by others before these are handled
            for item in items:
                if type(item) is DataFragments:
                    item.views[:] = [memoryview(bytes(view)) for view in item.views]
        if self._output:
            self._flush()
        self._update_deadline()
        self._update_interest()

    @property
    def blocked(self) -> bool:
        """Whether the peer waits for us: for a hook, a delay, the coordinator."""
        return self._blocked

    def block(self) -> None:
        """Handle no further item and read nothing until ``resume``."""
        self._blocked = True

    def resume(self) -> None:
        """Go on with what waits behind the item that blocked; harmless while items are being handled."""
        if self._closed:
            return
        self._blocked = False
        self.storage.idle_since = self._shared.loop.now  # it was not the peer who kept silent
        try:
            self._pump()
            if not self._blocked and not self._closed and self._transport.pending():
                self._read()  # decrypted octets do not make the socket readable again
        except TransportError as error:
            self._lost(str(error))

    def respond(self, context_id: int, command: Command, code: int, comment: str = "",
                offending: tuple[int, ...] = ()) -> None:
        """Queue a response; it leaves at the latest when the connection blocks or has handled its items.

        A peer that takes no P-DATA-TF long enough for any answer is aborted.
        """
        if self._provider is None:
            raise ProcessError("a response without an association")
        try:
            self._output += self._provider.encode_response(context_id, command, code, comment, offending)
        except PeerError as error:
            self._on_violation(error)

    def flush(self) -> None:
        """Send what is queued while the connection stays blocked."""
        try:
            self._flush()
        except TransportError as error:
            self._lost(str(error))

    # -- output, interest, deadlines --------------------------------------------------------------

    def _flush(self) -> None:
        output = self._output
        while output:
            sent = self._transport.send(output)
            if sent < 0:
                break
            del output[:sent]
        self._update_interest()

    def _update_interest(self) -> None:
        if self._closed or self._handshaking:
            return
        wanted = 0 if self._blocked or len(self._output) > _OUTPUT_LIMIT else IN
        if self._output or self._transport.wants_write:
            wanted |= OUT
        self._set_interest(wanted)

    def _set_interest(self, wanted: int) -> None:
        """Watch the socket for exactly this; with nothing wanted it is not watched (EPOLLHUP would spin)."""
        if wanted == self._interest:
            return
        loop = self._shared.loop
        if not self._interest:
            loop.register(self._fd, wanted, self.ready)
        elif not wanted:
            loop.unregister(self._fd)
        else:
            loop.modify(self._fd, wanted)
        self._interest = wanted

    def _update_deadline(self) -> None:
        """Choose the limit for what the peer has to do next."""
        if not self._established or self._ending:
            return
        network = self._shared.config.network
        if self._output or (not self._blocked and self._peer_owes_octets()):
            limits = [limit for limit in (network.socket_timeout_s, network.dimse_timeout_s) if limit]
            limit = min(limits) if limits else None
        else:
            limit = None if self._blocked else network.socket_timeout_s  # storescp's -td is for a message begun
        if self._blocked and self.storage.waiting:
            limit = network.acse_timeout_s
        if limit is None:
            self._deadline = _NEVER
        else:
            self._set_deadline(limit)

    def _peer_owes_octets(self) -> bool:
        """Whether the peer has begun what it has not ended: a PDU, a command or a data set."""
        provider = self._provider
        return self._association.inside_pdu or (provider is not None and provider.inside_message)

    def _set_deadline(self, delay_s: float) -> None:
        self._deadline = deadline = self._shared.loop.now + delay_s
        timer = self._timer
        if timer is None or timer.when > deadline:
            if timer is not None:
                timer.cancel()
            self._timer = self._shared.loop.call_at(deadline, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        if self._closed or self._deadline == _NEVER:
            return
        if self._deadline > time.monotonic():
            self._timer = self._shared.loop.call_at(self._deadline, self._timer_fired)
            return
        self._timed_out()

    def _timed_out(self) -> None:
        if self._ending:
            self._close("failed")
        elif self._handshaking:
            _log.error("TLS handshake with %s not complete in time, closing", self.peer.name)
            self._close("failed")
        elif not self._established:
            _log.error("no association request from %s in time, closing", self.peer.name)
            self._close("failed")
        elif self._blocked and self.storage.waiting:
            self.storage.give_up()
        else:
            _log.error("peer %s timed out, aborting association", self.peer.name)
            self.abort(source=2, reason=0)

    # -- upper layer events -----------------------------------------------------------------------

    def _on_established(self, event: Established) -> None:
        self._established = True
        self._output += self._association.take_output()  # before the answers to what came in the same read
        request = event.request
        self.storage.calling_ae_title = request.calling_ae_title
        if _application_log.isEnabledFor(logging.INFO):
            self._describe(event)
        if self._shared.reports:
            self._shared.reporter.opened({
                "kind": "opened", "association": self.name,
                "calling_aet": request.calling_ae_title, "called_aet": request.called_ae_title,
                "peer": self.peer.address, "peer_host": self.peer.name, "port": self.peer.port,
                "max_pdu": request.max_pdu_length,
            })
        if 0 < request.max_pdu_length < SHORTEST_DATA:
            _log.error("%s takes PDUs of at most %d octets, no answer fits; aborting association",
                       self.peer.name, request.max_pdu_length)
            self.abort(source=0, reason=0)  # now, not after its first object was stored

    def _describe(self, event: Established) -> None:
        """Log what was agreed on, as far as it is wanted."""
        request = event.request
        _application_log.info("Association Received %s: %s -> %s", self.peer.name,
                              printable(request.calling_ae_title), printable(request.called_ae_title))
        if _application_log.isEnabledFor(logging.DEBUG):
            _application_log.debug("%s", printable_lines(describe.associate_rq(request, _NAMES)))
        level = logging.INFO if self._shared.config.faults.verbose_contexts else logging.DEBUG
        if _application_log.isEnabledFor(level):
            _application_log.log(level, "%s", printable_lines(describe.established(event, _NAMES)))
        _application_log.info("Association Acknowledged (Max Send PDV: %s)", describe.max_send_pdv(request))
        if not event.contexts:
            _application_log.info("    (but no valid presentation contexts)")

    def _on_rejected(self, event: Rejected) -> None:
        _application_log.info("Refusing Association from %s: %s", self.peer.name, describe.rejected(event))
        self._end(self._shared.config.network.acse_timeout_s)

    def _on_release(self, _event: ReleaseRequested) -> None:
        _application_log.info("Association Release")
        self.storage.drop()
        self._association.release()
        self._tell_closed("released")
        self._end(self._shared.config.network.acse_timeout_s)

    def _on_aborted(self, event: Aborted) -> None:
        _application_log.info("Association Aborted by %s (source %d, reason %d)", self.peer.name, event.source, event.reason)
        self._close("aborted")

    def _on_violation(self, error: PeerError) -> None:
        """Abort for what the DIMSE layer found, in its place in the order of items."""
        _log.error("%s: %s, aborting association", self.peer.name, printable(str(error)))
        self.abort(source=error.source, reason=error.reason)

    def _violation(self, error: PeerError) -> None:
        """End after what the upper layer found; its A-ABORT is queued already."""
        if self._closed:
            return
        _log.error("%s: %s, aborting association", self.peer.name, printable(str(error)))
        self._blocked = False
        self._items.clear()
        self.storage.drop()
        self._tell_closed("aborted")
        self._end(self._shared.config.network.acse_timeout_s)

    def _end_of_file(self) -> None:
        if self._ending:
            self._close("released")
        elif self._established:
            _application_log.info("Association Aborted: connection closed by %s", self.peer.name)
            self._close("failed")
        else:
            _log.info("connection closed by %s before an association was requested", self.peer.name)
            self._close("failed")

    def _lost(self, reason: str) -> None:
        if not self._ending:
            _log.error("connection to %s lost: %s", self.peer.name, reason)
        self._close("failed")

    # -- endings ----------------------------------------------------------------------------------

    def abort(self, *, source: int, reason: int) -> None:
        """Send an A-ABORT and end (PS3.8 §9.3.8)."""
        if self._ending or not self._established:  # nobody there who would understand it
            self._close("failed")
            return
        self._blocked = False
        self._items.clear()
        self.storage.drop()
        self._association.abort(source, reason)
        self._tell_closed("aborted")
        self._end(min(5.0, self._shared.config.network.acse_timeout_s))

    def _end(self, limit_s: float) -> None:
        """Nothing more is served; the peer closes the connection, or the ARTIM timer does."""
        self._ending = True
        self._items.clear()
        self._output += self._association.take_output()
        self._set_deadline(limit_s)
        try:
            self._flush()
        except TransportError as error:
            self._lost(str(error))
            return
        if not self._handshaking:
            self._update_interest()

    def _tell_closed(self, how: str) -> None:
        if self._established:
            self._established = False
            if self._shared.reports:
                self._shared.reporter.closed(self.name, how)

    def _close(self, how: str) -> None:
        """Give everything back."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.storage.drop()
        self._tell_closed(how)
        self._set_interest(0)
        self._transport.close()
        self._shared.finished(self)

    def close(self) -> None:
        """End at once, without a word to the peer."""
        self._close("failed")


_HANDLERS: dict[type, Callable[[Connection, Any], None]] = {
    Established: Connection._on_established,  # noqa: SLF001 - its own methods
    Rejected: Connection._on_rejected,  # noqa: SLF001
    ReleaseRequested: Connection._on_release,  # noqa: SLF001
    Aborted: Connection._on_aborted,  # noqa: SLF001
    PeerError: Connection._on_violation,  # noqa: SLF001
}
