"""Host names of peers, looked up without ever blocking the process that asks.

Strategy: getnameinfo(3) and getaddrinfo(3) can hang for as long as a name server is silent, so they run in
one helper process (``fastscp.acceptor.resolver_child``), on the other side of a ``SOCK_SEQPACKET`` socketpair. It is
forked with the first question and answers each within the time limit. Answers are kept for a while, missing
names for a shorter one.

A helper that leaves a question unanswered beyond its own time limit hangs: it is killed and replaced.

Invariants: at most ``_MOST_OUTSTANDING`` questions are open, further addresses have no name at once; an
address for which ``request`` returned None comes back from ``on_readable`` exactly once, also when the
helper dies. The helper dies with us.
"""

from __future__ import annotations

import contextlib
import logging
import select
import signal
import socket
import time
from collections import OrderedDict
from collections.abc import Callable

from fastscp.acceptor.resolver_child import PACKET_OCTETS, decode_answer, run_helper
from fastscp.log.names import NETWORK
from fastscp.process.child import Processes, SystemProcesses

_log = logging.getLogger(NETWORK)

_MOST_OUTSTANDING = 256
_MOST_KEPT = 4096
_TIME_LIMIT_S = 5.0
_KNOWN_FOR_S = 300.0
_UNKNOWN_FOR_S = 30.0
_HANGS_AFTER_S = 2.0  #: beyond the time limit, which the helper keeps itself
_RESTART_AFTER_S = 5.0  #: after the death of a helper, peers are shown by address for so long


class HostName(str):
    """A host name, "" when there is none. ``confirmed``: the name leads back to the address."""

    __slots__ = ("confirmed",)
    confirmed: bool

    def __new__(cls, name: str = "", *, confirmed: bool = True) -> HostName:  # noqa: PYI034 - Self is newer
        """Make a name."""
        made = super().__new__(cls, name)
        made.confirmed = confirmed
        return made


class Resolver:
    """Asks for host names; meant for a readiness loop.

    ``fileno`` never changes, so it can be registered before the first question.
    """

    def __init__(self, processes: Processes | None = None, clock: Callable[[], float] = time.monotonic,
                 helper: Callable[[socket.socket, float], int] = run_helper) -> None:
        self._processes = processes or SystemProcesses()
        self._clock = clock
        self._helper = helper
        self._kept: OrderedDict[str, tuple[float, HostName]] = OrderedDict()  # address: (until, name)
        self._open: dict[str, float] = {}  # addresses with a question under way: when it was asked, oldest first
        self._channel: socket.socket | None = None
        self._epoll = select.epoll()  # stands for the channel of whichever helper there is
        self._not_before = 0.0  # no helper is started before this time
        self.helper_pid = 0  #: 0 when there is none

    def fileno(self) -> int:
        """Descriptor to wait on until it is readable."""
        return self._epoll.fileno()

    def sockets(self) -> list[socket.socket]:
        """Return what a newly forked process must close."""
        return [] if self._channel is None else [self._channel]

    def request(self, address: str) -> HostName | None:
        """Return the name of a numeric address if it is known now, else None: ``on_readable`` will tell."""
        now = self._clock()
        kept = self._kept.get(address)
        if kept is not None and kept[0] > now:
            return kept[1]
        if address in self._open:
            return None
        if len(self._open) >= _MOST_OUTSTANDING or not self._ask(address, now):
            return HostName()
        self._open[address] = now
        return None

    def _ask(self, address: str, now: float) -> bool:
        channel = self._channel or self._start_helper(now)
        if channel is None:
            return False
        try:
            channel.send(address.encode())
        except OSError:  # full, or its end: then ``on_readable`` finds out
            return False
        return True

    def on_readable(self) -> list[tuple[str, HostName]]:
        """Return what was answered since the last call; a name that was not found in time is ""."""
        answers: list[tuple[str, HostName]] = []
        while self._channel is not None:
            try:
                packet = self._channel.recv(PACKET_OCTETS)
            except BlockingIOError:
                break
            except OSError:
                packet = b""
            if not packet:
                answers += self._helper_died()
                break
            address, name, confirmed = decode_answer(packet)
            answer = HostName(name, confirmed=confirmed)
            self._keep(address, answer)
            if self._open.pop(address, None) is not None:
                answers.append((address, answer))
        return answers

    def give_up(self) -> list[tuple[str, HostName]]:
        """Return, without a name, what a helper that hangs does not answer; it is killed and another takes its place."""
        asked = next(iter(self._open.values()), None)
        if asked is None or self._clock() - asked < _TIME_LIMIT_S + _HANGS_AFTER_S:
            return []
        answers = self._helper_died()
        self._not_before = 0.0  # it was not its own doing
        return answers

    def _keep(self, address: str, name: HostName) -> None:
        self._kept[address] = self._clock() + (_KNOWN_FOR_S if name else _UNKNOWN_FOR_S), name
        self._kept.move_to_end(address)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    # -- helper process ---------------------------------------------------------------------------

    def _start_helper(self, now: float) -> socket.socket | None:
        if now < self._not_before:
            return None
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:  # no descriptor left
            _log.warning("no channel for host name lookups: %s", error.strerror)
            self._not_before = now + _RESTART_AFTER_S
            return None
        try:
            self.helper_pid = self._processes.start(lambda: self._helper(theirs, _TIME_LIMIT_S), title="resolver", close=(ours,))
        except OSError as error:
            _log.warning("no process for host name lookups: %s", error.strerror)
            ours.close()
            self._not_before = now + _RESTART_AFTER_S
            return None
        finally:
            theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self._epoll.register(ours.fileno(), select.EPOLLIN)
        return ours

    def _helper_died(self) -> list[tuple[str, HostName]]:
        """Forget the helper; whoever waits gets no name."""
        _log.warning("the process for host name lookups ended")
        self._not_before = self._clock() + _RESTART_AFTER_S
        self._end_helper()
        waiting, self._open = self._open, {}
        return [(address, HostName()) for address in waiting]

    def _end_helper(self) -> None:
        if self._channel is not None:
            self._epoll.unregister(self._channel.fileno())
            self._channel.close()
            self._channel = None
        if self.helper_pid:
            # it owns nothing, and a lookup that hangs would keep it from ending by itself
            with contextlib.suppress(ProcessLookupError):
                self._processes.kill(self.helper_pid, signal.SIGKILL)
            self._processes.wait(self.helper_pid)
            self.helper_pid = 0

    def close(self) -> None:
        """End the helper and give the descriptors back."""
        self._end_helper()
        self._open.clear()
        self._epoll.close()
