"""The process that carries out requests for commitment: started by the coordinator when there are some, ends when there are none.

    python -m fastscp.commitment.program DESCRIPTOR

The descriptor is a packet channel to the coordinator. The first packet says what to do (``begin``); ``look``: there is another
request; ``policy``: what to go by from now on; ``reported``: how a report on the association of a request ended. It sends ``report``. End of file ends it.
"""

from __future__ import annotations

import logging
import select
import sys
import time
from pathlib import Path
from typing import Any

from fastscp.commitment.carrying import Carrier, World
from fastscp.commitment.lookup import Lookup, secure
from fastscp.commitment.messages import Result
from fastscp.commitment.outward import Credentials, NotToldError, context_for, tell
from fastscp.commitment.policy import CommitmentPeer, decoded_policy
from fastscp.commitment.requests import DIRECTORY
from fastscp.errors import ProcessError
from fastscp.log.names import APPLICATION
from fastscp.process.attached import Attachment, attach

_log = logging.getLogger(APPLICATION)

IDLE_S = 10.0  #: without a request it ends
_FAULT_S = 5.0  #: between two tries after a fault of the disk


def main(descriptor: int) -> int:
    """Carry out what there is; return the exit status."""
    channel, begin = attach(descriptor, "commitment")
    if begin is None:
        return 0
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    carrier = carrier_of(begin, channel)
    idle_since = time.monotonic()
    while True:
        try:
            pause = carrier.step()
        except (OSError, ProcessError) as error:
            _log.error("commitment: %s; trying again", error)
            pause = _FAULT_S
        if pause is None:
            pause = IDLE_S - (time.monotonic() - idle_since)
            if pause <= 0:
                return 0
        else:
            idle_since = time.monotonic()
        select.select([channel], [], [], pause)
        if not _hear(channel, carrier):
            return 0


def _hear(channel: Attachment, carrier: Carrier) -> bool:
    """Take every packet that is there; False at the end of file."""
    for packet in channel.packets():
        if packet["kind"] == "reported":
            carrier.reported(packet["file"], packet["status"])
        elif packet["kind"] == "policy":
            carrier.policy = decoded_policy(packet["policy"])
    return not channel.over


def carrier_of(begin: dict[str, Any], channel: Attachment) -> Carrier:
    """Make it of what the coordinator says."""
    directory = Path(begin["directory"])

    def tell_peer(peer: CommitmentPeer, our_title: str, result: Result) -> None:
        try:
            context = context_for(Credentials(**begin["tls"])) if peer.tls else None
        except OSError as error:
            raise NotToldError(f"TLS: {error}") from error
        tell(peer, our_title, result, context)

    def report(association: str, file: str) -> None:
        if not channel.tell({"kind": "report", "association": association, "file": file}):
            _log.debug("the coordinator does not read, the report waits")

    world = World(Lookup(directory).find, secure, tell_peer, report, time.time)
    return Carrier(directory / DIRECTORY, decoded_policy(begin["policy"]), world, durable=begin["durable"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
