"""What the process of a service is told at its start by the program that embeds it, and what it answers.

Both are one line of JSON on a stream socket; paths that are not UTF-8 are in it as JSON's escapes of lone surrogates.
"""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

from fastscp.cli.options import FASTSCP
from fastscp.cli.parse import CommandLine, Occurrence
from fastscp.errors import ProcessError


@dataclass(frozen=True)
class Start:
    """What to serve, and whom to tell."""

    options: tuple[tuple[str, tuple[str, ...]], ...]  #: long flags and their values
    without: tuple[str, ...] = ()
    port: str | None = None  #: None: the configuration file has it
    events: int | None = None  #: descriptor of the socket for events; None: nobody wants any
    kinds: tuple[str, ...] = ()  #: those that are wanted

    def line(self) -> CommandLine:
        """Return the command line that means this."""
        occurrences = tuple(Occurrence(FASTSCP.by_flag[long], tuple(values)) for long, values in self.options)
        return CommandLine("fastscp", occurrences, () if self.port is None else (self.port,), without=frozenset(self.without))


def encode(start: Start) -> bytes:
    """Return the line that says this."""
    return json.dumps(asdict(start)).encode() + b"\n"


def decode(line: bytes) -> Start:
    """Return what a line says."""
    fields: dict[str, Any] = json.loads(line)
    fields["options"] = tuple((long, tuple(values)) for long, values in fields["options"])
    return Start(**fields)


def read_line(channel: socket.socket) -> bytes:
    """Return the next line, without its end; what comes behind it is lost. Raises ProcessError at the end of file."""
    line = bytearray()
    while not line.endswith(b"\n"):
        octets = channel.recv(65536)
        if not octets:
            raise ProcessError("the other end is gone")
        line += octets
    return bytes(line[:-1])
