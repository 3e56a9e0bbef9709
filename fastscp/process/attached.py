"""A program beside the coordinator, as it sees itself: a channel to who started it, and packets of JSON in both directions.

The other end is ``fastscp.coordinator.companion``. The first packet says what the program has to do; it ends with its channel.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastscp import jsontext
from fastscp.log.names import APPLICATION
from fastscp.process.titles import set_title

#: are meant for the service: who has something left to do at the end does not end by them
OF_SERVICE: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PACKET_OCTETS: Final = 1 << 20


class Attachment:
    """The channel. ``over`` is set once the other end is gone."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self.over = False

    def fileno(self) -> int:
        """Return the descriptor, which is readable when there are packets."""
        return self._channel.fileno()

    def begin(self) -> dict[str, Any] | None:
        """Wait for the first packet; None where the other end is gone before it has said anything."""
        self._channel.setblocking(True)
        first = next(self.packets(), None)
        self._channel.setblocking(False)
        return first

    def packets(self) -> Iterator[dict[str, Any]]:
        """Yield the packets that are there."""
        while not self.over:
            try:
                octets = self._channel.recv(_PACKET_OCTETS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                octets = b""
            if not octets:
                self.over = True
                return
            yield jsontext.loads(octets)

    def tell(self, packet: Mapping[str, Any]) -> bool:
        """Send a packet; False when the other end does not read now. One that is gone need not know."""
        try:
            self._channel.send(jsontext.dumps(packet))
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True
        return True


def attach(descriptor: int, role: str, *, ignored: Iterable[signal.Signals] = ()) -> tuple[Attachment, dict[str, Any] | None]:
    """Begin as a program beside the coordinator; return the channel and what is to be done, None where nobody is there any more."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    set_title(role)
    attachment = Attachment(socket.socket(fileno=descriptor))
    begin = attachment.begin()
    if begin is not None:
        # what libraries say at lower levels is nobody's
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname).1s: %(message)s")
        logging.getLogger(APPLICATION).setLevel(begin["level"])
    return attachment, begin
