"""The process of a service that belongs to a program in Python: the acceptor process, from which all others are forked.

Strategy: ``fastscp.embedding.receiver`` executes a fresh interpreter for it, so that threads, locks and signal handlers of that
program have no part in the service. It gets its options by a socket (they may have a password in them), and starts like
the program ``fastscp`` from there on.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import replace

from fastscp.cli.build import log_policy
from fastscp.cli.check import check
from fastscp.cli.load import complain, configuration, load
from fastscp.config import Config
from fastscp.embedding.start import decode, read_line
from fastscp.errors import FastscpError
from fastscp.log import configure, names
from fastscp.net.systemd import hide_from_children
from fastscp.service.owner import Owner
from fastscp.service.run import run
from fastscp.study.policy import ReaderPolicy


def main(descriptor: int) -> int:
    """Serve until told to stop; ``descriptor`` is the socket to the program that the service belongs to."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    start = decode(read_line(channel))
    owner = Owner(channel)
    reader = None
    if start.events is not None:
        with socket.socket(fileno=start.events) as events:
            events.set_inheritable(False)
            reader = ReaderPolicy(events.detach(), frozenset(start.kinds))
    hide_from_children()  # readiness of the whole program is its own affair
    given = start.line()

    def configured() -> Config:
        loaded = load(given)
        check(loaded.line, verbose=logging.getLogger(names.APPLICATION).isEnabledFor(names.INFO))
        config = configuration(loaded, verbose=True)
        complain(config, loaded)
        return with_reader(config, reader)

    try:
        configure(log_policy(load(given).line))
        config = configured()
    except FastscpError as error:
        owner.failed(str(error))
        return 1
    return run(config, configured if given.has("--config") else None, owner)


def with_reader(config: Config, reader: ReaderPolicy | None) -> Config:
    """Return a configuration, with those of its sections, whose events have a further reader."""
    return replace(config, reader=reader, by_sender={name: replace(own, reader=reader) for name, own in config.by_sender.items()})
