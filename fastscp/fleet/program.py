"""The process that ships the journal of a gateway: started by the coordinator, ends with it.

    python -m fastscp.fleet.program DESCRIPTOR

The descriptor is a packet channel to the coordinator. The first packet says what to do (``begin``); ``pulse``: up to which entry
everything is in the journal, and when that was so; ``hooks``: other commands hold; ``leave``: the service ends, and nothing is left open. It sends ``shipped``:
up to which entry everything is in the database, and whether that is there. At the end of file it ships what is left and ends.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fastscp.fleet.arithmetic import Pulse
from fastscp.fleet.database import Database
from fastscp.fleet.gateway import Gateway, Terms, open_gateway
from fastscp.fleet.hooks import FleetHooks
from fastscp.fleet.journal import JournalReader
from fastscp.process.attached import OF_SERVICE, Attachment, attach
from fastscp.process.loop import IN, Loop
from fastscp.study.commands import Commands
from fastscp.study.policy import HookPolicy

LAST_S = 4.0  #: for what is left at the end


def main(descriptor: int) -> int:
    """Ship until the channel ends; return the exit status."""
    channel, begin = attach(descriptor, "fleet", ignored=OF_SERVICE)
    if begin is None:
        return 0
    loop = Loop()
    Program(loop, channel, begin).run()
    loop.close()
    return 0


class Program:
    """Turns of a gateway in a loop."""

    def __init__(self, loop: Loop, channel: Attachment, begin: Mapping[str, Any]) -> None:
        self._loop = loop
        self._channel = channel
        self._for_good = False
        self._ends: float | None = None  #: when it has to be over
        gateway = begin["gateway"]
        file = Path(begin["file"])
        self._hooks = FleetHooks(loop, gateway, file.parent / "fleet", commands_of(begin["hooks"]), jobs=begin["jobs"],
                                 timeout_s=begin["timeout_s"])
        self._hooks.tidy()
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
        for packet in self._channel.packets():
            if packet["kind"] == "pulse":
                self._gateway.pulse(Pulse(packet["number"], packet["at"]))
            elif packet["kind"] == "hooks":
                self._hooks.use(commands_of(packet["hooks"]))
            elif packet["kind"] == "leave":
                self._for_good = True
        if self._channel.over:
            self._loop.unregister(self._channel.fileno())
            self._gateway.begin_to_leave()
            self._ends = time.monotonic() + LAST_S

    def _tell(self, number: int, connected: bool) -> None:
        # a coordinator that does not read is told with the next turn
        self._channel.tell({"kind": "shipped", "number": number, "connected": connected})


def commands_of(hooks: Mapping[str, Any]) -> dict[str, Commands]:
    """Return the end-of-study hook of each section."""
    return {sender: Commands(HookPolicy(on_end_of_study=hook["command"], argv=hook["argv"])) for sender, hook in hooks.items()}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
