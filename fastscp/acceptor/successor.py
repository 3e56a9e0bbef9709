"""Starts the installed program beside this one, and lets it take over (SIGUSR2).

Strategy: the new program makes its checks and its workers while this one serves. When these are up, the coordinator here
gives up the state; the new program starts its own on it, and once that has recovered, the new one accepts connections. The
workers here then go on with their associations and tell the new coordinator. ``fastscp.process.succession`` has the packets.

Invariants: at any time one of the two accepts. As long as this process lives, the end of the other one at any
moment means that this one goes on, or goes on again: the listening sockets stay open here.
What it does not do: say what going on means; see ``Service``.
"""

from __future__ import annotations

import enum
import logging
import signal
import socket
from collections.abc import Callable
from typing import Protocol

from fastscp.acceptor.backoff import describe_exit
from fastscp.acceptor.policy import Bequest
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process import fdpass, succession
from fastscp.process.child import Processes
from fastscp.process.loop import IN, Loop, Timer

_log = logging.getLogger(APPLICATION)

_FIRST_PROCESS = 1


class Stage(enum.Enum):
    """How far the succession is."""

    NONE = enum.auto()
    PREPARING = enum.auto()  #: it makes its checks and its workers
    RELEASING = enum.auto()  #: the coordinator here gives up the state
    TAKING = enum.auto()  #: the coordinator there recovers
    SERVING = enum.auto()  #: it accepts connections
    ENDING = enum.auto()  #: it was told, or is to be made, to end


class Service(Protocol):
    """What the acceptor process does about it."""

    def inheritance(self) -> Bequest:
        """Return what it inherits."""

    def release(self, done: Callable[[], None], unable: Callable[[], None]) -> None:
        """Have the coordinator give up the state, and call ``done``, or ``unable`` when it keeps it."""

    def use_coordinator(self, control: socket.socket) -> None:
        """Use the coordinator of the successor, once it has recovered."""

    def coordinator_is_there(self) -> None:
        """Tell the successor's coordinator everything: it has recovered."""

    def give_way(self, pid: int) -> None:
        """Accept nothing more: the successor does."""

    def go_on(self) -> None:
        """Serve, with a coordinator of our own: there is no successor any more."""

    def end_associations(self, *, at_once: bool) -> None:
        """Drain, or stop: the successor was told so."""


class Successor:
    """The process that is to follow this one, if there is one.

    ``start`` is given the channel's end of the program and returns its pid. A successor has ``prepare_s`` seconds to be
    prepared and ``take_s`` to take over; None: as long as it wants.
    """

    def __init__(self, loop: Loop, processes: Processes, service: Service, *, start: Callable[[socket.socket], int],
                 prepare_s: float | None, take_s: float | None, own_pid: int) -> None:
        self._loop = loop
        self._processes = processes
        self._service = service
        self._start = start
        self._prepare_s = prepare_s
        self._take_s = take_s
        self._own_pid = own_pid
        self.pid = 0
        self._channel: socket.socket | None = None
        self._timer: Timer | None = None
        self.stage = Stage.NONE

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return bool(self.pid)

    def sockets(self) -> list[socket.socket]:
        """Return everything a newly forked process must close."""
        return [] if self._channel is None else [self._channel]

    def begin(self) -> bool:
        """Start the installed program; False, with a line in the log, when that cannot be."""
        if self._own_pid == _FIRST_PROCESS:
            _log.error("no other program can take over from process 1, with which everything else would end")
            return False
        try:
            self._channel, self.pid = self._start_beside()
        except OSError as error:
            _log.error("cannot start the installed program: %s; going on", error)
            return False
        self._loop.register(self._channel.fileno(), IN, lambda _mask: self._read())
        self._enter(Stage.PREPARING, self._prepare_s)
        _log.info("the installed program is to take over: process %d", self.pid)
        return True

    def _start_beside(self) -> tuple[socket.socket, int]:
        ours, theirs = fdpass.channel_pair()
        with theirs:
            try:
                self._bequeath(ours)
                return ours, self._start(theirs)
            except OSError:
                ours.close()
                raise

    def _bequeath(self, channel: socket.socket) -> None:
        bequest = self._service.inheritance()
        items: list[tuple[succession.Packet, int]] = [({"kind": "listener"}, sock.fileno()) for sock in bequest.listeners]
        if bequest.key is not None:
            items.append(({"kind": "key"}, bequest.key))
        if bequest.hosts is not None:
            items.append(({"kind": "place", "of": "hosts"}, bequest.hosts))
        if bequest.titles is not None:
            items.append(({"kind": "place", "of": "titles"}, bequest.titles))
        if bequest.sections is not None:
            items.append(({"kind": "place", "of": "sections"}, bequest.sections))
        channel.send(succession.encode({"kind": "inherit", "protocol": succession.PROTOCOL, "pid": self._own_pid,
                                        "items": len(items), "password": bequest.password}))
        for packet, descriptor in items:
            fdpass.send_with_descriptor(channel, succession.encode(packet), descriptor)

    def _enter(self, stage: Stage, limit_s: float | None = None) -> None:
        self.stage = stage
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if limit_s is None else self._loop.call_later(limit_s, self._too_late)

    def _too_late(self) -> None:
        _log.error("the new program is not ready in time, killing process %d", self.pid)
        self._processes.kill(self.pid, signal.SIGKILL)

    # -- what it says -----------------------------------------------------------------------------

    def _read(self) -> None:
        if self._channel is None:
            return
        try:
            packet, descriptor = succession.receive(self._channel)
        except BlockingIOError:
            return
        except ProcessError as error:
            _log.error("the new program says what nobody understands: %s", error)
            self._processes.kill(self.pid, signal.SIGKILL)
            packet, descriptor = None, None
        if packet is None:
            self._drop_channel()
        else:
            self._follow(packet, descriptor)

    def _follow(self, packet: succession.Packet, descriptor: int | None) -> None:
        if descriptor is not None:
            self._control_came(socket.socket(fileno=descriptor))
        elif packet["kind"] == "prepared" and self.stage is Stage.PREPARING:
            self._enter(Stage.RELEASING, self._take_s)
            self._service.release(self._state_is_free, self._state_is_kept)
        elif packet["kind"] == "ready" and self.stage in {Stage.TAKING, Stage.SERVING}:
            self._service.coordinator_is_there()
            if self.stage is Stage.TAKING:
                self._enter(Stage.SERVING)
                self._service.give_way(self.pid)
                self._tell({"kind": "serve"})
        elif packet["kind"] in {"drain", "stop"} and self.stage is Stage.SERVING:
            self._service.end_associations(at_once=packet["kind"] == "stop")

    def _state_is_free(self) -> None:
        if self.stage is not Stage.RELEASING or self._channel is None:
            return
        self._enter(Stage.TAKING, self._take_s)
        ours, theirs = fdpass.channel_pair()
        with theirs:
            try:
                fdpass.send_with_descriptor(self._channel, succession.encode({"kind": "take"}), theirs.fileno())
            except OSError as error:  # it is dead, and found to be
                _log.debug("the new program was not given the state: %s", error)
        self._control_came(ours)

    def _state_is_kept(self) -> None:
        if self.stage is Stage.RELEASING:
            _log.error("the coordinator cannot give up its state now; no other program takes over")
            self.cancel()

    def _control_came(self, control: socket.socket) -> None:
        if self.stage in {Stage.TAKING, Stage.SERVING}:
            control.setblocking(False)
            self._service.use_coordinator(control)
        else:
            control.close()

    # -- what it is told --------------------------------------------------------------------------

    def _tell(self, packet: succession.Step | succession.Open) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(succession.encode(packet))
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return  # it is dead or hangs, and is found to be

    def tell_open(self, count: int) -> None:
        """Tell it how many connections are still open here."""
        self._tell({"kind": "open", "count": count})

    def reload(self) -> None:
        """Have it read files again that it may have read already."""
        self._tell({"kind": "reload"})

    def cancel(self) -> None:
        """Have it end, unless it serves."""
        if self.stage in {Stage.PREPARING, Stage.RELEASING, Stage.TAKING}:
            self._tell({"kind": "end"})
            self._enter(Stage.ENDING, self._take_s)

    # -- its end ----------------------------------------------------------------------------------

    def reap(self) -> None:
        """Take note if it has ended."""
        if not self.pid:
            return
        exit_code = self._processes.poll(self.pid)
        if exit_code is None:
            return
        stage, self.pid = self.stage, 0
        self._enter(Stage.NONE)
        self._drop_channel()
        if stage is Stage.SERVING:
            _log.error("the program that took over has ended (%s)", describe_exit(exit_code))
        elif stage is not Stage.ENDING:
            _log.error("the new program did not take over (%s), going on", describe_exit(exit_code))
        self._service.go_on()

    def _drop_channel(self) -> None:
        if self._channel is not None:
            self._loop.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None

    def close(self) -> None:
        """Close the channel: end of file tells it that this process is gone. Whoever was told to end has had its time."""
        if self.stage is Stage.ENDING:
            self._processes.kill(self.pid, signal.SIGKILL)
        self._drop_channel()
