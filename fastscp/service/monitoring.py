"""Puts together what ``--metrics`` needs: the memory to count in, the socket, and the monitor process."""

from __future__ import annotations

import logging
import platform
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastscp import __version__, core
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.metrics.board import Board
from fastscp.metrics.policy import MetricsPolicy
from fastscp.net.listener import open_service_listener
from fastscp.store.hidden import state_path
from fastscp.store.policy import StorePolicy

if TYPE_CHECKING:
    from fastscp.acceptor.policy import Bequest, Monitor
    from fastscp.process.heartbeat import Heartbeat

_log = logging.getLogger(APPLICATION)


@dataclass(frozen=True)
class Metrics:
    """What is there before the first fork."""

    board: Board
    listener: socket.socket


def open_metrics(policy: MetricsPolicy | None, inherited: Bequest | None = None) -> Metrics | None:
    """Bind the port and make the memory, or take those of a predecessor. Raises ProcessError."""
    if policy is None:
        return None
    try:
        import fastscp.monitor.process  # noqa: F401, PLC0415 - read before the forks, and only where it is wanted
    except ImportError as error:
        raise ProcessError(f"--metrics needs the Python package {error.name}: install fastscp[metrics]") from error
    listener = _inherited_listener(policy, None if inherited is None else inherited.metrics)
    return Metrics(_board(None if inherited is None else inherited.board), listener)


def _board(file: int | None) -> Board:
    try:
        return Board(file)
    except ProcessError as error:
        _log.warning("counting begins anew: %s", error)
        return Board()


def _inherited_listener(policy: MetricsPolicy, descriptor: int | None) -> socket.socket:
    if descriptor is not None:
        listener = socket.socket(fileno=descriptor)
        if listener.getsockname()[:2] == (policy.address, policy.port):
            return listener
        listener.close()
    return open_service_listener(policy.address, policy.port)


def places_of(store: StorePolicy, state_directory: str | None, sections: Mapping[str, StorePolicy]) -> dict[str, str]:
    """Return the directories whose file systems matter, by what they are for; those of sections where they are others."""
    found = {"output": None if store.ignore else store.output_directory, "quarantine": store.quarantine,
             "state": str(state_path(state_directory, store.output_directory))}
    for name, own in sections.items():
        found |= {f"{what} of {name}": path for what, path, all_have in (
            ("output", None if own.ignore else own.output_directory, store.output_directory),
            ("quarantine", own.quarantine, store.quarantine)) if path != all_have}
    return {what: path for what, path in found.items() if path is not None}


def monitor_child(metrics: Metrics, policy: MetricsPolicy, store: Callable[[], StorePolicy], places: Callable[[], Mapping[str, str]]) -> Monitor:
    """Return what the acceptor process starts. What holds now is asked for; ``places`` are directories, by what they are for."""
    from fastscp.acceptor.policy import Monitor  # noqa: PLC0415 - an association from inetd has none
    from fastscp.monitor import process  # noqa: PLC0415 - only with --metrics
    from fastscp.monitor.disks import Disks, encoded_disks  # noqa: PLC0415
    from fastscp.monitor.page import page  # noqa: PLC0415
    from fastscp.monitor.routes import Facts  # noqa: PLC0415

    build = __version__, platform.python_version(), "compiled" if core.ACTIVE else "pure"
    facts = Facts(version=__version__, build=build, local=policy.local, page=page())

    def disks() -> Disks:
        min_free = store().min_free
        return Disks(places()) if min_free is None else Disks(places(), min_free.octets, min_free.percent)

    def run(channel: socket.socket, listener: socket.socket, heartbeat: Heartbeat) -> int:
        now = disks()
        settings = process.MonitorSettings(metrics.board, facts, now, now.directories["state"])
        return process.main(channel, listener, settings, heartbeat)

    return Monitor(metrics.listener, run, lambda: encoded_disks(disks()))
