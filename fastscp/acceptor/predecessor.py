"""What a process inherits from the one it follows, and how the two go on together.

Strategy: everything inherited is in the channel before this process runs and is read at once; from then on the channel is
read in the loop. Until the predecessor says ``serve``, nothing may be accepted here; when it is gone before that, whatever
the reason, there is nobody else and this process serves.

Invariant: a predecessor that is told to drain is waited for: its associations end in the coordinator of this process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fastscp.acceptor.policy import Bequest
from fastscp.errors import ProcessError
from fastscp.process import fdpass, succession
from fastscp.process.loop import IN, Loop


class Follower(Protocol):
    """What the process does that follows."""

    def take(self, for_guest: socket.socket) -> None:
        """Start the coordinator: the state is free. ``for_guest`` is its end of a channel to the predecessor."""

    def serve(self) -> None:
        """Accept connections from here on."""

    def reload(self) -> None:
        """Read files again."""

    def step_back(self) -> None:
        """End, as if nothing had been; the predecessor goes on."""

    def predecessor_changed(self) -> None:
        """Look again at what the predecessor still has open, and whether it is there."""


@dataclass(frozen=True)
class Inheritance:
    """What there is to inherit, and of which process."""

    pid: int
    bequest: Bequest


class Predecessor:
    """The acceptor process that this one follows. Owns ``channel``."""

    def __init__(self, channel: socket.socket) -> None:
        """Read what there is to inherit. Raises ProcessError when this program cannot follow that one."""
        self._channel = channel
        self._loop: Loop | None = None
        self._serving = False
        self.present = True
        self.open_count = 0  #: connections that are still open there
        self.inheritance = self._inherit()

    def _inherit(self) -> Inheritance:
        packet, _ = self._receive()
        if packet["kind"] != "inherit" or packet["protocol"] != succession.PROTOCOL:
            raise ProcessError("the program that runs is of another kind, this one cannot take over from it: restart the service")
        listeners: list[socket.socket] = []
        descriptors: dict[str, int] = {}
        for _ in range(packet["items"]):
            item, descriptor = self._receive()
            if descriptor is None:
                raise ProcessError("a descriptor is missing that was to be inherited")
            if item["kind"] == "listener":
                listeners.append(socket.socket(fileno=descriptor))
                listeners[-1].setblocking(False)
            else:
                descriptors[item["of"] if item["kind"] == "place" else item["kind"]] = descriptor
        if not listeners:
            raise ProcessError("there is no socket to listen on among what was to be inherited")
        return Inheritance(packet["pid"], Bequest(listeners, packet["password"], descriptors.get("key"),
                                                  descriptors.get("hosts"), descriptors.get("titles"),
                                                  descriptors.get("sections")))

    def _receive(self) -> tuple[succession.Packet, int | None]:
        try:
            packet, descriptor = succession.receive(self._channel)
        except BlockingIOError:
            packet, descriptor = None, None
        if packet is None:
            raise ProcessError("the program to take over from has left nothing")
        return packet, descriptor

    def sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        if self.present:
            yield self._channel

    def listen(self, loop: Loop, follower: Follower) -> None:
        """Do what it says from now on."""
        self._loop = loop
        loop.register(self._channel.fileno(), IN, lambda _mask: self._read(follower))

    def _read(self, follower: Follower) -> None:
        try:
            packet, descriptor = succession.receive(self._channel)
        except BlockingIOError:
            return
        if packet is not None and packet["kind"] == "take" and descriptor is not None:
            follower.take(socket.socket(fileno=descriptor))
            return
        if descriptor is not None:
            os.close(descriptor)
        if packet is None:
            self.forget()
            if not self._serving:
                self._serving = True
                follower.serve()
            follower.predecessor_changed()
        elif packet["kind"] == "serve":
            self._serving = True
            follower.serve()
        elif packet["kind"] == "reload":
            follower.reload()
        elif packet["kind"] == "end":
            self.forget()
            follower.step_back()
        elif packet["kind"] == "open":
            self.open_count = packet["count"]
            follower.predecessor_changed()

    def tell(self, packet: succession.Progress | succession.Control, descriptor: int | None = None) -> None:
        """Tell it something; whoever is gone need not know."""
        if not self.present:
            return
        try:
            if descriptor is None:
                self._channel.send(succession.encode(packet))
            else:
                fdpass.send_with_descriptor(self._channel, succession.encode(packet), descriptor)
        except (BrokenPipeError, ConnectionResetError):
            return  # end of file is read next

    def forget(self) -> None:
        """Wait for it no more."""
        if self.present:
            self.present = False
            self.open_count = 0
            if self._loop is not None:
                self._loop.unregister(self._channel.fileno())
            self._channel.close()
