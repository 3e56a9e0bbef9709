"""What the options of storage commitment mean; a part of ``fastscp.cli.build``."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Protocol

from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy, commitment_peer
from fastscp.dicom.uids import STORAGE_COMMITMENT
from fastscp.errors import UsageError
from fastscp.ul.policy import AbstractSyntaxRule, NegotiationPolicy

_PEER = "--commitment-peer"
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


class Settings(Protocol):
    """A checked command line, as far as it is used here."""

    def has(self, long: str) -> bool: ...  # noqa: D102
    def number(self, long: str) -> int | None: ...  # noqa: D102
    def values(self, long: str) -> tuple[str, ...]: ...  # noqa: D102


def with_commitment(policy: NegotiationPolicy) -> NegotiationPolicy:
    """Accept Storage Commitment, whose requestor is its SCU."""
    rule = AbstractSyntaxRule(_SYNTAXES, scu_role=True, scp_role=False)
    return replace(policy, rules={**policy.rules, STORAGE_COMMITMENT: rule})


def commitment_policy(line: Settings) -> CommitmentPolicy | None:
    """Whether objects are committed, and how requestors are told. Raises UsageError."""
    if not line.has("--storage-commitment"):
        return None
    peers: dict[str, CommitmentPeer] = {}
    for text in line.values(_PEER):
        peer = commitment_peer(text)
        if peer.aet in peers:
            raise UsageError(f"{_PEER}: {peer.aet} has an address before", option=_PEER, value=text)
        if peer.tls and line.has("--der-keys"):
            raise UsageError(f"{_PEER} with tls not allowed with --der-keys", option=_PEER, value=text)
        peers[peer.aet] = peer
    if peers and find_spec("pynetdicom") is None:
        raise UsageError(f"{_PEER} needs pynetdicom (pip install 'fastscp[commitment]')", option=_PEER)
    return CommitmentPolicy(
        peers=tuple(peers.values()),
        wait_s=_seconds(line, "--commitment-wait", CommitmentPolicy.wait_s),
        retry_pause_s=_seconds(line, "--commitment-retry-pause", CommitmentPolicy.retry_pause_s),
        give_up_s=_seconds(line, "--commitment-give-up", CommitmentPolicy.give_up_s),
    )


def _seconds(line: Settings, long: str, default: float) -> float:
    value = line.number(long)
    return default if value is None else value
