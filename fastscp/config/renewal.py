"""What a reload changes of a configuration, and what it leaves as it was: that belongs to the start. Pure."""

from __future__ import annotations

from dataclasses import replace

from fastscp.config.model import Config
from fastscp.config.network import TLSPolicy
from fastscp.errors import UsageError

#: fields of policies that nothing but a start decides, by the option to name
_NETWORK = {
    "port": "port", "address_family": "the IP version", "mode": "the process mode", "workers": "workers",
    "max_associations": "max-associations", "max_per_host": "max-associations-per-host",
    "max_per_title": "max-associations-per-aet", "lookup_hosts": "disable-host-lookup", "umask": "umask", "user": "user",
    "drain_timeout_s": "drain-timeout", "hang_timeout_s": "hang-timeout",
}
_HOOKS = {
    "jobs": "hook-jobs", "retries": "hook-retries", "timeout_s": "hook-timeout", "most_waiting": "max-waiting-hooks",
    "event_log": "event-log",
}
#: likewise, of policies as a whole
_WHOLE = {"access": "access", "log": "log", "metrics": "metrics", "traces": "traces", "fleet": "state", "object_store": "object-store"}
_STUDY = {"state_directory": "state-dir", "literal_rule": "the process mode", "durable": "sync"}


def renewed(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Return ``new`` with what only a start can change as in ``old``, and the names of what would have been different.

    Raises UsageError where ``new`` asks for what the processes that run were not started for.
    """
    kept = [name for policy, names in (("network", _NETWORK), ("hooks", _HOOKS), ("study", _STUDY))
            for field, name in names.items() if getattr(getattr(old, policy), field) != getattr(getattr(new, policy), field)]
    if _without_password(old.network.tls) != _without_password(new.network.tls):
        kept.append("TLS")
    kept += [name for policy, name in _WHOLE.items() if getattr(old, policy) != getattr(new, policy)]
    for policy in ("fleet", "object_store"):  # what they need of studies, nobody has looked for where they are not asked for
        if getattr(old, policy) is not None and getattr(new, policy) is None:
            raise UsageError(f"the service was started with --{_WHOLE[policy]}, which a reload cannot end: restart it")
    whole = _with(old, new)
    whole = replace(whole, by_sender={name: _with(old, own) for name, own in new.by_sender.items()})
    for what, started, wanted in (("studies", keeps_studies(old), keeps_studies(whole)),
                                  ("storage commitment", old.commitment is not None, whole.commitment is not None),
                                  ("host names", old.names_wanted, whole.names_wanted)):
        if wanted and not started:
            raise UsageError(f"the service was started without anything that needs {what}: restart it")
    return whole, sorted(set(kept))


def _without_password(tls: TLSPolicy | None) -> TLSPolicy | None:
    return None if tls is None else replace(tls, password=None)


def _with(old: Config, new: Config) -> Config:
    """Return ``new`` with what only a start can change as in ``old``."""
    return replace(
        new, **{policy: getattr(old, policy) for policy in _WHOLE},
        network=replace(new.network, tls=old.network.tls, **{field: getattr(old.network, field) for field in _NETWORK}),
        hooks=replace(new.hooks, **{field: getattr(old.hooks, field) for field in _HOOKS}),
        store=replace(new.store, sync=old.store.sync),
        study=replace(new.study, **{field: getattr(old.study, field) for field in _STUDY}),
        output=replace(new.output, dictionary_paths=old.output.dictionary_paths))


def keeps_studies(config: Config) -> bool:
    """Tell whether the service tracks studies for anybody."""
    return any(own.keeps_studies for own in config.every)
