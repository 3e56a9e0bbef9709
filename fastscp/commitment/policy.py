"""Whether objects are committed, and how requestors are told. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastscp.dicom.uids import STORAGE_COMMITMENT
from fastscp.errors import UsageError

SOP_CLASS = STORAGE_COMMITMENT
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"  #: its well-known instance

_PEER = re.compile(r"(?P<aet>[^=]{1,16})=(?P<host>\[[^\]]+\]|[^:,\[\]]+):(?P<port>[0-9]{1,5})(?P<tls>,tls)?", re.ASCII)


@dataclass(frozen=True)
class CommitmentPeer:
    """Where a requestor is told of what it asked for, when its association is gone."""

    aet: str
    host: str
    port: int
    tls: bool = False


@dataclass(frozen=True)
class CommitmentPolicy:
    """``--storage-commitment`` and what belongs to it. Times are seconds."""

    peers: tuple[CommitmentPeer, ...] = ()
    wait_s: float = 30.0  #: objects may come so long after the request for them
    retry_pause_s: float = 60.0  #: after the first try to reach a requestor; doubled with each
    give_up_s: float = 86400.0  #: no try is made later than so long after the request

    def peer(self, aet: str) -> CommitmentPeer | None:
        """Return who has that title."""
        return next((peer for peer in self.peers if peer.aet == aet), None)


def commitment_peer(text: str) -> CommitmentPeer:
    """Read ``aet=host:port[,tls]``. Raises UsageError."""
    found = _PEER.fullmatch(text)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise UsageError(f"Invalid value for option --commitment-peer: {text} is not aet=host:port[,tls]",
                         option="--commitment-peer", value=text)
    return CommitmentPeer(found["aet"].strip(), found["host"].strip("[]"), int(found["port"]), found["tls"] is not None)


def decoded_policy(fields: Mapping[str, Any]) -> CommitmentPolicy:
    """Return the policy of whose fields JSON was made."""
    return CommitmentPolicy(**{**fields, "peers": tuple(CommitmentPeer(**peer) for peer in fields["peers"])})
