"""Signals that come before there is anybody to obey them."""

from __future__ import annotations

import signal

#: to read everything again, and to let another program take over; by default both end a process
_ORDERS = (signal.SIGHUP, signal.SIGUSR2)


def ignore_orders() -> None:
    """Have orders to a service that runs do nothing as long as it starts: it reads everything anyway, and holds nothing yet."""
    for number in _ORDERS:
        signal.signal(number, signal.SIG_IGN)
