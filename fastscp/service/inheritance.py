"""What this process is given by whoever started it: a service manager's sockets, or everything of a predecessor."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fastscp.config.network import TLSPolicy
from fastscp.log.names import APPLICATION
from fastscp.net.systemd import has_listeners
from fastscp.process.succession import adopt_channel, is_successor

if TYPE_CHECKING:
    from fastscp.acceptor.predecessor import Predecessor

_log = logging.getLogger(APPLICATION)


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


def with_inherited_key(tls: TLSPolicy, key: int | None) -> TLSPolicy:
    """Have the key read from ``key``, a copy of a predecessor, where this process may not read its file."""
    if key is None or os.access(tls.private_key_file, os.R_OK):
        return tls
    return replace(tls, private_key_file=f"/proc/self/fd/{key}")


def copy_of_key(tls: TLSPolicy) -> int | None:
    """Return the descriptor of memory that a successor can read the key from; None where it cannot be read now."""
    try:
        with open(tls.private_key_file, "rb") as file:
            octets = file.read()
    except OSError as error:
        _log.warning("cannot keep the TLS key for a program that takes over: %s", error)
        return None
    memory = os.memfd_create("fastscp-key", os.MFD_CLOEXEC)
    os.write(memory, octets)
    return memory
