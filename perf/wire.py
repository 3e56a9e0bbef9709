#!/usr/bin/env python3
"""Measure what the upper layer and the message provider cost for one read full of P-DATA-TF.

    python3 perf/wire.py [--pdu OCTETS] [--read OCTETS]

Prints JSON: microseconds per read and per PDV of each layer, and of a plain copy of the same octets in the
same run to compare with.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from fastscp.config.negotiation import standard_policy
from fastscp.dimse.provider import Provider
from fastscp.ul.answers import Answers
from fastscp.ul.association import Association
from fastscp.ul.encode import encode_data
from tests.corpus import wire


def best_us(function: Callable[[], object], rounds: int = 5, calls: int = 200) -> float:
    """Return the microseconds of one call, the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            function()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdu", type=int, default=16384, help="length of each P-DATA-TF")
    parser.add_argument("--read", type=int, default=262144, help="octets of one read")
    arguments = parser.parse_args()
    association = Association(Answers(standard_policy(max_pdu=max(16384, arguments.pdu))))
    (established,) = association.receive(memoryview(wire.RQ))
    provider = Provider(established.contexts)
    provider.receive(association.receive(memoryview(encode_data(3, 3, wire.store_command()))))
    pdu = encode_data(3, 0, bytes(arguments.pdu - 6))
    count = max(1, arguments.read // len(pdu))
    read = memoryview(pdu * count)
    fragments = association.receive(read)
    assert sum(len(views) for _, _, views in fragments) == count
    association_us = best_us(lambda: association.receive(read))
    provider_us = best_us(lambda: provider.receive(fragments))
    copy_us = best_us(lambda: bytes(read))
    print(json.dumps({
        "octets": len(read), "pdvs": count,
        "association_us": round(association_us, 2), "association_us_per_pdv": round(association_us / count, 3),
        "provider_us": round(provider_us, 2), "provider_us_per_pdv": round(provider_us / count, 3),
        "copy_us": round(copy_us, 2),
        "ratio_to_copy": round((association_us + provider_us) / copy_us, 3),
    }))


if __name__ == "__main__":
    main()
