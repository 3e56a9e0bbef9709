"""From a checked command line to the :class:`Config` every process is started with.

Profiles and TLS material are read elsewhere; what this module imports on demand is not needed for ``--help``.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Protocol

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from fastscp.access.policy import AccessPolicy
from fastscp.cli.build_commitment import commitment_policy, with_commitment
from fastscp.cli.build_fleet import fleet_policy
from fastscp.cli.build_objects import object_store_policy
from fastscp.cli.sizes import octets, percent
from fastscp.config.model import Config
from fastscp.config.network import (
    AddressFamily,
    FaultPolicy,
    NetworkPolicy,
    PeerVerification,
    ProcessMode,
    TLSPolicy,
)
from fastscp.dicom.dictionary import environment_paths
from fastscp.dicom.options import GroupLengths, OutputOptions, PrivateDictionary
from fastscp.errors import UsageError
from fastscp.log.policy import LogPolicy
from fastscp.metrics.policy import metrics_policy
from fastscp.proxy.policy import ProxyPolicy, proxy_policy
from fastscp.store.hidden import STATE_DIRECTORY, is_own
from fastscp.store.policy import FileNames, MinFree, OnDuplicate, StorePolicy, Sync
from fastscp.study import naming
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy
from fastscp.traces.policy import traces_policy
from fastscp.ul.policy import NegotiationPolicy

_LEVELS = {"--quiet": "fatal", "--verbose": "info", "--debug": "debug"}
_FAMILIES = {"--ipv4": AddressFamily.IPV4, "--ipv6": AddressFamily.IPV6, "--ip-auto": AddressFamily.DUAL}
_VERIFICATION = {
    "--require-peer-cert": PeerVerification.REQUIRE,
    "--verify-peer-cert": PeerVerification.VERIFY,
    "--ignore-peer-cert": PeerVerification.IGNORE,
}
#: UIDs of the transfer syntaxes a data set can be converted to (PS3.5 Annex A)
_OUTPUT_SYNTAXES = {
    "--write-xfer-little": "1.2.840.10008.1.2.1",
    "--write-xfer-big": "1.2.840.10008.1.2.2",
    "--write-xfer-implicit": "1.2.840.10008.1.2",
    "--write-xfer-deflated": "1.2.840.10008.1.2.1.99",
}
_GROUP_LENGTHS = {
    "--group-length-recalc": GroupLengths.RECALCULATE,
    "--group-length-create": GroupLengths.CREATE,
    "--group-length-remove": GroupLengths.REMOVE,
}
_SORTING = {
    "--sort-conc-studies": Sorting.CONCURRENT_STUDIES,
    "--sort-on-study-uid": Sorting.STUDY_UID,
    "--sort-on-patientname": Sorting.PATIENT_NAME,
}


class Settings(Protocol):
    """A checked command line (``fastscp.cli.parse.CommandLine``): options by their long flags."""

    @property
    def program(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> tuple[str, ...]: ...  # noqa: D102
    def has(self, long: str) -> bool: ...  # noqa: D102
    def effective(self, exclusive: str) -> str: ...  # noqa: D102
    def value(self, long: str) -> str | None: ...  # noqa: D102
    def number(self, long: str) -> int | None: ...  # noqa: D102
    def size(self, long: str) -> int | None: ...  # noqa: D102
    def values(self, long: str) -> tuple[str, ...]: ...  # noqa: D102
    def last(self, long: str) -> tuple[str, ...]: ...  # noqa: D102


def build(line: Settings) -> Config:
    """Compose the configuration of ``line``, which has been checked.

    Raises :class:`fastscp.errors.UsageError` when an association profile cannot be used, or options contradict each
    other by their values.
    """
    study = study_policy(line)
    return Config(
        network=network_policy(line),
        negotiation=negotiation_policy(line),
        output=output_options(line),
        store=store_policy(line),
        study=study,
        hooks=hook_policy(line),
        access=access_policy(line),
        log=log_policy(line),
        faults=fault_policy(line),
        metrics=metrics_policy(line.value("--metrics")),
        traces=traces_policy(line.value("--otlp")),
        commitment=commitment_policy(line),
        fleet=fleet_policy(line.value("--state"), line.number("--gateway-timeout")),
        object_store=object_store_policy(line, study),
    )


def log_policy(line: Settings) -> LogPolicy:
    """Describe level, configuration file and shape of the log."""
    level = line.value("--log-level") or _LEVELS.get(line.effective("verbosity"), "warn")
    return LogPolicy(
        level=level.lower(),
        config_file=line.value("--log-config"),
        json=line.has("--log-json"),
        presentation_contexts=line.has("--verbose-pc"),
        application=line.program,
    )


def network_policy(line: Settings) -> NetworkPolicy:
    """Describe the listening side, process mode and time limits."""
    defaults, networks = NetworkPolicy(), line.value("--proxy-protocol")
    socket_timeout_s = _seconds(line, "--socket-timeout", 60.0)
    return NetworkPolicy(
        port=int(line.parameters[0]) if line.parameters else None,
        address_family=_FAMILIES[line.effective("ip-version")],
        mode=_process_mode(line),
        workers=line.number("--workers"),
        max_associations=line.number("--max-associations"),
        max_per_host=line.number("--max-associations-per-host"),
        max_per_title=line.number("--max-associations-per-aet"),
        association_timeout_s=line.number("--association-timeout"),
        object_timeout_s=line.number("--object-timeout"),
        acse_timeout_s=_seconds(line, "--acse-timeout", defaults.acse_timeout_s),
        dimse_timeout_s=line.number("--dimse-timeout"),
        socket_timeout_s=socket_timeout_s if socket_timeout_s > 0 else None,
        proxies=ProxyPolicy() if networks is None else proxy_policy(networks),
        lookup_hosts=not line.has("--disable-host-lookup"),
        umask=umask(line.value("--umask")),
        user=line.value("--user"),
        drain_timeout_s=_seconds(line, "--drain-timeout", defaults.drain_timeout_s),
        hang_timeout_s=_seconds(line, "--hang-timeout", defaults.hang_timeout_s or 0.0) or None,
        tls=tls_policy(line) if line.has("--enable-tls") else None,
    )


def umask(value: str | None) -> int | None:
    """Return a mask of permissions, given as shells take it. Raises UsageError for anything else."""
    if value is None:
        return None
    if not re.fullmatch("0*[0-7]{1,3}", value):
        raise UsageError(f"Invalid value for option --umask: {value} is not an octal number up to 777", option="--umask")
    return int(value, 8)


def _process_mode(line: Settings) -> ProcessMode:
    if line.has("--inetd"):
        return ProcessMode.INETD
    return ProcessMode.SINGLE if line.has("--single-process") else ProcessMode.POOL


def _seconds(line: Settings, long: str, default: float) -> float:
    value = line.number(long)
    return default if value is None else value


def tls_policy(line: Settings) -> TLSPolicy:
    """Keys, certificates, profile and verification of ``--enable-tls``."""
    private_key, certificate = line.last("--enable-tls")
    seed = line.value("--seed")
    crl_files = line.values("--add-crl-file")
    return TLSPolicy(
        private_key_file=private_key,
        certificate_file=certificate,
        password="" if line.has("--null-passwd") else line.value("--use-passwd"),
        der=line.has("--der-keys"),
        ca_files=line.values("--add-cert-file"),
        ca_directories=line.values("--add-cert-dir"),
        crl_files=crl_files,
        crl_check=bool(crl_files) or line.has("--enable-crl-vfy"),
        crl_check_all=line.has("--enable-crl-all"),
        profile=line.effective("security-profile").removeprefix("--profile-"),
        ciphers=line.values("--cipher"),
        dh_parameters_file=line.value("--dhparam"),
        seed_file=seed,
        write_seed_file=seed if line.has("--write-seed") else line.value("--write-seed-file"),
        verification=_VERIFICATION[line.effective("peer-authentication")],
        expected_sni=line.value("--expect-sni"),
    )


def negotiation_policy(line: Settings) -> NegotiationPolicy:
    """Decide what is accepted: by an association profile, or by one of the preferences."""
    if line.has("--config-file"):
        from fastscp.config.profiles import load_profile  # noqa: PLC0415 - only needed with -xf

        path, profile = line.last("--config-file")
        try:
            policy = load_profile(path, profile)
        except UsageError as error:
            raise UsageError(str(error), error.exit_status, option="--config-file") from error
    else:
        from fastscp.config.negotiation import standard_policy  # noqa: PLC0415 - loads the table of UIDs

        preference = line.effective("preference").removeprefix("--")
        policy = standard_policy(preference, promiscuous=line.has("--promiscuous"))
    if line.has("--storage-commitment"):
        policy = with_commitment(policy)
    title = line.value("--aetitle")
    max_pdu = line.number("--max-pdu")
    return replace(
        policy,
        ae_title=policy.ae_title if title is None else title,
        max_pdu_length=policy.max_pdu_length if max_pdu is None else max_pdu,
        refuse=line.has("--refuse"),
        require_called=line.has("--require-called-aet"),
        reject_without_implementation_class_uid=line.has("--reject"),
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )


def output_options(line: Settings) -> OutputOptions:
    """How data sets are encoded in files."""
    padding = line.last("--padding-create")
    file_padding, item_padding = map(int, padding) if padding else (0, 0)
    level = line.number("--compression-level")
    inflated = line.size("--max-inflated-size")
    return OutputOptions(
        bit_preserving=line.has("--bit-preserving"),
        file_format=not line.has("--write-dataset"),
        transfer_syntax=_OUTPUT_SYNTAXES.get(line.effective("output-transfer-syntax")),
        new_vrs=not line.has("--disable-new-vr"),
        group_lengths=_GROUP_LENGTHS[line.effective("group-length")],
        explicit_lengths=not line.has("--length-undefined"),
        file_padding=file_padding,
        item_padding=item_padding,
        compression_level=6 if level is None else level,
        convert_un=line.has("--convert-un"),
        max_inflated_octets=OutputOptions.max_inflated_octets if inflated is None else inflated,
        dictionary_paths=tuple(environment_paths(os.environ.get("DCMDICTPATH"))),
        private_dictionary=PrivateDictionary((line.value("--private-dictionary") or "automatic").lower()),
    )


def store_policy(line: Settings) -> StorePolicy:
    """Where files go and what they are called."""
    quarantine = line.value("--quarantine")
    names = FileNames.UNIQUE if line.has("--unique-filenames") else FileNames.INSTANCE_UID
    return StorePolicy(
        output_directory=normalize_directory(line.value("--output-directory") or "."),
        file_names=FileNames.TIME if line.has("--timenames") else names,
        extension=line.value("--filename-extension") or "",
        on_duplicate=OnDuplicate((line.value("--on-duplicate") or "replace").lower()),
        ignore=line.has("--ignore"),
        sync=_sync(line),
        min_free=_min_free(line.value("--min-free")),
        max_object_octets=line.size("--max-object-size") or 0,
        quarantine=None if quarantine is None else normalize_directory(quarantine),
        uid_padding=line.has("--uid-padding"),
    )


def _sync(line: Settings) -> Sync:
    value = line.value("--sync")
    return Sync.NONE if value is None else Sync(value.lower())


def _min_free(value: str | None) -> MinFree | None:
    """Return what is to stay free; None where it is nothing."""
    if value is None:
        return None
    wanted = MinFree(value, octets(value) or 0, percent(value) or 0.0)
    return wanted if wanted.octets or wanted.percent else None


def normalize_directory(name: str) -> str:
    """Drop the slashes at the end of ``name``; a name of nothing but slashes is the root."""
    return name.rstrip("/") or "/"


def study_policy(line: Settings) -> StudyPolicy:
    """Sorting and the end of a study.

    Raises :class:`fastscp.errors.UsageError` when late objects would be appended to what was handed over.
    """
    late = line.value("--on-late")
    completed = line.value("--completed-directory")
    if completed is not None and late is not None and LateObjects(late.lower()) is LateObjects.APPEND:
        raise UsageError("--completed-directory not allowed with --on-late append", option="--completed-directory")
    prefix = line.value("--sort-conc-studies") or line.value("--sort-on-study-uid") or ""
    if is_own(naming.last_component(prefix)):
        raise UsageError(f"Invalid prefix {prefix}: names that begin with {STATE_DIRECTORY} are the service's own",
                         option=line.effective("sorting"))
    return StudyPolicy(
        sorting=_SORTING.get(line.effective("sorting"), Sorting.NONE),
        prefix=prefix,
        rename=line.has("--rename-on-eostudy"),
        timeout_s=line.number("--eostudy-timeout"),
        max_age_s=line.number("--study-max-age"),
        on_late=LateObjects.NEW_STUDY if late is None else LateObjects(late.lower()),
        literal_rule=line.has("--single-process"),
        manifest=line.has("--study-manifest"),
        completed_directory=None if completed is None else normalize_directory(completed),
        state_directory=line.value("--state-dir"),
        durable=_sync(line) is not Sync.NONE,
        names_by_character_set=line.has("--transliterate-names"),
    )


def hook_policy(line: Settings) -> HookPolicy:
    """Commands, their limits and the event log."""
    jobs, waiting = line.number("--hook-jobs"), line.number("--max-waiting-hooks")
    return HookPolicy(
        on_reception=line.value("--exec-on-reception"),
        on_end_of_study=line.value("--exec-on-eostudy"),
        on_end_of_series=line.value("--exec-on-eoseries"),
        argv=line.has("--exec-argv"),
        synchronous=line.has("--exec-sync"),
        jobs=HookPolicy.jobs if jobs is None else jobs,
        timeout_s=line.number("--hook-timeout"),
        retries=line.number("--hook-retries") or 0,
        most_waiting=HookPolicy.most_waiting if waiting is None else waiting,
        event_log=line.value("--event-log"),
        event_digest=line.has("--event-digest"),
    )


def access_policy(line: Settings) -> AccessPolicy:
    """Host access control."""
    return AccessPolicy(
        enabled=line.has("--access-control"),
        allow_file=_given(line, "--hosts-allow", AccessPolicy.allow_file),
        deny_file=_given(line, "--hosts-deny", AccessPolicy.deny_file),
        allow_named=line.has("--hosts-allow"),
        deny_named=line.has("--hosts-deny"),
    )


def _given(line: Settings, long: str, default: str) -> str:
    value = line.value(long)
    return default if value is None else value


def fault_policy(line: Settings) -> FaultPolicy:
    """Delays and aborts on demand."""
    return FaultPolicy(
        sleep_after_s=_seconds(line, "--sleep-after", 0.0), sleep_during_s=_seconds(line, "--sleep-during", 0.0),
        abort_after=line.has("--abort-after"), abort_during=line.has("--abort-during"))
