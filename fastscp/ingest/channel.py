"""Messages between the main process of an ingest and its workers: JSON objects of any length over a stream socket.

Each is preceded by its length (4 octets, little endian). The main process never waits for a worker to take one; a
worker has nothing else to do.

To a worker:

| kind | fields | meaning |
| --- | --- | --- |
| `prepare` | chunk, sources, done | read these, in order; of a stream the members numbered in done are left out |
| `publish` | chunk, part, items | publish, in order: index, directory (or null), late, status, message, file and inode of what is there already (or null) |
| `drop` | chunk, part | the objects of the part will not be published |

From a worker:

| kind | fields | meaning |
| --- | --- | --- |
| `prepared` | chunk, part, last, facts | what was found, one for each source, in order; last: of this chunk nothing follows |
| `published` | chunk, part, outcomes | what became of the items, in order |
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Any, Final

from fastscp import jsontext

_LENGTH_OCTETS: Final = 4
_READ_OCTETS: Final = 1 << 18

Message = dict[str, Any]


class Closed(Exception):  # noqa: N818 - not an error: the other end is gone
    """There is nobody at the other end."""


class Channel:
    """One end of the stream between the main process and a worker."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._arrived = bytearray()
        self._queue: deque[memoryview] = deque()

    def fileno(self) -> int:
        """Return the descriptor, for a loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def receive(self, *, wait: bool) -> list[Message]:
        """Return the messages that are there; with ``wait`` at least one. Raises Closed."""
        while True:
            try:
                octets = self._socket.recv(_READ_OCTETS, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return []
            except ConnectionResetError:
                octets = b""
            if not octets:
                raise Closed
            self._arrived += octets
            messages = self._complete()
            if messages or not wait:
                return messages

    def _complete(self) -> list[Message]:
        messages: list[Message] = []
        at, arrived = 0, self._arrived
        while at + _LENGTH_OCTETS <= len(arrived):
            start = at + _LENGTH_OCTETS
            end = start + int.from_bytes(arrived[at:start], "little")
            if end > len(arrived):
                break
            messages.append(jsontext.loads(arrived[start:end]))
            at = end
        del arrived[:at]
        return messages

    def send(self, message: Message) -> None:
        """Send a message, however long it takes. Raises Closed."""
        try:
            self._socket.sendall(_packed(message))
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def put(self, message: Message) -> bool:
        """Send a message without waiting; True when something is left for ``flush``. Raises Closed."""
        self._queue.append(memoryview(_packed(message)))
        return self.flush()

    def flush(self) -> bool:
        """Send what is queued without waiting; True when something is left. Raises Closed."""
        queue = self._queue
        while queue:
            try:
                sent = self._socket.send(queue[0], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except (BrokenPipeError, ConnectionResetError):
                raise Closed from None
            if sent == len(queue[0]):
                queue.popleft()
            else:
                queue[0] = queue[0][sent:]
        return False


def channel_pair() -> tuple[Channel, Channel]:
    """Return the two ends of a channel."""
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Channel(left), Channel(right)


def _packed(message: Message) -> bytes:
    octets = jsontext.dumps(message)
    return len(octets).to_bytes(_LENGTH_OCTETS, "little") + octets
