#!/usr/bin/env python3
"""Where the time of the service goes: one row of perf/bench.py against a service whose processes are profiled.

    scripts/profile mr                          every process under cProfile, a table for each
    scripts/profile ct --lines 40 --sort cumulative
    scripts/profile sorted-mr --keep /tmp/prof  the .pstats files as well, for snakeviz and others
    scripts/profile sr --with perf              perf(1) instead: the compiled core and the kernel, sampled
    scripts/profile mr --with py-spy            py-spy instead: a flame graph, sampled (pip install py-spy)

cProfile costs as much as it measures: its table shows how often a function is called and what it costs beside others, not what it
costs. What is compiled shows in it as one call. ``--with perf`` sees inside, and names Python functions where Python is 3.12 or later.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing

_SERVE = "--serve"  #: first word of the command line of a service that profiles itself
_DIRECTORY = "FASTSCP_PROFILES"


def serve(words: list[str]) -> int:
    """Run fastscp in this process; every process of it writes a profile when it leaves."""
    from fastscp.cli.main import main as run
    from fastscp.process import child, titles

    title = "main"
    profile = cProfile.Profile(time.process_time)  # waiting is no work

    def write() -> None:
        profile.disable()
        profile.dump_stats(os.path.join(os.environ[_DIRECTORY], f"{title}-{os.getpid()}.pstats"))

    def begin() -> None:
        nonlocal profile
        profile.disable()
        profile = cProfile.Profile(time.process_time)
        profile.enable()

    start, set_title = child.run_child, titles.set_title

    def named(role: str) -> None:
        nonlocal title
        title = role.replace(" ", "-")
        set_title(role)

    def started(life: Callable[[], int], **given: Any) -> int:
        leave = given.pop("leave", os._exit)

        def end(status: int) -> None:
            write()
            leave(status)

        def lived() -> int:
            begin()
            return life()

        return start(lived, leave=end, **given)

    child.run_child, child.set_title = started, named
    begin()
    try:
        return run(["fastscp", *words])
    finally:
        write()


def tables(directory: Path, sort: str, lines: int) -> str:
    """Return a table for each process, the busiest first."""
    found = []
    for path in directory.glob("*.pstats"):
        out = io.StringIO()
        stats = pstats.Stats(str(path), stream=out)
        stats.strip_dirs().sort_stats(sort).print_stats(lines)
        found.append((stats.total_tt, f"== {path.stem}: {stats.total_tt:.2f} s of CPU\n{out.getvalue().strip()}\n"))
    return "\n".join(table for _, table in sorted(found, key=lambda item: -item[0]))


def watch(tool: str, pids: list[int], output: Path) -> subprocess.Popen[bytes]:
    """Begin to sample processes."""
    if tool == "perf":
        line = ["perf", "record", "-q", "-F", "997", "-g", "-o", str(output), "-p", ",".join(map(str, pids))]
    else:
        line = ["py-spy", "record", "--native", "--subprocesses", "--format", "flamegraph", "-o", str(output), "-p", str(pids[0])]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    """Start the service, send, print."""
    if sys.argv[1:2] == [_SERVE]:
        return serve(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", help="name of a row; perf/bench.py --list shows them")
    parser.add_argument("--objects", type=int, help="how many (default: by row and load)")
    parser.add_argument("--with", dest="tool", choices=("cprofile", "perf", "py-spy"), default="cprofile")
    parser.add_argument("--sort", default="tottime", choices=("tottime", "cumulative", "ncalls"))
    parser.add_argument("--lines", type=int, default=25)
    parser.add_argument("--keep", help="directory for what was recorded (default: it is removed)")
    arguments = parser.parse_args()
    if arguments.tool != "cprofile" and shutil.which(arguments.tool) is None:
        parser.error(f"{arguments.tool} is not installed")
    if arguments.tool == "py-spy" and not arguments.keep:
        parser.error("py-spy draws into a file: say --keep DIRECTORY")
    from perf.rows import chosen
    try:
        row, *others = chosen([arguments.row])
    except ValueError as error:
        parser.error(str(error))
    if others or row.tls or row.paced:
        parser.error("one row at a time, none with TLS or a paced network")
    with tempfile.TemporaryDirectory() as directory:
        kept = Path(arguments.keep or directory)
        kept.mkdir(parents=True, exist_ok=True)
        print(profile_row(row, arguments, kept), end="")
    return 0


def profile_row(row: Any, arguments: argparse.Namespace, directory: Path) -> str:
    """Send a round to a profiled service; return what is to be said."""
    from perf import peers, running
    from perf.measure import tree

    program = [sys.executable, str(Path(__file__).resolve()), _SERVE]
    if arguments.tool == "perf":
        program = [sys.executable, *(["-X", "perf"] if sys.version_info >= (3, 12) else []), "-m", "fastscp"]
    elif arguments.tool == "py-spy":
        program = [sys.executable, "-m", "fastscp"]
    os.environ[_DIRECTORY] = str(directory)
    peers.PEERS["profiled"] = peers.Peer(lambda: program)
    server = running.Running("profiled", row, "/dev/shm")
    recorded = directory / ("perf.data" if arguments.tool == "perf" else "flame.svg")
    sampler = None
    try:
        traffic = running.Traffic(server)
        try:
            if arguments.tool != "cprofile":
                sampler = watch(arguments.tool, [process.pid for process in tree(server.keeper)], recorded)
            traffic.round(traffic.objects(arguments.objects))
        finally:
            traffic.close()
        if sampler is not None:
            sampler.send_signal(signal.SIGINT)
            sampler.wait(60)
    finally:
        server.stop(patient=True)
    if arguments.tool == "cprofile":
        return tables(directory, arguments.sort, arguments.lines)
    if arguments.tool == "py-spy":
        return f"{recorded}\n"
    told = subprocess.run(["perf", "report", "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.5", "-i", str(recorded)],
                          capture_output=True, text=True, check=False)
    return "\n".join(line for line in told.stdout.splitlines() if line.strip())[:20000] + "\n"


if __name__ == "__main__":
    sys.exit(main())
