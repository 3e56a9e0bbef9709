"""Runs the service in the configured mode: pool, one association at a time, or one from inetd.

This is where the processes are put together: the acceptor process knows nothing of workers and coordinators but
what ``Children`` says, and these two know nothing of each other.

The order of a start: what can fail for a reason the operator can mend (port, directory, keys, rules) comes
before the first fork; privileges are dropped after the port is bound and the keys are read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy, ProcessMode, TLSPolicy
from fastscp.config.renewal import renewed
from fastscp.coordinator.rules import encoded_rules
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
from fastscp.process.flag import Flag
from fastscp.process.loop import Loop
from fastscp.process.renounce import renounce_new_privileges
from fastscp.process.slots import MOST, Slots
from fastscp.process.titles import set_title
from fastscp.service.early import ignore_orders
from fastscp.service.inheritance import adopt_predecessor, copy_of_key, with_inherited_key
from fastscp.service.monitoring import Metrics, monitor_child, open_metrics, places_of
from fastscp.service.owner import no_successor
from fastscp.service.tidying import remove_leftovers
from fastscp.store.policy import StorePolicy
from fastscp.worker.context import Shared
from fastscp.worker.limits import Places
from fastscp.worker.process import Worker, WorkerSettings

if TYPE_CHECKING:
    import socket

    from fastscp.acceptor.measures import Measures
    from fastscp.acceptor.policy import AcceptorPolicy, Bequest, Children, WorkerStart
    from fastscp.acceptor.predecessor import Predecessor
    from fastscp.process.heartbeat import Heartbeat
    from fastscp.service.owner import Owner

_log = logging.getLogger(APPLICATION)
_network_log = logging.getLogger(NETWORK)


def run(config: Config, again: Callable[[], Config] | None = None, owner: Owner | None = None) -> int:
    """Serve until told to stop; return the exit status of the program.

    ``again`` reads the configuration again, for a reload; it raises FastscpError. ``owner`` is the program that embeds the service.
    """
    ignore_orders()
    try:
        predecessor = adopt_predecessor()
        inherited = None if predecessor is None else predecessor.inheritance.bequest
        config = completed(config, inherited)
        if config.network.umask is not None:
            os.umask(config.network.umask)
        if config.network.mode is not ProcessMode.INETD:
            for own in config.every:
                remove_leftovers(own.store)
        settings = worker_settings(config.network.tls, None if inherited is None else inherited.key)
        if config.network.mode is ProcessMode.INETD:
            from fastscp.service.inetd import serve_descriptor  # noqa: PLC0415 - one mode's own module

            return serve_descriptor(config, settings)
        return serve(config, settings, predecessor, again, owner)
    except FastscpError as error:
        _log.log(logging.ERROR if isinstance(error, ProcessError) else logging.CRITICAL, "%s", error)
        if owner is not None:
            owner.failed(str(error))
        return 1


def completed(config: Config, inherited: Bequest | None = None) -> Config:
    """Settle what only the start can: which dictionaries there are, and the password of the key, unless it is inherited."""
    dictionaries = usable_dictionaries(config.output.dictionary_paths)
    return config.settled(dictionaries, with_credentials(config.network.tls, inherited))


def serve(config: Config, settings: WorkerSettings, predecessor: Predecessor | None = None,
          again: Callable[[], Config] | None = None, owner: Owner | None = None) -> int:
    """Listen and run the acceptor process with its workers and the coordinator; ``predecessor`` is whom it follows."""
    from fastscp.acceptor.process import AcceptorProcess  # noqa: PLC0415 - an association from inetd has none
    from fastscp.acceptor.resolver import Resolver  # noqa: PLC0415 - as the process that owns it

    network = config.network
    inherited = None if predecessor is None else predecessor.inheritance.bequest
    listeners = adopt_listeners() if inherited is None else list(inherited.listeners)
    for listener in listeners:
        tune(listener)
    if not listeners:
        if network.port is None:
            raise ProcessError("no port to listen on")
        listeners = [open_listener(network.port, network.address_family)]
    descriptors = raise_descriptor_limit()
    metrics = open_metrics(config.metrics, inherited)
    settings = replace(settings, shared=shared_by_workers(config.network, config.stores, inherited, metrics,
                                                          sections=again is not None))
    policy = acceptor_policy(config, descriptors)
    started = children(config, settings, None if inherited is None else inherited.key, again, metrics)
    preload(config)  # all code and tables are read while the files they are in can be
    if network.user is not None:
        from fastscp.service.privileges import drop_privileges  # noqa: PLC0415 - only with --user

        drop_privileges(network.user)
    set_title(f"acceptor [{listeners[0].getsockname()[1]}]")
    announce([address_text(listener.getsockname()) for listener in listeners], policy.workers, config.store,
             tls=network.tls is not None)
    resolver = Resolver() if config.looks_up_hosts else None
    measures = acceptor_measures(metrics)
    if owner is None:
        return AcceptorProcess(policy, listeners, started, resolver=resolver, predecessor=predecessor, measures=measures,
                               watchdog_s=watchdog_s()).run()
    owner.listening(listeners[0].getsockname()[1])
    loop = Loop()
    acceptor = AcceptorProcess(policy, listeners, started, resolver=resolver, measures=measures, loop=loop, notify=owner.notify,
                               start_program=no_successor)
    owner.watch(loop, acceptor)
    return acceptor.run()


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
        proxies=network.proxies,
        tells_events=config.tells_events,
    )


def children(config: Config, settings: WorkerSettings, key: int | None = None,
             again: Callable[[], Config] | None = None, metrics: Metrics | None = None) -> Children:
    """Return what the acceptor process starts; ``key`` is an inherited copy of the TLS key.

    ``again`` reads the configuration again, where it can have changed.
    """
    from fastscp.acceptor.policy import Children  # noqa: PLC0415 - as in serve
    from fastscp.coordinator import process as coordinator  # noqa: PLC0415 - imported once, before the forks

    current = [(config, settings)]  #: what a process that is forked now begins with

    def worker(start: WorkerStart) -> int:
        renounce_new_privileges()
        return run_worker(start, *current[0])

    def run_coordinator(control: socket.socket, heartbeat: Heartbeat) -> int:
        return coordinator.main(control, current[0][0], heartbeat, settings.shared.board)

    def reload() -> bytes | None:
        now, shared = current[0][0], current[0][1].shared
        if again is None:
            current[0] = now, replace(worker_settings(config.network.tls), shared=shared)
            return None
        now, kept = renewed(now, again())
        current[0] = now, replace(worker_settings(config.network.tls), shared=shared_anew(shared, now.stores))
        for name in kept:
            _log.warning("%s stays as it was until the next start", name)
        return encoded_rules(now)

    monitor = None
    if metrics is not None and config.metrics is not None:
        monitor = monitor_child(metrics, config.metrics, lambda: current[0][0].store, lambda: places_of(
            current[0][0].store, config.study.state_directory, {name: own.store for name, own in current[0][0].by_sender.items()}))
    return Children(worker, run_coordinator, reload, bequest(config.network, settings.shared.places, key, metrics), monitor)


def bequest(network: NetworkPolicy, places: Places, key: int | None = None, metrics: Metrics | None = None) -> Bequest:
    """Return what a program that takes over inherits beside the listening sockets.

    ``key`` is the inherited copy of the TLS key. One is needed where the user changes, who may be able to read no other.
    """
    from fastscp.acceptor.policy import Bequest  # noqa: PLC0415 - as in serve

    if network.tls is not None and network.user is not None and key is None:
        key = copy_of_key(network.tls)
    return Bequest((), password=None if network.tls is None else network.tls.password, key=key,
                   hosts=None if places.hosts is None else places.hosts.fileno(),
                   titles=None if places.titles is None else places.titles.fileno(),
                   sections=None if places.sections is None else places.sections.fileno(),
                   board=None if metrics is None else metrics.board.fileno(),
                   metrics=None if metrics is None else metrics.listener.fileno())


def run_worker(start: WorkerStart, config: Config, settings: WorkerSettings) -> int:
    """Be a worker process; return its exit status."""
    if start.predecessor:
        for own in config.every:
            remove_leftovers(own.store)
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


def with_credentials(tls: TLSPolicy | None, inherited: Bequest | None = None) -> TLSPolicy | None:
    """Complete the TLS policy while the terminal is there to ask for the password of the key."""
    if tls is None:
        return None
    from fastscp.tls.context import prepare  # noqa: PLC0415 - ssl is slow to import

    if inherited is None:
        return prepare(tls)
    prepared = prepare(with_inherited_key(replace(tls, password=inherited.password or tls.password), inherited.key))
    return replace(prepared, private_key_file=tls.private_key_file)


def worker_settings(tls: TLSPolicy | None, key: int | None = None) -> WorkerSettings:
    """Make what needs the privileges of the start; ``key`` is an inherited copy of the TLS key."""
    if tls is None:
        return WorkerSettings()
    from fastscp.tls.context import build_context  # noqa: PLC0415 - ssl is slow to import

    return WorkerSettings(tls_context=build_context(with_inherited_key(tls, key)))


def shared_by_workers(network: NetworkPolicy, stores: Mapping[str, StorePolicy], inherited: Bequest | None = None,
                      metrics: Metrics | None = None, *, sections: bool = False) -> Shared:
    """Make what the workers share, as far as it is wanted: with the places of a predecessor, if there is one.

    ``stores`` are those of the service ("") and of each section; ``sections`` tells whether there can be some.
    """
    hosts, titles, counted = (None, None, None) if inherited is None else (inherited.hosts, inherited.titles, inherited.sections)
    places = Places(None if network.max_per_host is None else Slots(network.max_per_host, hosts),
                    None if network.max_per_title is None else Slots(network.max_per_title, titles),
                    Slots(MOST, counted) if sections else None)
    return shared_anew(Shared(places, board=None if metrics is None else metrics.board), stores)


def shared_anew(shared: Shared, stores: Mapping[str, StorePolicy]) -> Shared:
    """Return what the workers share, with what other ``stores`` need."""
    flags = shared.short_of_room
    return replace(shared, short_of_room={name: flags[name] if name in flags else Flag() for name, store in stores.items()
                                          if store.min_free is not None})


def acceptor_measures(metrics: Metrics | None) -> Measures | None:
    """Return what the acceptor process counts with."""
    if metrics is None:
        return None
    from fastscp.acceptor.measures import ROLE, Measures  # noqa: PLC0415 - as in serve

    return Measures(metrics.board.claim(ROLE))


def preload(config: Config) -> None:
    """Load once, before the forks, what every worker would load for itself, and what may be another version later."""
    from fastscp.dicom.rewriter import shared_dictionary  # noqa: PLC0415 - an inetd start does not always need it

    if not all(own.output.bit_preserving for own in config.every):
        shared_dictionary(config.output.dictionary_paths, config.output.private_dictionary)
    if config.network.tls is not None:
        import fastscp.tls.transport  # noqa: PLC0415 - ssl is slow to import
    if any(own.study.names_by_character_set for own in config.every):
        import fastscp.study.transliterate  # noqa: F401, PLC0415 - imports pydicom


def usable_cpus() -> int:
    """CPUs this process may run on."""
    return len(os.sched_getaffinity(0))
