"""Runs the service in the configured mode: pool, one association at a time, or one from inetd.

This is where the processes are put together: the acceptor process knows nothing of workers and coordinators but
what ``Children`` says, and these two know nothing of each other.

The order of a start: what can fail for a reason the operator can mend (port, directory, keys, rules) comes
before the first fork; privileges are dropped after the port is bound and the keys are read.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy, ProcessMode, TLSPolicy
from fastscp.dicom.options import OutputOptions
from fastscp.errors import FastscpError, ProcessError
from fastscp.log.names import APPLICATION, NETWORK
from fastscp.log.text import printable
from fastscp.net.listener import (
    connections_held,
    connections_per_worker,
    open_listener,
    raise_descriptor_limit,
    tune,
)
from fastscp.net.systemd import adopt_listeners, watchdog_s
from fastscp.process.renounce import renounce_new_privileges
from fastscp.process.slots import Slots
from fastscp.process.titles import set_title
from fastscp.service.tidying import remove_leftovers
from fastscp.store.policy import StorePolicy
from fastscp.worker.limits import Places
from fastscp.worker.process import Worker, WorkerSettings

if TYPE_CHECKING:
    import socket

    from fastscp.acceptor.policy import AcceptorPolicy, Children, WorkerStart
    from fastscp.process.heartbeat import Heartbeat

_log = logging.getLogger(APPLICATION)
_network_log = logging.getLogger(NETWORK)


def run(config: Config) -> int:
    """Serve until told to stop; return the exit status of the program."""
    try:
        config = completed(config)
        if config.network.umask is not None:
            os.umask(config.network.umask)
        if config.network.mode is not ProcessMode.INETD:
            remove_leftovers(config.store)
        settings = worker_settings(config.network.tls)
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


def completed(config: Config) -> Config:
    """Settle what only the start can: which dictionaries there are, and the password of the key."""
    dictionaries = usable_dictionaries(config.output.dictionary_paths)
    return replace(config, output=replace(config.output, dictionary_paths=dictionaries),
                   network=replace(config.network, tls=with_credentials(config.network.tls)))


def serve(config: Config, settings: WorkerSettings) -> int:
    """Listen and run the acceptor process with its workers and the coordinator."""
    from fastscp.acceptor.process import AcceptorProcess  # noqa: PLC0415 - an association from inetd has none
    from fastscp.acceptor.resolver import Resolver  # noqa: PLC0415 - as the process that owns it

    network = config.network
    listeners = adopt_listeners()
    for listener in listeners:
        tune(listener)
    if not listeners:
        if network.port is None:
            raise ProcessError("no port to listen on")
        listeners = [open_listener(network.port, network.address_family)]
    descriptors = raise_descriptor_limit()
    settings = replace(settings, places=shared_places(network))
    policy, started = acceptor_policy(config, descriptors), children(config, settings)
    preload(config.output)  # all code and tables are read while the files they are in can be
    if network.user is not None:
        from fastscp.service.privileges import drop_privileges  # noqa: PLC0415 - only with --user

        drop_privileges(network.user)
    set_title(f"acceptor [{listeners[0].getsockname()[1]}]")
    announce([address_text(listener.getsockname()) for listener in listeners], policy.workers, config.store,
             tls=network.tls is not None)
    resolver = Resolver() if config.looks_up_hosts else None
    return AcceptorProcess(policy, listeners, started, resolver=resolver, watchdog_s=watchdog_s()).run()


def announce(addresses: list[str], workers: int, store: StorePolicy, *, tls: bool) -> None:
    """Say at the start where and how the service listens."""
    where = "objects are ignored" if store.ignore else f"output directory {printable(store.output_directory)}"
    _log.info("listening on %s (%s), %d worker%s, %s", ", ".join(addresses), "TLS" if tls else "no TLS", workers,
              "" if workers == 1 else "s", where)


def address_text(address: tuple[object, ...]) -> str:
    """Return a socket address as one writes it."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def acceptor_policy(config: Config, descriptors: int) -> AcceptorPolicy:
    """Return what concerns the acceptor process; a process may open ``descriptors`` descriptors."""
    from fastscp.acceptor.policy import AcceptorPolicy  # noqa: PLC0415 - as in serve

    network = config.network
    single = network.mode is ProcessMode.SINGLE
    workers = 1 if single else network.workers or usable_cpus()
    return AcceptorPolicy(
        workers=workers,
        max_associations=1 if single else network.max_associations,
        connections_per_worker=connections_per_worker(descriptors),
        connections_held=connections_held(descriptors, workers),
        hang_timeout_s=network.hang_timeout_s,
        drain_timeout_s=network.drain_timeout_s,
        names_wanted=config.names_wanted,
        access=config.access,
        tells_events=config.tells_events,
    )


def children(config: Config, settings: WorkerSettings) -> Children:
    """Return what the acceptor process starts."""
    from fastscp.acceptor.policy import Children  # noqa: PLC0415 - as in serve
    from fastscp.coordinator import process as coordinator  # noqa: PLC0415 - imported once, before the forks

    current = [settings]  #: what a worker that is forked now begins with

    def worker(start: WorkerStart) -> int:
        renounce_new_privileges()
        return run_worker(start, config, current[0])

    def run_coordinator(control: socket.socket, heartbeat: Heartbeat) -> int:
        return coordinator.main(control, config, heartbeat)

    def reload() -> None:
        current[0] = replace(worker_settings(config.network.tls), places=settings.places)

    return Children(worker, run_coordinator, reload)


def run_worker(start: WorkerStart, config: Config, settings: WorkerSettings) -> int:
    """Be a worker process; return its exit status."""
    if start.predecessor:
        remove_leftovers(config.store)
    try:
        return Worker(start.control, config, settings, heartbeat=start.heartbeat).run()
    except (FastscpError, OSError) as error:
        _network_log.critical("worker %d cannot go on: %s", start.index + 1, error)
        return 1


def usable_dictionaries(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out data dictionaries that are not there; like storescp, ours serves without them."""
    usable = []
    for path in paths:
        if os.access(path, os.R_OK):
            usable.append(path)
        else:
            _log.error("cannot read data dictionary %s, going on without it", path)
    return tuple(usable)


def with_credentials(tls: TLSPolicy | None) -> TLSPolicy | None:
    """Complete the TLS policy while the terminal is there to ask for the password of the key."""
    if tls is None:
        return None
    from fastscp.tls.context import prepare  # noqa: PLC0415 - ssl is slow to import

    return prepare(tls)


def worker_settings(tls: TLSPolicy | None) -> WorkerSettings:
    """Make what needs the privileges of the start."""
    if tls is None:
        return WorkerSettings()
    from fastscp.tls.context import build_context  # noqa: PLC0415 - ssl is slow to import

    return WorkerSettings(tls_context=build_context(tls))


def shared_places(network: NetworkPolicy) -> Places:
    """Make the places that the workers share, as far as they are limited."""
    return Places(None if network.max_per_host is None else Slots(network.max_per_host),
                  None if network.max_per_title is None else Slots(network.max_per_title))


def preload(output: OutputOptions) -> None:
    """Load once, before the forks, what every worker would load for itself."""
    from fastscp.dicom.rewrite import shared_dictionary  # noqa: PLC0415 - an inetd start does not always need it

    if not output.bit_preserving:
        shared_dictionary(output.dictionary_paths, output.private_dictionary)


def usable_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0))
