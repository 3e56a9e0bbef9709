"""How one program follows another: what the two acceptor processes say to each other, and how the second is started.

The *predecessor* starts the installed program with its own arguments. The two have a packet channel, whose descriptor the
*successor* finds in ``FASTSCP_SUCCEEDS``. What it inherits is in the channel before it runs::

    predecessor                         successor
    inherit, listener ..., key, place ... ─►       starts its workers
                                     ◄─ prepared
    (its coordinator gives up the state)
    take ─►                                        starts its coordinator, to which the predecessor has a channel, too
                                     ◄─ ready      it has recovered
    serve ─►                                       accepts connections from here on
                                     ◄─ control    a channel to another coordinator, when the first one has died
    open ─►                          ◄─ drain, stop

Until ``serve`` the predecessor accepts, afterwards the successor. End of file means that the other one is gone.

Both may be of different versions. ``PROTOCOL`` counts the incompatible changes of these packets and of those that a worker
and a coordinator exchange; a successor of another protocol declines to follow.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Literal, TypedDict, cast

import orjson

from fastscp import jsontext
from fastscp.errors import ProcessError
from fastscp.process import fdpass

PROTOCOL = 1
VARIABLE = "FASTSCP_SUCCEEDS"
#: the service manager means the process by these, or the socket unit: they are not the successor's
_NOT_INHERITED = frozenset({"WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", VARIABLE})


class Inherit(TypedDict):
    """First packet: so many ``listener``, ``key`` and ``place`` packets follow it."""

    kind: Literal["inherit"]
    protocol: int
    pid: int
    items: int
    password: str | None  #: of the TLS key: nobody can be asked again


class Listener(TypedDict):
    """A listening socket comes along."""

    kind: Literal["listener"]


class Key(TypedDict):
    """Memory with a copy of the TLS key comes along."""

    kind: Literal["key"]


class Place(TypedDict):
    """The memory that counts the places of hosts, titles or sections comes along."""

    kind: Literal["place"]
    of: Literal["hosts", "titles", "sections"]


class Step(TypedDict):
    """From the predecessor: accept connections; read files again; do not follow, end."""

    kind: Literal["serve", "reload", "end"]


class Take(TypedDict):
    """From the predecessor: start the coordinator; its end of a control channel of the predecessor comes along."""

    kind: Literal["take"]


class Open(TypedDict):
    """From the predecessor: so many connections are still open there."""

    kind: Literal["open"]
    count: int


class Progress(TypedDict):
    """From the successor: the workers are up; the coordinator is; end your associations; end at once."""

    kind: Literal["prepared", "ready", "drain", "stop"]


class Control(TypedDict):
    """From the successor: a control channel of another coordinator comes along."""

    kind: Literal["control"]


Packet = Inherit | Listener | Key | Place | Take | Step | Open | Progress | Control


class Guest(TypedDict):
    """To the coordinator of a successor: a control channel for the predecessor comes along."""

    kind: Literal["guest"]


class HandedOver(TypedDict):
    """From a coordinator: the state is closed; hooks of these numbers still run, and their ends will be told."""

    kind: Literal["handed_over"]
    hooks: list[int]


class Unable(TypedDict):
    """From a coordinator: it cannot hand over, everything is as before."""

    kind: Literal["unable"]


class Lent(TypedDict):
    """To a coordinator: hooks (number, status) that an earlier one has started; status None: they run."""

    kind: Literal["lent"]
    hooks: list[tuple[int, int | None]]


class HookEnded(TypedDict):
    """From a coordinator that handed over, and to the one that followed: how a hook ended; None: nobody knows."""

    kind: Literal["hook_ended"]
    number: int
    status: int | None


def encode(packet: Packet) -> bytes:
    """Return the octets of a packet."""
    return jsontext.dumps(packet)


def decode(octets: bytes) -> Packet:
    """Return the packet of some octets. Raises ProcessError."""
    try:
        packet = jsontext.loads(octets)
    except orjson.JSONDecodeError as error:
        raise ProcessError(f"a packet of {len(octets)} octets is not JSON: {error}") from error
    if not isinstance(packet, dict) or "kind" not in packet:
        raise ProcessError("a packet has no kind")
    return cast("Packet", packet)


def is_successor() -> bool:
    """Whether this process was started to follow another."""
    return VARIABLE in os.environ


def adopt_channel() -> socket.socket | None:
    """Return the channel to the predecessor, None when there is none. Raises ProcessError when it is no such channel."""
    number = os.environ.pop(VARIABLE, "")
    if not number:
        return None
    try:
        channel = socket.socket(fileno=int(number))
    except (OSError, ValueError) as error:
        raise ProcessError(f"{VARIABLE}={number} is no descriptor of a socket") from error
    if channel.family != socket.AF_UNIX or channel.type != socket.SOCK_SEQPACKET:
        channel.detach()
        raise ProcessError(f"{VARIABLE}={number} is no channel of packets")
    channel.set_inheritable(False)
    channel.setblocking(False)
    return channel


def receive(channel: socket.socket) -> tuple[Packet | None, int | None]:
    """Receive one packet, None at the end, with its descriptor. Raises BlockingIOError and ProcessError."""
    octets, descriptor = fdpass.receive(channel)
    return (decode(octets) if octets else None), descriptor


def command_line(original: Sequence[str], executable: str) -> list[str]:
    """Return what starts the installed program with the arguments of this one.

    A program file that names its interpreter itself is asked for it again: it may be another one now.
    """
    script = original[1] if len(original) > 1 else ""
    if not script.startswith("-") and os.access(script, os.X_OK) and _names_interpreter(script):
        return [script, *original[2:]]
    return [executable, *original[1:]]


def _names_interpreter(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def start_program(channel: socket.socket) -> int:
    """Start the installed program with the arguments of this one; ``channel`` is its end. Returns the pid; raises OSError."""
    arguments = command_line(sys.orig_argv, sys.executable)
    variables = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    descriptor = channel.fileno()
    variables[VARIABLE] = str(descriptor)
    os.set_inheritable(descriptor, True)  # only one thread: nobody else executes anything meanwhile
    try:
        return os.posix_spawn(arguments[0], arguments, variables, setsigmask=(), setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2))
    finally:
        os.set_inheritable(descriptor, False)
