"""Control channels of acceptor processes beside the own one: of those that this service takes over from.

Strategy: a guest tells first which hooks it lends, then introduces its workers and tells host names and the ends of hooks,
like the own acceptor process. It has this coordinator stop when it takes its state back, because its successor is gone.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import cast

from fastscp.coordinator.channels import Transport
from fastscp.coordinator.lending import Borrowed
from fastscp.process import fdpass, packets
from fastscp.process.loop import IN, Loop

#: a guest that does not say which hooks it lends is not waited for any longer
DECIDES_WITHIN_S = 60.0

Hear = Callable[[object, packets.ControlPacket, "int | None"], None]


class Guests:
    """Those that are there. ``hear`` takes what they tell, with who tells it; ``stop`` ends this coordinator."""

    def __init__(self, loop: Loop, adopt: Callable[[int], Transport], borrowed: Borrowed, *, hear: Hear,
                 stop: Callable[[], None], left: Callable[[], None]) -> None:
        self._loop = loop
        self._adopt = adopt
        self._borrowed = borrowed
        self._hear = hear
        self._stop = stop
        self._left = left
        self._channels: set[socket.socket] = set()

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return bool(self._channels)

    def welcome(self, descriptor: int) -> None:
        """Listen to another one, by its control channel."""
        channel = cast("socket.socket", self._adopt(descriptor))
        self._channels.add(channel)
        self._borrowed.expect(channel)
        self._loop.register(channel.fileno(), IN, lambda _mask: self._read(channel))
        self._loop.call_later(DECIDES_WITHIN_S, lambda: self._borrowed.lend(channel, ()))

    def _read(self, channel: socket.socket) -> None:
        try:
            octets, descriptor = fdpass.receive(channel)
        except BlockingIOError:
            return
        if not octets:
            self._forget(channel)
            self._borrowed.lost(channel)
            self._left()
            return
        packet = packets.decode_control(octets)
        if packet["kind"] == "stop":
            self._stop()
        else:
            self._hear(channel, packet, descriptor)

    def _forget(self, channel: socket.socket) -> None:
        self._channels.discard(channel)
        self._loop.unregister(channel.fileno())
        channel.close()

    def leave(self) -> None:
        """Listen to nobody any more."""
        for channel in list(self._channels):
            self._forget(channel)
