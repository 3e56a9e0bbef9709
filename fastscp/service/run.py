"""Runs the service in the configured mode: pool, one association at a time, or one from inetd.

The order of a start: what can fail for a reason the operator can mend (port, directory, keys, rules) comes
before the first fork; privileges are dropped after the port is bound and the keys are read.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.errors import FastscpError, ProcessError
from fastscp.log.names import APPLICATION
from fastscp.net.listener import open_listener, raise_descriptor_limit, tune
from fastscp.net.systemd import adopt_listeners
from fastscp.process.titles import set_title
from fastscp.worker.process import WorkerSettings

_log = logging.getLogger(APPLICATION)


def run(config: Config) -> int:
    """Serve until told to stop; return the exit status of the program."""
    try:
        check_directory_name(config)
        config = with_credentials(with_dictionaries(config))
        settings = worker_settings(config)
        if config.network.mode is ProcessMode.INETD:
            from fastscp.service.inetd import serve_descriptor  # noqa: PLC0415 - one mode's own module

            return serve_descriptor(config, settings)
        return serve(config, settings)
    except ProcessError as error:
        _log.error("%s", error)
        return 1
    except FastscpError as error:
        _log.critical("%s", error)
        return 1


def serve(config: Config, settings: WorkerSettings) -> int:
    """Listen and run the acceptor process with its workers and the coordinator."""
    from fastscp.acceptor.process import AcceptorProcess  # noqa: PLC0415 - an association from inetd has none

    network = config.network
    listeners = adopt_listeners()
    for listener in listeners:
        tune(listener)
    if not listeners:
        if network.port is None:
            raise ProcessError("no port to listen on")
        listeners = [open_listener(network.port, network.address_family)]
    raise_descriptor_limit()
    if network.user is not None:
        from fastscp.service.privileges import drop_privileges  # noqa: PLC0415 - only with --user

        drop_privileges(network.user)
    single = network.mode is ProcessMode.SINGLE
    workers = 1 if single else network.workers or usable_cpus()
    limit = 1 if single else network.max_associations
    set_title(f"acceptor [{listeners[0].getsockname()[1]}]")
    preload(config)
    return AcceptorProcess(config, settings, listeners, workers, limit).run()


def check_directory_name(config: Config) -> None:
    """Refuse a name that events, hooks' environment and durable state cannot hold. Raises ProcessError."""
    try:
        config.store.output_directory.encode()
    except UnicodeEncodeError as error:
        if config.needs_coordinator:
            message = "with sorting, hooks or an event log the name of the output directory must be UTF-8"
            raise ProcessError(message) from error


def with_dictionaries(config: Config) -> Config:
    """Leave out data dictionaries that are not there; like storescp, ours serves without them."""
    usable = []
    for path in config.output.dictionary_paths:
        if os.access(path, os.R_OK):
            usable.append(path)
        else:
            _log.error("cannot read data dictionary %s, going on without it", path)
    return replace(config, output=replace(config.output, dictionary_paths=tuple(usable)))


def with_credentials(config: Config) -> Config:
    """Complete the TLS policy while the terminal is there to ask for the password of the key."""
    tls = config.network.tls
    if tls is None:
        return config
    from fastscp.tls.context import prepare  # noqa: PLC0415 - ssl is slow to import

    return replace(config, network=replace(config.network, tls=prepare(tls)))


def worker_settings(config: Config) -> WorkerSettings:
    """Make what needs the privileges of the start."""
    if config.network.tls is None:
        return WorkerSettings()
    from fastscp.tls.context import build_context  # noqa: PLC0415 - ssl is slow to import

    return WorkerSettings(tls_context=build_context(config.network.tls))


def preload(config: Config) -> None:
    """Load once, before the forks, what every worker would load for itself."""
    from fastscp.dicom.rewrite import shared_dictionary  # noqa: PLC0415 - an inetd start does not always need it

    if not config.output.bit_preserving:
        shared_dictionary(config.output.dictionary_paths)


def usable_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0))
