"""Everything that a start makes sure of before it listens, without listening (``--check-config``).

Invariant: nothing is made, locked or written that a service that runs could notice. So of directories and files of the
service it is only asked whether they could be used.
"""

from __future__ import annotations

import logging
import os

from fastscp.config import Config
from fastscp.coordinator.opening import check_apart
from fastscp.errors import FastscpError, ProcessError, UsageError
from fastscp.log.names import APPLICATION
from fastscp.service.privileges import identity
from fastscp.service.run import completed, worker_settings
from fastscp.store.hidden import state_path

_log = logging.getLogger(APPLICATION)


def try_out(config: Config) -> int:
    """Return the exit status of ``--check-config``; what is wrong has been logged then."""
    try:
        whole = completed(config)
        worker_settings(whole.network.tls)
        if config.network.user is not None:
            identity(config.network.user)
        if config.access.enabled:
            from fastscp.acceptor.admission import read_rules  # noqa: PLC0415 - most set-ups have no rules

            read_rules(config.access)
        for own in config.every:
            _check_paths(own)
    except (FastscpError, OSError) as error:
        _log.critical("%s", error)
        return 1
    _log.info("the configuration is good")
    return 0


def _check_paths(config: Config) -> None:
    """Raise ProcessError or UsageError for a directory or file of the service that could not be used."""
    if config.keeps_studies or config.hooks.on_reception is not None:
        directory = state_path(config.study.state_directory, config.store.output_directory)
        check_apart(directory, config)
        check_could_be_made(f"state directory {directory}", str(directory))
    completed_directory = config.study.completed_directory
    if completed_directory is not None:
        check_could_be_made(f"directory for completed studies {completed_directory}", completed_directory)
        if os.path.realpath(completed_directory) == os.path.realpath(config.store.output_directory):
            raise ProcessError(f"directory for completed studies {completed_directory} is the output directory")
    event_log = config.hooks.event_log
    if event_log is not None and event_log != "-":
        if os.path.isdir(event_log):
            raise UsageError(f"event log {event_log} is a directory")
        check_could_be_made(f"event log {event_log}", event_log)


def check_could_be_made(what: str, path: str) -> None:
    """Raise ProcessError where nothing could be written to a path, or it could not be made."""
    present = os.path.abspath(path)
    while not os.path.lexists(present):
        present = os.path.dirname(present)
    if not os.access(present, os.W_OK):
        raise ProcessError(f"{what} cannot be used: {present} is not writeable")
