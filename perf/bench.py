#!/usr/bin/env python3
"""Compare fastscp with other receivers, in interleaved rounds of the same run.

Light sender processes send pre-encoded objects; per row and server it prints objects/s, MB/s, CPU per object (whole process
tree, reaped children included), latencies, peak memory of the tree (PSS), and the ratio of CPU to its peer, which is
the same server of ``--before``, else storescp. Output goes to a tmpfs unless ``--directory`` names a disk.

    python3 perf/bench.py --list                            every row, what it is compared with, what is wanted of it
    python3 perf/bench.py ct mr sr --rounds 5               three rows
    python3 perf/bench.py 'sorted-*' --json sorted.json     rows by pattern, every figure in a file
    python3 perf/bench.py mr --senders 1,4,16 --peers fastscp,storescp,floor
    python3 perf/bench.py ct --rounds 1 --objects 200 --calls        system calls as well
    python3 perf/bench.py mr --before ../old --peers fastscp         this checkout beside another one
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import perf  # noqa: F401 - says what is missing
from perf import paced
from perf.measure import why_no_calls
from perf.peers import BEFORE, PEERS, why_not
from perf.plot import draw
from perf.report import Report, Round
from perf.rows import ROWS, Row, chosen
from perf.running import Running, Traffic
from perf.tls import Identity

_WARM_UP = 40  #: objects of the first round, which does not count


class Bench:
    """A run: rows one after another, in each the servers in turn."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._resources = contextlib.ExitStack()
        self._identity: Identity | None = None
        self._paced_why: str | None = None
        self.report = Report(arguments.directory)

    def run(self, rows: Sequence[Row]) -> None:
        """Measure every row; what was found until then is written after each."""
        with self._resources:
            for row in rows:
                self._say(row.name)
                if row.paced and self._no_pace():
                    self.report.skip(row.name, "all", self._no_pace())
                    continue
                self._row(row)
                if self._arguments.json:
                    self.report.write(self._arguments.json)

    def _no_pace(self) -> str:
        if self._paced_why is None:
            self._paced_why = paced.why_not()
        return self._paced_why

    def _names(self, row: Row) -> list[str]:
        """Return the servers that take part; enter why the others do not."""
        names = []
        for name in self._arguments.peers.split(",") if self._arguments.peers else row.peers:
            why = why_not(name, row)
            if why:
                self.report.skip(row.name, name, why)
            else:
                names.append(name)
        before = [BEFORE + name for name in names if name.startswith("fastscp")] if self._arguments.before else []
        return names + before

    def _row(self, row: Row) -> None:
        """Run one row."""
        if row.tls and self._identity is None:
            self._identity = Identity(self._resources.enter_context(tempfile.TemporaryDirectory()))
        tls = self._identity if row.tls else None
        results: dict[str, list[Round]] = {}
        calls: dict[str, object] = {}
        with contextlib.ExitStack() as stack:
            network = stack.enter_context(paced.Network()) if row.paced else None
            traffic: dict[str, Traffic] = {}
            for name in self._names(row):
                server = Running(name, row, self._arguments.directory, before=self._arguments.before, tls=tls.options if tls else ())
                stack.callback(server.stop)
                traffic[name] = Traffic(server, host=network.host if network else "127.0.0.1", tls=row.tls,
                                        enter=network.enter if network else lambda: None)
                stack.callback(traffic[name].close)
            for number in range(self._arguments.rounds + 1):  # the first one warms up
                for name, one in traffic.items():
                    objects = one.objects(self._arguments.objects)
                    figures = one.round(objects if number else max(row.senders, min(objects, _WARM_UP)))
                    if number:
                        results.setdefault(name, []).append(figures)
                self._say(f"{row.name}: round {number} of {self._arguments.rounds}")
            if self._arguments.calls:
                self._count_calls(row, traffic, calls)
        self.report.add(row, results, calls)

    def _count_calls(self, row: Row, traffic: dict[str, Traffic], calls: dict[str, object]) -> None:
        """Count system calls, or enter why not."""
        for name, one in traffic.items():
            why = why_no_calls()
            if not why:
                try:
                    calls[name] = one.calls(max(row.senders, min(200, one.objects(self._arguments.objects))))
                except RuntimeError as error:
                    why = str(error)
            if why:
                self.report.skip(row.name, name, f"system calls: {why}")

    def _say(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def _listing() -> str:
    lines = []
    for row in ROWS:
        wanted = ", ".join(f"{target.figure} {target.ours}{' / ' if target.theirs else ''}{target.theirs} <= {target.most:.2f}"
                           for target in row.wanted)
        what = " ".join((f"{row.senders} senders", *(["TLS"] if row.tls else []), *(["paced"] if row.paced else []),
                         *([f"{row.idle} idle"] if row.idle else []), *([f"{row.per_association} per association"]
                                                                       if row.per_association else []), *row.options))
        lines.append(f"{row.name:18}{'+'.join(row.loads):14}{what}\n{'':18}beside {', '.join(row.peers)}" + (f"\n{'':18}wanted {wanted}" if wanted else ""))
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("rows", nargs="*", metavar="ROW", help="names or patterns of rows (default: all, which takes hours)")
    made.add_argument("--list", action="store_true", help="show the rows and end")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--objects", type=int, help="objects per round (default: by row and load)")
    made.add_argument("--senders", default="", metavar="N[,N...]", help="so many at once (default: as the row says)")
    made.add_argument("--peers", "--servers", default="", help=f"of {', '.join(PEERS)} (default: as the row says)")
    made.add_argument("--directory", default="/dev/shm", help="where files go (default: a tmpfs); a disk for ext4")
    made.add_argument("--before", default="", metavar="CHECKOUT", help="run each fastscp from there as well, in turn with this one")
    made.add_argument("--calls", action="store_true", help="count system calls, in a round of its own (strace or perf)")
    made.add_argument("--json", default="", help="write every figure to this file")
    made.add_argument("--svg", default="", help="draw CPU per object into this file")
    return made


def main() -> int:
    """Measure and print."""
    made = parser()
    arguments = made.parse_args()
    if arguments.list:
        print(_listing())
        return 0
    arguments.before = os.path.abspath(arguments.before) if arguments.before else ""
    try:
        rows = chosen(arguments.rows, [int(word) for word in arguments.senders.split(",") if word])
    except ValueError as error:
        made.error(str(error))
    unknown = [name for name in arguments.peers.split(",") if name and name not in PEERS]
    if unknown:
        made.error(f"no server is called {', '.join(unknown)}; there are {', '.join(PEERS)}")
    if arguments.directory == "/dev/shm" and shutil.disk_usage("/dev/shm").free < 4 << 30:
        print("/dev/shm has less than 4 GiB", file=sys.stderr)
    bench = Bench(arguments)
    bench.run(rows)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    print(bench.report.text(), end="")
    if arguments.svg:
        Path(arguments.svg).write_text(draw(bench.report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
