"""Results: what a run found, as JSON and as tables of medians and of ratios that were taken round by round."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perf.peers import BEFORE, PEERS
from perf.rows import Row, Wanted

SCHEMA = 1
Round = dict[str, float]
#: figure -> (heading, digits behind the point, whether more is better)
FIGURES: dict[str, tuple[str, int, bool]] = {
    "objects_per_s": ("objects/s", 0, True), "mb_per_s": ("MB/s", 1, True), "cpu_us": ("CPU µs/object", 0, False),
    "p50_ms": ("p50 ms", 2, False), "p99_ms": ("p99 ms", 2, False), "peak_mb": ("peak MB", 0, False),
}


def median(rounds: Sequence[Round], figure: str) -> float:
    """Return the median of a figure over the rounds."""
    return statistics.median(found[figure] for found in rounds)


def ratio(ours: Sequence[Round], theirs: Sequence[Round], figure: str = "cpu_us") -> float:
    """Return the median of the ratios of rounds that followed each other."""
    return statistics.median(a[figure] / b[figure] if b[figure] else float("nan") for a, b in zip(ours, theirs, strict=True))


def machine() -> dict[str, Any]:
    """Return what a reader has to know about the machine."""
    return {"machine": platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d")}


@dataclass
class Report:
    """What a run found, row by row, and what it left out."""

    directory: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=machine)

    def add(self, row: Row, results: Mapping[str, Sequence[Round]], calls: Mapping[str, Any]) -> None:
        """Enter the rounds of every server of a row."""
        self.rows += [{"row": row.name, "server": server, "senders": row.senders, "options": list(row.options),
                       "rounds": list(rounds), "calls": calls.get(server), "wanted": [vars(wanted) for wanted in row.wanted]}
                      for server, rounds in results.items()]

    def skip(self, row: str, server: str, why: str) -> None:
        """Enter what was left out, and why."""
        self.skipped.append({"row": row, "server": server, "why": why})

    def write(self, path: str) -> None:
        """Write everything as JSON."""
        Path(path).write_text(json.dumps({"schema": SCHEMA, "machine": self.machine, "directory": self.directory, "rows": self.rows,
                                          "skipped": self.skipped}, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str) -> Report:
        """Read what ``write`` wrote. Raises ValueError for anything else."""
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("schema") != SCHEMA:
            raise ValueError(f"{path}: not a result of perf/bench.py")
        return cls(found["directory"], found["rows"], found["skipped"], found["machine"])

    def rounds(self, row: str, server: str) -> list[Round]:
        """Return the rounds of a server; [] when it took no part."""
        return next((found["rounds"] for found in self.rows if (found["row"], found["server"]) == (row, server)), [])

    def beside(self, row: str, server: str) -> list[Round]:
        """Return the rounds of the server it is compared with."""
        if not server.startswith(BEFORE) and (before := self.rounds(row, BEFORE + server)):
            return before
        return self.rounds(row, PEERS[server.removeprefix(BEFORE)].beside)

    def text(self) -> str:
        """Return all of it for people."""
        facts = self.machine
        head = (f"{facts['machine']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, Python {facts['python']}; medians; "
                f"load at the start {facts['load']}\n")
        parts = [head, *self._table(), "", *self._targets()]
        parts += [f"left out: {skipped['row']}, {skipped['server']}: {skipped['why']}" for skipped in self.skipped]
        return "\n".join(parts) + "\n"

    def _table(self) -> list[str]:
        counts = any(found["calls"] for found in self.rows)
        headings = ["row", "server", *(heading for heading, _, _ in FIGURES.values()), "CPU / peer", *(["calls/object"] if counts else [])]
        lines = [_line(headings), _line(["---", "---", *["---:"] * (len(headings) - 2)])]
        for found in self.rows:
            rounds, base = found["rounds"], self.beside(found["row"], found["server"])
            cells = [found["row"], found["server"], *(f"{median(rounds, name):.{digits}f}" for name, (_, digits, _) in FIGURES.items()),
                     f"{ratio(rounds, base):.2f}" if base else ""]
            if counts:
                cells.append(f"{found['calls']['per_object']:.1f}" if found["calls"] else "")
            lines.append(_line(cells))
        return lines

    def _targets(self) -> list[str]:
        lines = []
        for name in dict.fromkeys(found["row"] for found in self.rows):
            wanted = next(found["wanted"] for found in self.rows if found["row"] == name)
            for target in (Wanted(**values) for values in wanted):
                ours, theirs = self.rounds(name, target.ours), self.rounds(name, target.theirs)
                if not ours or (target.theirs and not theirs):
                    continue
                got = ratio(ours, theirs, target.figure) if target.theirs else median(ours, target.figure)
                what = f"{target.ours} / {target.theirs}" if target.theirs else target.ours
                met = "met" if got <= target.most else "missed"
                lines.append(_line([name, FIGURES[target.figure][0], what, f"{target.most:.2f}", f"{got:.2f}", met]))
        if not lines:
            return []
        return [_line(["row", "figure", "of", "wanted at most", "found", ""]), _line(["---", "---", "---", "---:", "---:", "---"]), *lines, ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
