"""The process that ships the journal of a gateway: started by the coordinator, ends with it.

    python -m fastscp.fleet.program DESCRIPTOR

The descriptor is a packet channel to the coordinator. The first packet says what to do (``begin``); ``pulse``: up to which entry
everything is in the journal, and when that was so; ``hooks``: other commands hold; ``leave``: the service ends, and nothing is left open. It sends ``shipped``:
up to which entry everything is in the database, and whether that is there. At the end of file it ships what is left and ends.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import sys
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from fastscp import jsontext
from fastscp.fleet.arithmetic import Pulse
from fastscp.fleet.database import Database
from fastscp.fleet.gateway import Gateway, Terms, open_gateway
from fastscp.fleet.hooks import FleetHooks
from fastscp.fleet.journal import JournalReader
from fastscp.log.names import APPLICATION
from fastscp.process.loop import IN, Loop
from fastscp.process.titles import set_title
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy

_log = logging.getLogger(APPLICATION)

LAST_S = 4.0  #: for what is left at the end
_PACKET_OCTETS = 1 << 20
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # it ends with its channel


def main(descriptor: int) -> int:
    """Ship until the channel ends; return the exit status."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=descriptor)
    begin = jsontext.loads(channel.recv(_PACKET_OCTETS))
    set_title("fleet")
    logging.basicConfig(stream=sys.stderr, level=begin["level"], format="%(levelname).1s: %(message)s")
    channel.setblocking(False)
    loop = Loop()
    Program(loop, channel, begin).run()
    loop.close()
    return 0


class Program:
    """Turns of a gateway in a loop."""

    def __init__(self, loop: Loop, channel: socket.socket, begin: Mapping[str, Any]) -> None:
        self._loop = loop
        self._channel = channel
        self._for_good = False
        self._ends: float | None = None  #: when it has to be over
        gateway = begin["gateway"]
        file = Path(begin["file"])
        self._hooks = FleetHooks(loop, gateway, file.parent / "fleet", commands_of(begin["hooks"]), jobs=begin["jobs"],
                                 timeout_s=begin["timeout_s"])
        session = uuid.uuid4().hex
        database = Database(begin["url"], f"fastscp {gateway}"[:63], opened=partial(open_gateway, gateway=gateway, session=session))
        self._gateway = Gateway(Terms(gateway, session, begin["limit_s"], begin["retries"], begin["stored"]), database, JournalReader(file), self._hooks,
                                self._tell)

    def run(self) -> None:
        """Go on until the end."""
        self._loop.register(self._channel.fileno(), IN, self._hear)
        self._loop.call_later(0.0, self._turn)
        self._loop.run()
        self._gateway.leave(for_good=self._for_good)

    def _turn(self) -> None:
        pause = self._gateway.turn()
        if self._ends is not None:
            if self._gateway.idle or time.monotonic() > self._ends:
                self._loop.stop()
                return
            pause = min(pause, 0.1)
        self._loop.call_later(pause, self._turn)

    def _hear(self, _mask: int) -> None:
        while True:
            try:
                octets = self._channel.recv(_PACKET_OCTETS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                octets = b""
            if not octets:
                self._loop.unregister(self._channel.fileno())
                self._gateway.begin_to_leave()
                self._ends = time.monotonic() + LAST_S
                return
            packet = jsontext.loads(octets)
            if packet["kind"] == "pulse":
                self._gateway.pulse(Pulse(packet["number"], packet["at"]))
            elif packet["kind"] == "hooks":
                self._hooks.use(commands_of(packet["hooks"]))
            elif packet["kind"] == "leave":
                self._for_good = True

    def _tell(self, number: int, connected: bool) -> None:
        # a coordinator that does not read is told with the next turn, one that is gone need not know
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._channel.send(orjson.dumps({"kind": "shipped", "number": number, "connected": connected}))


def commands_of(hooks: Mapping[str, Any]) -> dict[str, Commands]:
    """Return the end-of-study hook of each section."""
    return {sender: Commands(HookPolicy(on_end_of_study=hook["command"], argv=hook["argv"])) for sender, hook in hooks.items()}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
