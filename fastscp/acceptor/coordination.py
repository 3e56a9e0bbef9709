"""The coordinator that the acceptor process has: its own child, or, once a successor serves, that of the successor.

Strategy: there is one state, so there is one coordinator that has it. For a successor the own one *hands over*: it keeps
everything in the state, closes that, and stays only to see the end of the hooks it runs (it is a *guardian* then). These
hooks are *lent* to the next coordinator, which takes their ends from here, and starts them again only when nobody knows how
they ended. The successor's coordinator is *borrowed*: it gives a control channel to this process, too.

Invariants: a hook that is lent is told to every coordinator before that can start it; an end is told to one only.
What it does not do: start again what died (``fastscp.acceptor.supervisor`` decides that).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Iterable

from fastscp.log.names import NETWORK
from fastscp.process import fdpass, packets
from fastscp.process.heartbeat import Heartbeat
from fastscp.process.loop import IN, Loop
from fastscp.process.succession import HookEnded

_log = logging.getLogger(NETWORK)


class Coordination:
    """One coordinator at a time.

    ``run`` is what its process does, ``start_child`` starts one and may raise OSError, ``on_connected`` is told whenever there
    is another coordinator to talk to, ``on_ready`` whenever one has recovered, ``on_vacant`` when there has to be another.
    """

    def __init__(self, loop: Loop, run: Callable[[socket.socket, Heartbeat], int],
                 start_child: Callable[[Callable[[Heartbeat], int], str, socket.socket], int], *,
                 on_connected: Callable[[], None], on_ready: Callable[[], None], on_vacant: Callable[[], None]) -> None:
        self._loop = loop
        self._run = run
        self._start_child = start_child
        self._on_connected = on_connected
        self._on_ready = on_ready
        self._on_vacant = on_vacant
        self.pid = 0  #: of the own coordinator, while it has the state
        self.channel: socket.socket | None = None  #: to whichever there is
        self.was_ready = False
        self.away = False  #: the state is a successor's, or on its way there
        self.has_predecessor = False  #: a process that borrows this coordinator
        self.for_guest: socket.socket | None = None  #: the coordinator's end of a channel that the predecessor has made
        self._guest_end: socket.socket | None = None  #: what the predecessor borrows another coordinator by
        self._borrowed = False
        self._knows_lent = False  #: whoever is at the channel was told which hooks are lent
        self._guardians: dict[int, tuple[socket.socket, list[int]]] = {}  #: former coordinators by pid, and their hooks
        self._lent: dict[int, int | None] = {}  #: hooks by number, and how they ended
        self._on_released: tuple[Callable[[], None], Callable[[], None]] | None = None

    def sockets(self) -> Iterable[socket.socket]:
        """Everything a newly forked process must close."""
        guardians = (channel for channel, _ in self._guardians.values())
        yield from filter(None, (self.channel, self.for_guest, self._guest_end, *guardians))

    def start(self) -> None:
        """Start the coordinator process. Raises OSError."""
        ours, theirs = fdpass.channel_pair()
        try:
            self._prepare(ours)
            self.pid = self._start_child(lambda heartbeat: self._run(theirs, heartbeat), "coordinator", ours)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._watch_channel(ours)
        self._lent_is_known()
        self._on_connected()

    def _prepare(self, ours: socket.socket) -> None:
        """Say what a new coordinator has to know before it does anything."""
        if self.has_predecessor:
            with self._its_end_for_guest() as its_end:
                fdpass.send_with_descriptor(ours, packets.encode({"kind": "guest"}), its_end.fileno())
        if self._lent:
            self._lend(ours)

    def _its_end_for_guest(self) -> socket.socket:
        """Return the coordinator's end of a channel to the predecessor, who has the other one, or is to get it."""
        its_end, self.for_guest = self.for_guest, None
        if its_end is not None:
            return its_end
        if self._guest_end is not None:
            self._guest_end.close()
        self._guest_end, its_end = fdpass.channel_pair()
        return its_end

    def _lend(self, channel: socket.socket) -> None:
        """Tell a coordinator which hooks run, or ended, without it."""
        channel.send(packets.encode({"kind": "lent", "hooks": list(self._lent.items())}))

    def _lent_is_known(self) -> None:
        """Tell no end a second time."""
        self._knows_lent = True
        self._lent = {number: None for number, status in self._lent.items() if status is None}

    def _watch_channel(self, channel: socket.socket) -> None:
        self.channel = channel
        self._loop.register(channel.fileno(), IN, lambda _mask: self._take(channel))

    # -- a predecessor ----------------------------------------------------------------------------

    def take_guest_end(self) -> socket.socket | None:
        """Return what a predecessor borrows another coordinator by than the first one; the caller owns it."""
        guest_end, self._guest_end = self._guest_end, None
        return guest_end

    # -- a successor ------------------------------------------------------------------------------

    def release(self, done: Callable[[], None], unable: Callable[[], None]) -> None:
        """Have the state given up; then ``done`` is called, or ``unable``, and everything is as before."""
        self.away = True
        self._on_released = done, unable
        if not self.pid:
            self._released()
        elif not self.tell({"kind": "hand_over"}):
            self._unable()

    def _released(self) -> None:
        callbacks, self._on_released = self._on_released, None
        if callbacks is not None:
            callbacks[0]()
        elif not self.away:
            self._on_vacant()

    def _unable(self) -> None:
        callbacks, self._on_released, self.away = self._on_released, None, False
        if callbacks is not None:
            callbacks[1]()

    def borrow(self, channel: socket.socket) -> None:
        """Use the coordinator of a successor, by ``channel``, which is owned from here on, as soon as it is ready."""
        self._drop_channel()
        self._borrowed, self._knows_lent = True, False
        self._watch_channel(channel)

    def connect_borrowed(self) -> None:
        """Tell a borrowed coordinator that has recovered which hooks it gets, and of the workers."""
        if self.channel is None:
            return
        try:
            self._lend(self.channel)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            _log.warning("the coordinator of the new program does not take what it gets: %s", error)
            return
        self._lent_is_known()
        self._on_connected()

    def take_back(self) -> None:
        """Have a coordinator of our own again: the successor is gone, or will be."""
        self._on_released = None
        if not self.away:
            return
        self.away = False
        if self._borrowed:
            if self.channel is not None:
                self._send({"kind": "stop"})
            self._drop_channel()
            self._borrowed = False
        if not self.pid:
            self._on_vacant()

    # -- what it says -----------------------------------------------------------------------------

    def _take(self, channel: socket.socket) -> None:
        self._read(channel)

    def _read(self, channel: socket.socket) -> bool:
        """Follow one packet; False when there was none."""
        try:
            packet, _ = fdpass.receive(channel)
        except BlockingIOError:
            return False
        if packet:
            self._follow(packets.decode_control(packet), channel)
            return True
        if channel is self.channel:
            self._drop_channel()
        elif channel.fileno() in self._loop:
            self._loop.unregister(channel.fileno())
        return False

    def _follow(self, packet: packets.ControlPacket, channel: socket.socket) -> None:
        if packet["kind"] == "ready":
            self.was_ready = True
            self._on_ready()
        elif packet["kind"] == "handed_over":
            self._lent.update(dict.fromkeys(packet["hooks"]))
            self._guardians[self.pid] = channel, packet["hooks"]
            self.pid, self.channel, self._knows_lent = 0, None, False
            self._released()
        elif packet["kind"] == "unable":
            self._unable()
        elif packet["kind"] == "hook_ended":
            self._hook_ended(packet["number"], packet["status"])

    def _hook_ended(self, number: int, status: int | None) -> None:
        """Tell whoever has the state how a hook ended that an earlier coordinator started; None: nobody knows."""
        if number not in self._lent:
            return
        if self._knows_lent and self._send({"kind": "hook_ended", "number": number, "status": status}):
            del self._lent[number]
        elif status is None:
            del self._lent[number]  # the next coordinator starts it
        else:
            self._lent[number] = status

    # -- telling ----------------------------------------------------------------------------------

    @property
    def takes_workers(self) -> bool:
        """Whether workers may be introduced: to a borrowed coordinator only when it was told of the hooks, and all at once."""
        return self.channel is not None and (self._knows_lent or not self._borrowed)

    def introduce(self, name: str, descriptor: int) -> None:
        """Give the coordinator its end of an event channel. Raises OSError when it cannot take it."""
        if self.channel is None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        packet = packets.encode({"kind": "worker", "name": name})
        fdpass.send_with_descriptor(self.channel, packet, descriptor)

    def tell(self, order: packets.Order | packets.Host) -> bool:
        """Send one order; a dead coordinator needs none, and one that is borrowed takes none."""
        if self.channel is None or (self._borrowed and order["kind"] != "host"):
            return True
        return self._send(order)

    def reload(self, rules: bytes | None) -> bool:
        """Have files read again; ``rules`` are what it is to go by from now on, None for what it has."""
        if rules is None:
            return self.tell({"kind": "reload"})
        if self.channel is None or self._borrowed:
            return True
        memory = os.memfd_create("fastscp-rules", os.MFD_CLOEXEC)
        with open(memory, "wb") as file:
            file.write(rules)
            file.flush()
            return self._send({"kind": "reload"}, memory)

    def _send(self, packet: packets.Order | packets.Host | HookEnded, descriptor: int | None = None) -> bool:
        if self.channel is None:
            return False
        try:
            if descriptor is None:
                self.channel.send(packets.encode(packet))
            else:
                fdpass.send_with_descriptor(self.channel, packets.encode(packet), descriptor)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError) as error:
            _log.warning("coordinator did not take the order to %s: %s", packet["kind"], error)
            return False
        return True

    # -- its end ----------------------------------------------------------------------------------

    def bury(self, pid: int) -> bool:
        """Take note that a child ended; return whether it was the coordinator, not one that had handed over."""
        if pid == self.pid:
            self.pid = 0
            self._drop_channel()
            if self.away:
                self._released()
            return True
        channel, hooks = self._guardians.pop(pid, (None, []))
        if channel is not None:
            while self._read(channel):  # what it said last
                pass
            if channel.fileno() in self._loop:
                self._loop.unregister(channel.fileno())
            channel.close()
            for number in hooks:
                if self._lent.get(number, 0) is None:
                    self._hook_ended(number, None)
        return False

    def _drop_channel(self) -> None:
        if self.channel is not None:
            self._loop.unregister(self.channel.fileno())
            self.channel.close()
            self.channel, self._knows_lent = None, False

    def close(self) -> None:
        """Give back what is left."""
        for channel in self.sockets():
            channel.close()
