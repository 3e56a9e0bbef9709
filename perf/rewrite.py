#!/usr/bin/env python3
"""What rewriting costs: the engine alone, and whole servers beside the real storescp in the same run.

Loads: a real header (262 elements, and four short sequences of undefined length) with the 32 kB of pixels of a
small MR and with the 0.5 MB of a CT, an Enhanced MR with 2,000 frames (more than 100,000 elements in nested
sequences of undefined length), and a 200 MB multi-frame object. Every option set goes over each of them. Of the
CT and the 200 MB most is copying, which costs the kernel the same for every program: see "floor" in perf/bench.py.

    python perf/rewrite.py --engine           CPU of the engine per object, no server
    python perf/rewrite.py                    fastscp and storescp --fork, CPU per object, ratios
    python perf/rewrite.py --json result.json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import Collector, dcmtk_storescp, find_memory, send_all, settled_cpu
from loads import CT, MR, PLACEHOLDER, Load, image

from fastscp.cli.conv import parse
from fastscp.dicom.filesink import FileSink
from fastscp.dicom.rewrite import Rewriter, Shapes
from tests.support import datasets as ds

OPTION_SETS = ("", "+te", "+tb", "+ti", "+td +cl 1", "-u", "+g", "-g", "-e", "+p 512 64", "-e +g")
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.2"
_VALUES = {"CS": b"ORIGINAL", "DS": b"1.50", "LO": b"Some text ", "US": b"\1\0", "UI": b"1.2.840.1.22", "TM": b"101010"}


def _head(sop_class: str) -> bytes:
    return (ds.explicit(0x00080016, "UI", ds.uid(sop_class))
            + ds.explicit(0x00080018, "UI", ds.uid(PLACEHOLDER)))


def _short_header(sop_class: str) -> bytes:
    parts = [_head(sop_class)]
    names = list(_VALUES)
    for group in (0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x0040):
        parts += [ds.explicit(group << 16 | 0x30 + n, names[n % 6], _VALUES[names[n % 6]]) for n in range(22)]
    code = (ds.explicit(0x00080100, "SH", b"CODE") + ds.explicit(0x00080102, "SH", b"DCM ")
            + ds.explicit(0x00080104, "LO", b"meaning "))
    parts += [ds.sequence(0x00400270 + n, ds.item(code, delimited=True), delimited=True) for n in range(4)]
    return b"".join(parts)


def _frame(number: int) -> bytes:
    """The functional groups of one frame: some fifty elements, sequences and items."""
    def group(tag: int, *elements: bytes) -> bytes:
        return ds.sequence(tag, ds.item(b"".join(elements), delimited=True), delimited=True)

    text = b"%08d" % number
    timing = [ds.explicit(0x00189000 + 2 * n, "FD", bytes(8)) for n in range(12)]
    return ds.item(b"".join((
        group(0x00189112, *timing),
        group(0x00189115, *(ds.explicit(0x00189100 + 2 * n, "CS", b"NONE") for n in range(8))),
        group(0x00209111, ds.explicit(0x00189074, "DT", b"20260101" + text), ds.explicit(0x00209057, "UL", text[:4]),
              ds.explicit(0x00209157, "UL", text * 2)),
        group(0x00209113, ds.explicit(0x00200032, "DS", b"1.0\\2.0\\" + text)),
        group(0x00209116, ds.explicit(0x00200037, "DS", b"1\\0\\0\\0\\1\\0 ")),
        group(0x00289110, ds.explicit(0x00180050, "DS", b"1 "), ds.explicit(0x00280030, "DS", b"1\\1 ")),
        group(0x00289132, ds.explicit(0x00281050, "DS", b"1 "), ds.explicit(0x00281051, "DS", b"1 ")),
    )), delimited=True)


def loads() -> list[Load]:
    """Return the loads; pixels are zeros where there are many."""
    frames = b"".join(_frame(number) for number in range(2000))
    return [
        Load("MR header", MR, image("MR", MR, 128, 128, sequences=True)),
        Load("CT 0.5 MB", CT, image("CT", CT, 512, 512, sequences=True)),
        Load("Enhanced MR", ENHANCED_MR, _head(ENHANCED_MR) + ds.sequence(0x52009230, frames, delimited=True)
             + ds.explicit(0x7FE00010, "OW", bytes(64 * 64 * 2))),
        Load("200 MB", MULTI_FRAME, _short_header(MULTI_FRAME)
             + ds.explicit(0x7FE00010, "OB", bytes(200_000_000))),
    ]


class _Nowhere(FileSink):
    """Takes everything, keeps nothing; spools are real."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())

    def write(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """Drop the buffers."""

    def patch(self, offset: int, octets: bytes) -> None:
        """Drop the patch."""


def engine_us(load: Load, words: str, *, shapes: Shapes | None) -> float:
    """Return the best CPU time of the engine alone for one object, in microseconds."""
    options = parse([*words.split(), "in", "out"], {}.get)[0]
    view = memoryview(load.data_set)
    views = [view[start:start + 16372] for start in range(0, len(view), 16372)]
    calls = 100 if len(view) < 1_000_000 else 1
    best = float("inf")
    sink = _Nowhere()
    for _ in range(5):
        start = time.process_time()
        for _ in range(calls):
            rewriter = Rewriter(ds.EXPLICIT, options, sink, 400, shapes=shapes)
            for piece in views:
                rewriter.feed([piece])
            rewriter.finish()
        best = min(best, (time.process_time() - start) / calls)
    return best * 1e6


class Server:
    """fastscp or storescp with an option set, on a tmpfs."""

    def __init__(self, name: str, words: str, base: str) -> None:
        self.directory = tempfile.mkdtemp(prefix="rewrite-", dir=base)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        program = [dcmtk_storescp(), "--fork"] if name == "storescp" else [sys.executable, "-m", "fastscp"]
        environment = {**os.environ, "TCP_NODELAY": "1", "PYTHONPATH": str(Path(__file__).parent.parent)}
        command = [*program, *words.split(), "-od", self.directory, str(self.port)]
        self._popen = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._process = psutil.Process(self._popen.pid)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end or self._popen.poll() is not None:
                    raise RuntimeError(f"{name} {words} does not start") from None
                time.sleep(0.05)

    def cpu_us(self, load: Load, objects: int) -> float:
        """Send ``objects`` on one association; return the server's CPU time per object in microseconds."""
        if len(load.data_set) > 10_000_000:
            find_memory(self.directory, objects * len(load.data_set))
        collector = Collector(self.directory)
        before = settled_cpu(self._process)
        collector.start()
        send_all(load, self.port, 1, objects, 0, 0)
        used = settled_cpu(self._process) - before
        if collector.stop() != objects:
            raise RuntimeError("not every object was stored")
        return used / objects * 1e6

    def stop(self) -> None:
        """End the server and remove its directory."""
        self._popen.terminate()
        self._popen.wait(20)
        shutil.rmtree(self.directory)


def main() -> int:
    """Print a table; write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--options", action="append", help="only this option set; may be repeated")
    parser.add_argument("--loads", default="", help="only loads whose name contains this")
    parser.add_argument("--directory", default="/dev/shm")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    figures = []
    for load in loads():
        if arguments.loads not in load.name:
            continue
        for words in arguments.options or OPTION_SETS:
            if arguments.engine:
                row = {"load": load.name, "options": words, "engine_us": engine_us(load, words, shapes=None),
                       "recognised_us": engine_us(load, words, shapes=Shapes())}
                print(f"{load.name:12} {words:12} engine {row['engine_us']:10.1f} us"
                      f"   header recognised {row['recognised_us']:10.1f} us")
            else:
                row = {"load": load.name, "options": words, **_beside(load, words, arguments)}
                print(f"{load.name:12} {words:12} fastscp {row['fastscp_us']:10.0f} us  storescp"
                      f" {row['storescp_us']:10.0f} us  ratio {row['ratio']:.2f}")
            figures.append(row)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1))
    return 0


def _beside(load: Load, words: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run both servers in interleaved rounds."""
    objects = {"MR header": 1000, "CT 0.5 MB": 400, "Enhanced MR": 8, "200 MB": 1}[load.name]
    number_of_rounds = arguments.rounds * (3 if objects == 1 else 1)
    servers = {name: Server(name, words, arguments.directory) for name in ("fastscp", "storescp")}
    try:
        rounds: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(number_of_rounds + 1):
            for name, server in servers.items():
                used = server.cpu_us(load, objects)
                if number:
                    rounds[name].append(used)
    finally:
        for server in servers.values():
            server.stop()
    ours, theirs = (statistics.median(rounds[name]) for name in ("fastscp", "storescp"))
    ratio = statistics.median(a / b for a, b in zip(rounds["fastscp"], rounds["storescp"], strict=True))
    return {"fastscp_us": ours, "storescp_us": theirs, "ratio": ratio}


if __name__ == "__main__":
    sys.exit(main())
