"""What this process is given by whoever started it: a service manager's sockets, or everything of a predecessor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastscp.net.systemd import has_listeners
from fastscp.process.succession import adopt_channel, is_successor

if TYPE_CHECKING:
    from fastscp.acceptor.predecessor import Predecessor


def inherits_sockets() -> bool:
    """Whether this process need not bind a port."""
    return is_successor() or has_listeners(os.getpid())


def adopt_predecessor() -> Predecessor | None:
    """Return the process that this one follows, None where there is none. Raises ProcessError for one it cannot follow."""
    channel = adopt_channel()
    if channel is None:
        return None
    from fastscp.acceptor.predecessor import Predecessor  # noqa: PLC0415 - hardly any process has one

    return Predecessor(channel)
