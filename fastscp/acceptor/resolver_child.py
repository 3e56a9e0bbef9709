"""The helper process behind ``fastscp.acceptor.resolver``: looks host names up in threads, with a time limit.

One packet each way:

    question   address
    answer     address NUL confirmed ("1" or "0") NUL name, empty when there is none

Strategy: the main thread owns the channel and the clock. It hands questions to a few threads, answers with
what they find, and answers without a name when the time limit passes first; a name that is found later is
sent all the same, for the next time. What is queued behind threads that hang is answered in time, too.

Invariants: it holds no descriptor of its parent but the channel, whose end is its end.
"""

from __future__ import annotations

import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

from fastscp.process.renounce import renounce_new_privileges

PACKET_OCTETS = 4096
_THREADS = 8
_FIRST_OTHER_DESCRIPTOR = 4


def decode_answer(packet: bytes) -> tuple[str, str, bool]:
    """Return address, name ("" for none) and whether the name leads back to the address."""
    address, confirmed, name = packet.decode("utf-8", "replace").split("\0", 2)
    return address, name, confirmed == "1"


def encode_answer(address: str, name: str, *, confirmed: bool) -> bytes:
    """Encode one answer."""
    return f"{address}\0{int(confirmed)}\0{name}".encode("utf-8", "replace")[:PACKET_OCTETS]


def look_up(address: str) -> tuple[str, bool]:
    """Return the name of a numeric address and whether it leads back there; blocks. ("", True): no name."""
    try:
        name = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)[0]
    except (OSError, UnicodeError):
        return "", True
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return name, False
    return name, address in found


def run_helper(channel: socket.socket, time_limit_s: float) -> int:
    """Be the helper, in a process of its own; return its exit status."""
    renounce_new_privileges()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):  # meant for our parent
        signal.signal(number, signal.SIG_IGN)
    os.dup2(channel.fileno(), _FIRST_OTHER_DESCRIPTOR - 1)
    os.closerange(_FIRST_OTHER_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))
    serve(socket.socket(fileno=_FIRST_OTHER_DESCRIPTOR - 1), time_limit_s)
    return 0


def serve(channel: socket.socket, time_limit_s: float,
          find: Callable[[str], tuple[str, bool]] = look_up) -> None:
    """Answer questions until the channel ends."""
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    found: queue.SimpleQueue[tuple[str, str, bool]] = queue.SimpleQueue()
    wake_reader, wake_writer = os.pipe2(os.O_CLOEXEC)

    def work() -> None:
        while True:
            address = questions.get()
            found.put((address, *find(address)))
            os.write(wake_writer, b"\0")

    for _ in range(_THREADS):
        threading.Thread(target=work, daemon=True).start()
    deadlines: dict[str, float] = {}  # the earliest first: all have the same limit
    poller = select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(wake_reader, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poller.poll(_until_first(deadlines))}
        if wake_reader in ready:
            for _ in os.read(wake_reader, PACKET_OCTETS):
                address, name, confirmed = found.get()
                deadlines.pop(address, None)
                _send(channel, encode_answer(address, name, confirmed=confirmed))
        if channel.fileno() in ready:
            packet = _receive(channel)
            if not packet:
                return
            deadlines.setdefault(packet.decode(), time.monotonic() + time_limit_s)
            questions.put(packet.decode())
        for address in [late for late, deadline in deadlines.items() if deadline <= time.monotonic()]:
            del deadlines[address]
            _send(channel, encode_answer(address, "", confirmed=True))


def _until_first(deadlines: dict[str, float]) -> float | None:
    """Return the milliseconds to the first deadline, None when there is none."""
    for deadline in deadlines.values():
        return max(0.0, (deadline - time.monotonic()) * 1000 + 1)
    return None


def _receive(channel: socket.socket) -> bytes:
    try:
        return channel.recv(PACKET_OCTETS)
    except ConnectionResetError:
        return b""


def _send(channel: socket.socket, packet: bytes) -> None:
    """Send an answer. An error is ignored: when the parent is gone, the next read ends the process."""
    try:
        channel.send(packet)
    except (BrokenPipeError, ConnectionResetError):
        return
