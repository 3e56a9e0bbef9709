"""Host names of peers, as the acceptor process tells them.

Strategy: an association is reported before its peer's name is known, and the name follows by address. Whoever needs
one that is not here yet is called when it is, or when it has not come within the time that a look-up may take: it
has no name then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from fastscp.process.loop import Loop, Timer

#: a look-up takes at most five seconds, and its answer gets here
PATIENCE_S = 7.0
_MOST_KEPT = 4096


class HostNames:
    """Names by address, "" for an address without one."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._known: OrderedDict[str, str] = OrderedDict()
        self._waiting: dict[str, tuple[Timer, list[Callable[[], None]]]] = {}

    def heard(self, address: str, name: str) -> None:
        """Take note of a name, or that there is none."""
        self._known[address] = name
        self._known.move_to_end(address)
        if len(self._known) > _MOST_KEPT:
            self._known.popitem(last=False)
        timer, callbacks = self._waiting.pop(address, (None, []))
        if timer is not None:
            timer.cancel()
        for callback in callbacks:
            callback()

    def get(self, address: str) -> str | None:
        """Return the name of an address, None when it is not known yet."""
        return self._known.get(address)

    def when_known(self, address: str, callback: Callable[[], None]) -> None:
        """Call back once ``get`` has an answer."""
        if address not in self._waiting:
            timer = self._loop.call_later(PATIENCE_S, lambda: self.heard(address, ""))
            self._waiting[address] = timer, []
        self._waiting[address][1].append(callback)
