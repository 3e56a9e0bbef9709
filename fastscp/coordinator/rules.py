"""What the coordinator knows of the service and of each section: the rules that studies and hooks go by.

A reload brings new ones: the acceptor process encodes them (``encoded_rules``), and the coordinator that runs reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fastscp import jsontext
from fastscp.commitment.policy import CommitmentPolicy, decoded_policy
from fastscp.config import Config
from fastscp.store.own_paths import OwnPaths
from fastscp.study.policy import HookPolicy, LateObjects, Sorting, StudyPolicy


@dataclass(frozen=True)
class Rules:
    """What studies and hooks go by."""

    study: StudyPolicy
    hooks: HookPolicy
    output_directory: str
    ignore: bool  #: objects are not stored
    keeps_studies: bool


@dataclass(frozen=True)
class AllRules:
    """Those of the service, "", and of each section; of a section that is not there any more those of the service count."""

    by_sender: Mapping[str, Rules]
    own_directories: tuple[str, ...]  #: of the service, none of a study
    own_files: tuple[str, ...]
    commitment: CommitmentPolicy | None = None  #: how requestors are told

    def of(self, sender: str) -> Rules:
        """Return the rules of a section."""
        return self.by_sender.get(sender) or self.by_sender[""]

    @functools.cached_property
    def synchronous(self) -> bool:
        """Whether anybody waits for hooks."""
        return any(one.hooks.synchronous for one in self.by_sender.values())

    def own(self, log_files: tuple[str, ...]) -> OwnPaths:
        """Return what no study may be called."""
        return OwnPaths(self.own_directories, (*self.own_files, *log_files))


def rules_of(config: Config) -> AllRules:
    """Return the rules of a configuration."""
    named = {"": config, **config.by_sender}
    return AllRules({name: Rules(own.study, own.hooks, own.store.output_directory, own.store.ignore, own.keeps_studies)
                     for name, own in named.items()},
                    config.own_directories, config.own_files, config.commitment)


def encoded_rules(config: Config) -> bytes:
    """Return the rules of a configuration as octets."""
    rules = rules_of(config)
    return jsontext.dumps({
        "by_sender": {name: {**asdict(one), "study": {**asdict(one.study), "sorting": one.study.sorting.value,
                                                     "on_late": one.study.on_late.value}}
                      for name, one in rules.by_sender.items()},
        "own_directories": rules.own_directories, "own_files": rules.own_files,
        "commitment": None if rules.commitment is None else asdict(rules.commitment)})


def decoded_rules(octets: bytes) -> AllRules:
    """Return what ``encoded_rules`` has encoded."""
    content: dict[str, Any] = jsontext.loads(octets)
    return AllRules({name: Rules(_study(one.pop("study")), HookPolicy(**one.pop("hooks")), **one)
                     for name, one in content["by_sender"].items()},
                    tuple(content["own_directories"]), tuple(content["own_files"]),
                    None if content["commitment"] is None else decoded_policy(content["commitment"]))


def _study(fields: dict[str, Any]) -> StudyPolicy:
    return StudyPolicy(**{**fields, "sorting": Sorting(fields["sorting"]), "on_late": LateObjects(fields["on_late"])})
