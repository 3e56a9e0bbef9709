"""Opens the durable state at the start of the coordinator: of studies, or of hooks alone."""

from __future__ import annotations

import logging
import os
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from fastscp.config import Config
from fastscp.config.network import ProcessMode
from fastscp.coordinator.beside import Beside
from fastscp.coordinator.committing import Committing
from fastscp.coordinator.deferred_state import DeferredState
from fastscp.coordinator.engine import Engine
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.index import Index
from fastscp.coordinator.retention import Retention
from fastscp.coordinator.rules import rules_of
from fastscp.coordinator.shipping import Shipping, hooks_of
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.coordinator.state_directory import StateDirectory
from fastscp.coordinator.upload_journal import UploadJournal
from fastscp.coordinator.upload_rows import UploadRows
from fastscp.coordinator.uploading import Uploading
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process.loop import Loop
from fastscp.store.hidden import state_path
from fastscp.study import naming
from fastscp.study.policy import Sorting
from fastscp.study.state import HookState, StudyState

#: beyond its drain, another service has that long to die
DEATH_S = 2.0


def open_state(config: Config, pause: Callable[[float], None] = time.sleep) -> SqliteState:
    """Return the durable state, in a directory that is this process's alone from here on.

    A service that still drains is waited for: its associations have one drain timeout, its hooks another.
    """
    if config.network.mode is ProcessMode.INETD:  # lives as long as its one association
        return SqliteState(None)
    check_apart(state_path(config.study.state_directory, config.store.output_directory), config)
    directory = StateDirectory(config.study.state_directory, config.store.output_directory, pause=pause,
                               patience_s=2 * config.network.drain_timeout_s + DEATH_S)
    return SqliteState(directory.path, engine=partial(Engine, durable=config.study.durable, prepare=directory.make_again),
                       released=directory.release)


def open_committing(config: Config, loop: Loop) -> Committing | None:
    """Return the coordinator's part in storage commitment, where that is served."""
    policy = config.commitment
    if policy is None:
        return None
    directory = state_path(config.study.state_directory, config.store.output_directory)
    tls = config.network.tls
    return Committing(loop, Index(directory, durable=config.study.durable, wall=time.time), {
        "kind": "begin", "directory": str(directory.absolute()), "policy": asdict(policy), "durable": config.study.durable, "level": logging.getLogger(APPLICATION).getEffectiveLevel(),
        "tls": {} if tls is None else {
            "certificate_file": tls.certificate_file, "private_key_file": tls.private_key_file, "password": tls.password,
            "ca_files": tls.ca_files, "ca_directories": tls.ca_directories}})


def open_beside(config: Config, loop: Loop, state: SqliteState | None) -> Beside:
    """Return what works beside the coordinator."""
    shipping = open_shipping(config, loop, state)
    return Beside(open_committing(config, loop), shipping, open_uploading(config, loop, state, shipping))


def open_shipping(config: Config, loop: Loop, state: SqliteState | None) -> Shipping | None:
    """Return the coordinator's part in a fleet, where it is in one."""
    fleet = config.fleet
    if fleet is None or state is None or state.directory is None:
        return None
    return Shipping(loop, FleetJournal(state), {
        "kind": "begin", "url": fleet.url, "gateway": _gateway(state), "limit_s": fleet.limit_s,
        "file": str((state.directory / FILE_NAME).absolute()), "hooks": hooks_of(rules_of(config)), "jobs": config.hooks.jobs,
        "timeout_s": config.hooks.timeout_s, "retries": config.hooks.retries,
        "stored": config.object_store is not None, "level": logging.getLogger(APPLICATION).getEffectiveLevel()})


def _gateway(state: StudyState) -> str:
    """Return the name of this gateway, which it keeps."""
    name = state.gateway(f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}")
    state.commit()
    return name


def open_uploading(config: Config, loop: Loop, state: SqliteState | None, shipping: Shipping | None) -> Uploading | None:
    """Return the coordinator's part in an object store, where there is one."""
    policy = config.object_store
    if policy is None or state is None or state.directory is None:
        return None
    rows = UploadRows(state.engine)
    return Uploading(loop, UploadJournal(rows, None if shipping is None else shipping.journal), Retention(rows, policy.keep_local_s), {
        "kind": "begin", "bucket": policy.bucket, "prefix": policy.prefix, "endpoint": policy.endpoint,
        "file": str((state.directory / FILE_NAME).absolute()), "fleet": None if config.fleet is None else config.fleet.url,
        "gateway": "" if shipping is None else _gateway(state), "level": logging.getLogger(APPLICATION).getEffectiveLevel()})


def check_apart(directory: Path, config: Config) -> None:
    """Raise ``ProcessError`` where study directories would be made in the state directory, among its files."""
    if config.study.sorting is Sorting.NONE:
        return
    parent = naming.parent_directory(config.study, config.store.output_directory)
    if os.path.realpath(directory) == os.path.realpath(parent):
        raise ProcessError(f"state directory {directory} is where study directories are made; give it one of its own")


def open_hook_state(config: Config) -> HookState:
    """Return the state of hooks where no study is tracked: the same file, made when there is something to keep."""
    if config.network.mode is ProcessMode.INETD:
        return DeferredState(lambda: SqliteState(None), exists=False)
    file = state_path(config.study.state_directory, config.store.output_directory) / FILE_NAME
    exists = file.exists() and config.hooks.on_reception is not None

    def make() -> HookState:
        directory = StateDirectory(config.study.state_directory, config.store.output_directory)
        if file.exists() and not exists:
            directory.release()
            raise ProcessError(f"{directory.path} was used by another service meanwhile")
        return SqliteState(directory.path, engine=partial(Engine, durable=config.study.durable, prepare=directory.make_again),
                           released=directory.release)

    return DeferredState(make, exists=exists)
