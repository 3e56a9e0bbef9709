"""Waiting at the start, before there is a loop: the parent is listened to, and sees signs of life."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from fastscp.errors import ProcessError
from fastscp.process import fdpass, packets
from fastscp.process.heartbeat import Heartbeat


class Patience:
    """A pause that ends for good when the acceptor process says so, or is gone. What else it says stays for later."""

    def __init__(self, control: socket.socket, heartbeat: Heartbeat | None,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self._control = control
        self._heartbeat = heartbeat
        self._sleep = sleep

    def __call__(self, seconds: float) -> None:
        """Wait. Raises ProcessError when there is nothing to wait for any more."""
        if self._heartbeat is not None:
            self._heartbeat.beat()
        self._sleep(seconds)
        try:
            octets = self._control.recv(fdpass.PACKET_OCTETS, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not octets or packets.decode_control(octets)["kind"] in {"drain", "stop"}:
            raise ProcessError("told to end while waiting for the end of another service")
