#!/usr/bin/env python3
"""What rewriting costs: the engine alone, and whole servers beside the real storescp in the same run.

Loads: a real header (262 elements, and four short sequences of undefined length) with the 32 kB of pixels of a
small MR, the header with the 0.5 MB of a CT, an Enhanced MR with 2,000 frames (more than 100,000 elements in nested
sequences of undefined length), and a 200 MB multi-frame object. Every option set goes over each of them. Of the
CT and the 200 MB most is copying, which costs the kernel the same for every program: see "floor" in perf/bench.py.

    python3 perf/rewrite.py --engine           CPU of the engine per object, no server
    python3 perf/rewrite.py                    fastscp and storescp --fork, CPU per object, ratios
    python3 perf/rewrite.py --json result.json
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from fastscp.cli.conv import parse
from fastscp.dicom.filesink import FileSink
from fastscp.dicom.rewriter import Rewriter, Shapes
from perf.loads import EXPLICIT_LE, Load, load
from perf.report import Round, median, ratio
from perf.rows import Row
from perf.running import Running, Traffic

OPTION_SETS = ("", "+te", "+tb", "+ti", "+td +cl 1", "-u", "+g", "-g", "-e", "+p 512 64", "-e +g")
#: names of perf/loads.py, and how many objects make a round
LOADS = {"sequences": 1000, "ct": 400, "enhanced": 8, "200mb": 1}


class _Nowhere(FileSink):
    """Takes everything, keeps nothing; spools are real."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Drop the buffers."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Drop the patch."""


def engine_us(item: Load, words: str, *, shapes: Shapes | None) -> float:
    """Return the best CPU time of the engine alone for one object, in microseconds."""
    options = parse([*words.split(), "in", "out"], {}.get)[0]
    view = memoryview(item.data_set)
    views = [view[start:start + 16372] for start in range(0, len(view), 16372)]
    calls = 100 if len(view) < 1_000_000 else 1
    best = float("inf")
    sink = _Nowhere()
    for _ in range(5):
        start = time.process_time()
        for _ in range(calls):
            rewriter = Rewriter(EXPLICIT_LE, options, sink, 400, shapes=shapes)
            for piece in views:
                rewriter.feed([piece])
            rewriter.finish()
        best = min(best, (time.process_time() - start) / calls)
    return best * 1e6


def main() -> int:
    """Print a table; write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, help="of a round (default: by load)")
    parser.add_argument("--options", action="append", help="only this option set; may be repeated")
    parser.add_argument("--loads", default="", help="only loads whose name contains this")
    parser.add_argument("--directory", default="/dev/shm")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    figures = []
    for name in LOADS:
        if arguments.loads not in name:
            continue
        for words in arguments.options or OPTION_SETS:
            if arguments.engine:
                row = {"load": name, "options": words, "engine_us": engine_us(load(name), words, shapes=None),
                       "recognised_us": engine_us(load(name), words, shapes=Shapes())}
                print(f"{name:12} {words:12} engine {row['engine_us']:10.1f} us"
                      f"   header recognised {row['recognised_us']:10.1f} us")
            else:
                row = {"load": name, "options": words, **_beside(name, words, arguments)}
                print(f"{name:12} {words:12} fastscp {row['fastscp_us']:10.0f} us  storescp"
                      f" {row['storescp_us']:10.0f} us  ratio {row['ratio']:.2f}")
            figures.append(row)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1))
    return 0


def _beside(name: str, words: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure fastscp and storescp in turn; more rounds where one object is a round."""
    objects = arguments.objects or LOADS[name]
    row = Row(f"{name} {words}", (name,), senders=1, options=tuple(words.split()), peers=("fastscp", "storescp"))
    rounds: dict[str, list[Round]] = {peer: [] for peer in row.peers}
    with contextlib.ExitStack() as stack:
        traffic = {}
        for peer in row.peers:
            server = Running(peer, row, arguments.directory)
            stack.callback(server.stop)
            traffic[peer] = Traffic(server)
        for number in range(arguments.rounds * (3 if objects == 1 else 1) + 1):  # the first one warms up
            for peer, one in traffic.items():
                figures = one.round(objects)
                if number:
                    rounds[peer].append(figures)
    return {"fastscp_us": median(rounds["fastscp"], "cpu_us"), "storescp_us": median(rounds["storescp"], "cpu_us"),
            "ratio": ratio(rounds["fastscp"], rounds["storescp"])}


if __name__ == "__main__":
    sys.exit(main())
