"""The Verification and Storage services of one association: requests in, files and responses out.

Strategy: one C-STORE is under way at a time. When its data set is complete: place (where studies are sorted), publish, tell the
coordinator, answer, in this order; each step may have to wait, and blocks the connection while it does.

Invariants: a C-STORE-RSP with success leaves only after the object has its final name and its event is in the coordinator's channel
(durable there, when study state is kept). Once an object has its final name it is answered with success or not at all (docs/adr/0017).
A drop before that leaves no file. Whatever takes longer than a turn goes on in the next (``fastscp.worker.turn``).
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from fastscp.dimse import status
from fastscp.dimse.command import C_STORE_RQ, Command
from fastscp.dimse.provider import DataEnd, DataFragments, EchoRequest, StoreRequest, UnrecognizedRequest
from fastscp.errors import InstanceError, StorageError
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.log.text import printable
from fastscp.process import packets
from fastscp.worker import telling
from fastscp.worker.context import Reporter, ServiceContext
from fastscp.worker.dialogue import Dialogue
from fastscp.worker.lodging import Lodging
from fastscp.worker.narration import log_begun, log_published, log_request, log_response
from fastscp.worker.outcome import Caller, Outcomes, error_comment
from fastscp.worker.publication import Published
from fastscp.worker.quarantine import new_reception
from fastscp.worker.reception import Kept, Reception
from fastscp.worker.turn import Steps
from fastscp.worker.turnstile import Turnstile

_log = logging.getLogger(NETWORK)
_application_log = logging.getLogger(APPLICATION)


class StorageService:
    """Serves the DIMSE items of one connection."""

    def __init__(self, connection: Dialogue, context: ServiceContext, sender: str = "") -> None:
        """``sender`` is the section of the configuration file that the association belongs to."""
        self.caller = Caller(connection.peer, sender=sender)
        self.outcomes = Outcomes(connection.name, self.caller, context.reporter, context.listener, context.measures)
        self.idle_since = context.loop.now
        self._connection = connection
        self._context = context
        self._steps = Steps(connection.flow)
        self._reception: Reception | None = None
        self._published: Published | None = None  #: what the reception has become
        self.lodging = Lodging(context.reporter, connection.name)
        self._awaiting_place = False
        self.waiting = False  #: for the coordinator, which ought to answer at once
        self.turnstile = Turnstile(connection, context.intake)
        self._started = 0.0

    @property
    def under_way(self) -> Reception | None:
        """What the object under way is received with."""
        return self._reception

    @property
    def busy(self) -> bool:
        """Whether an object is under way, or its answer."""
        return self._reception is not None or self.waiting

    def handle(self, item: Any) -> None:
        """Serve one item of the message provider."""
        _HANDLERS[type(item)](self, item)

    def drop(self, why: str, unserved: Sequence[StoreRequest | UnrecognizedRequest] = ()) -> None:
        """Forget the object under way and what was written of it, and tell of it and of requests that wait behind it.

        ``why`` says how the association ended. What has its name already stays.
        """
        reception, self._reception = self._reception, None
        self._steps.stop()
        self.turnstile.leave()
        if reception is not None:
            self.lodging.abandon()
            reception.discard()
            if self._published is None:
                self.outcomes.cut_off(reception, why, self._duration_s())
        self.outcomes.not_reached(unserved, why)

    # -- requests ---------------------------------------------------------------------------------

    def _on_echo(self, item: EchoRequest) -> None:
        _application_log.info("Received Echo Request (MsgID %d)", item.command.message_id)
        log_request(item.command, item.context)
        self._respond(item.context.id, item.command, status.SUCCESS)

    def _on_unrecognized(self, item: UnrecognizedRequest) -> None:
        if item.command.field == C_STORE_RQ:
            self.outcomes.not_served(item)
        else:
            _log.error("%s: request %04X answered with status %04X", self.caller, item.command.field, item.status)
        log_request(item.command, item.context)
        self._respond(item.context.id, item.command, item.status, error_comment(item), item.offending)

    def _on_store(self, item: StoreRequest) -> None:
        context, command = self._context, item.command
        if context.intake.held:
            self.turnstile.hold(item)
            return
        log_request(item.command, item.context)
        self._started = time.monotonic()
        self._published = None
        self.lodging.begin()
        self._reception = reception = new_reception(context.reception, item.context, command, self.caller.calling_aet)
        log_begun(command, reception.prefix, self._connection.peer.name, cleaned=reception.cleaned_uid,
                  padded=command.uid_padding and not context.reception.store.uid_padding)
        if context.faults.abort_during:
            self._abort_on_demand("--abort-during")
        elif context.faults.sleep_during_s:
            self._sleep(context.faults.sleep_during_s)

    def _on_data(self, item: DataFragments) -> None:
        reception = self._reception
        if reception is None:
            return
        rest = reception.feed(item.views, self._connection.flow.turn.over)
        if rest:
            self._steps.run(self._feed_later(reception, rest), partial(self._after_data, reception, late=True))
        else:
            self._after_data(reception)

    def _feed_later(self, reception: Reception, rest: Sequence[memoryview | bytes]) -> Generator[None, None, None]:
        """Feed what was left of a read in further turns."""
        rest = [b"".join(rest)]  # the receive buffer is used by others meanwhile
        while rest:
            yield
            rest = reception.feed(rest, self._connection.flow.turn.over)

    def _after_data(self, reception: Reception, _result: None = None, *, late: bool = False) -> None:
        if self._context.places and reception.failure is None:
            self._ask_for_place(reception)
        if self._context.faults.sleep_during_s:
            self._sleep(self._context.faults.sleep_during_s)
        elif late:
            self._connection.resume()

    def _on_data_end(self, _item: DataEnd) -> None:
        reception = self._reception
        if reception is not None:
            self._steps.run(reception.finishing(), partial(self._complete, reception))

    def _complete(self, reception: Reception, _result: None) -> None:
        """Publish the object, as soon as it has a place."""
        if self._context.places and reception.failure is None:
            self._ask_for_place(reception)
            if self.lodging.awaited:
                self._awaiting_place = self.waiting = True
                self._connection.block()
                return
        self._publish(reception)

    # -- place, publish, report, answer -----------------------------------------------------------

    def _ask_for_place(self, reception: Reception) -> None:
        """Ask for the directory as soon as the study is known; the stream goes on meanwhile."""
        if self.lodging.request is None:
            self.lodging.ask(reception, partial(self._enter, self._take_place))

    def _take_place(self, packet: packets.Placed) -> None:
        reception = self._reception
        if reception is None:
            return
        self.lodging.placed = packet
        if packet["status"]:
            failed = StorageError if packet["status"] >> 8 == status.OUT_OF_RESOURCES >> 8 else InstanceError
            reception.fail(failed(packet["message"], status=packet["status"]))
        if self._awaiting_place:
            self._awaiting_place = self.waiting = False
            self._publish(reception)

    def give_up(self) -> None:
        """Wait no longer for the coordinator, which stays silent: refuse the object, or abort where it has its name.

        The sender tries again then; an object that has its name already is replaced by itself.
        """
        reception, published = self._reception, self._published
        if not self.waiting:
            return
        if reception is None or published is not None:
            file = "objects" if published is None or reception is None else f"{published.directory}/{published.file}"
            _log.error("%s: the coordinator does not confirm %s, aborting association", self.caller, file)
            self._connection.abort("stored, but not confirmed by the coordinator", source=2, reason=0)
            return
        self._awaiting_place = False
        reception.fail(StorageError("the coordinator does not answer"))
        self._publish(reception)

    def _publish(self, reception: Reception) -> None:
        """Give the object its name, or find out why it cannot have one."""
        if self._context.group is None or reception.failure is not None or reception.descriptor() is None:
            self._publish_now(reception)
            return
        self._connection.block()
        self._context.group.add_file(reception, partial(self._enter, self._file_flushed, reception))

    def _file_flushed(self, reception: Reception, error: StorageError | None) -> None:
        if self._reception is not reception:
            return
        if error is not None:
            reception.fail(error)
        self._publish_now(reception)

    def _publish_now(self, reception: Reception) -> None:
        self._steps.run(self._publishing(reception), partial(self._concluded, reception))

    def _publishing(self, reception: Reception) -> Generator[None, None, Published | Kept | None]:
        """Publish; where it counts whether the object changes anything, find that out first."""
        directory, reporter = self.lodging.directory, self._context.reporter
        if self._context.durable and reporter is not None and reporter.trouble:
            reception.fail(StorageError(reporter.trouble))
        if self._context.durable and self.lodging.late:
            yield from reception.comparing(directory)
        published = yield from reception.publishing(directory, datetime.datetime.now())  # noqa: DTZ005 - names carry local time
        if reception.failure is None:
            return published
        return (yield from reception.keeping(self.caller.fields()))

    def _concluded(self, reception: Reception, became: Published | Kept | None) -> None:
        """Tell what became of the object."""
        if reception.unsure is not None:
            self._connection.abort(f"failed when it had its name: {reception.unsure}", source=2, reason=0)
            return
        if reception.failure is not None:
            if isinstance(became, Kept):
                self.outcomes.kept(reception, became, self._duration_s())
            else:
                self.outcomes.refused(reception, self._duration_s())
            self.lodging.abandon()
            self._answer(reception)
            return
        published = became if isinstance(became, Published) else None
        self._published = published or Published("", "", replaced=False)  # nowhere with --ignore
        self.outcomes.stored(reception.size if self._published.written else 0, reception=reception)
        if published is not None:
            log_published(published)
        if self._context.reporter is not None:
            self._report(reception, self._published, self._context.reporter)
        else:
            self._confirm(reception, self._published)

    def _report(self, reception: Reception, published: Published, reporter: Reporter) -> None:
        """Tell the coordinator; the answer follows when the event is in its channel, or durable."""
        context = self._context
        self._connection.block()
        self.waiting = context.durable
        keeps = self.lodging.keep(reception)

        def answer() -> None:
            if self._reception is reception:
                self._confirm(reception, published)

        reporter.stored(
            telling.stored(reception, published, self._connection.name, telling.Numbers(reporter.next_event(), self.lodging.request, keeps),
                           self._duration_s()),
            on_sent=None if context.durable else partial(self._enter, answer),
            on_acknowledged=partial(self._enter, answer) if context.durable else None,
            on_failed=partial(self._enter, self.give_up) if context.durable else None,
            on_ran=partial(self._enter, self._hooks_ran, reception) if context.hooks_first else None,
        )

    def _enter(self, step: Callable[..., None], *arguments: Any) -> None:
        """Go on after somebody else's word."""
        self._connection.flow.enter(step, *arguments)

    def _confirm(self, reception: Reception, published: Published) -> None:
        """Answer with success, once the name is on the disk where that is wanted."""
        self.waiting, group = False, self._context.group
        if group is None:
            self._answer(reception)
        else:
            self._connection.block()
            group.add_names(published.directory, partial(self._enter, self._name_flushed, reception))

    def _name_flushed(self, reception: Reception, error: StorageError | None) -> None:
        if self._reception is not reception:
            return
        if error is None:
            self._answer(reception)
        else:
            _log.error("%s: %s, aborting association", self.caller, printable(str(error)))
            self._connection.abort(f"failed when it had its name: {error}", source=2, reason=0)

    def _answer(self, reception: Reception) -> None:
        """Send the C-STORE-RSP, then go on, unless hooks or a delay come first."""
        context, connection = self._context, self._connection
        if context.measures is not None:
            context.measures.answered(self._duration_s())
        self._reception, self.waiting = None, False
        if context.faults.abort_after:
            self._abort_on_demand("--abort-after")
            return
        comment = "" if reception.failure is None else reception.failure.comment
        self._respond(reception.context.id, reception.command, reception.status, comment)
        if context.reporter is not None and context.hooks_first and reception.failure is None:
            connection.block()
            connection.flush()
        else:
            self._after_hooks()

    def _hooks_ran(self, reception: Reception) -> None:
        """Go on; while the name of the object is on its way to the disk, the answer comes first."""
        if self._reception is reception:
            self._context.loop.soon(partial(self._enter, self._hooks_ran, reception))
        else:
            self._after_hooks()

    def _after_hooks(self) -> None:
        if self._context.faults.sleep_after_s:
            self._sleep(self._context.faults.sleep_after_s)
        else:
            self._connection.resume()

    def _respond(self, context_id: int, command: Command, code: int, comment: str = "",
                 offending: tuple[int, ...] = ()) -> None:
        log_response(command, code)
        self._connection.respond(context_id, command, code, comment, offending)
        self.idle_since = self._context.loop.now

    def _sleep(self, delay_s: float) -> None:
        self._connection.block()
        self._connection.flush()
        self._context.loop.call_later(delay_s, self._connection.resume)

    def _abort_on_demand(self, option: str) -> None:
        _application_log.warning("aborting association as demanded by %s", option)
        self._connection.abort(f"aborted as demanded by {option}", source=0, reason=0)

    def _duration_s(self) -> float:
        """Return how long the object under way has taken so far."""
        return time.monotonic() - self._started


_HANDLERS: dict[type, Callable[[StorageService, Any], None]] = {
    EchoRequest: StorageService._on_echo,  # noqa: SLF001 - its own methods
    StoreRequest: StorageService._on_store,  # noqa: SLF001
    UnrecognizedRequest: StorageService._on_unrecognized,  # noqa: SLF001
    DataFragments: StorageService._on_data,  # noqa: SLF001
    DataEnd: StorageService._on_data_end,  # noqa: SLF001
}
