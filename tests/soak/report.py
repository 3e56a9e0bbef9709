"""What a soak says: a line now and then, a report at the end."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.soak.harms import HARMLESS, Journal

SETTLE_S = 3.0  #: what was done to a server may show so long afterwards
CLASSES = ("served", "killed", "stopped", "restarted")
UNREMARKABLE_S = 0.02  #: no answer that was quicker is looked at
STOPS = {"stop worker", "stop coordinator", "stop acceptor"}


@dataclass
class Answers:
    """How long the well-behaved peer waited for its answers."""

    #: server, what, begin, end, and how long that, or the whole way back, waited for a CPU
    samples: list[tuple[str, str, float, float, float]] = field(default_factory=list)
    since: float = 0.0  #: nothing counts before
    asleep: list[tuple[float, float]] = field(default_factory=list)  #: when the peer itself did not run

    def worst(self, journal: Journal) -> dict[str, tuple[float, str]]:
        """Return the worst answer of each class, without what the machine withheld, and what it was.

        The classes: nobody harmed the server but hostile peers, or harm that others must not notice; it was killed or
        its disk was; one of its processes was stopped (which is found out after --hang-timeout); it was told to end and
        started again, which takes as long as those need that are being served.
        """
        found: dict[str, tuple[float, str]] = defaultdict(lambda: (0.0, ""))
        back: dict[str, float] = {}
        for server, what, begin, end, waited in self.samples:
            if begin < self.since:
                continue
            if what != "lost" and server not in back and end - begin <= max(UNREMARKABLE_S, min(found[name][0] for name in CLASSES)):
                continue  # the worst of no class, whichever it is in
            if any(first < end and begin < last for first, last in self.asleep):
                back.pop(server, None)
                continue
            if what == "lost":
                back.setdefault(server, begin)
                continue
            since = back.pop(server, begin)
            harm = journal.during(server, since, end, SETTLE_S)
            if "restart" in harm:
                name = "restarted"
            else:
                name = "stopped" if harm & STOPS else "killed" if harm - HARMLESS else "served"
            told = f"{server} {'back by ' if since != begin else ''}{what} at {end:.3f}, {', '.join(sorted(harm)) or 'no harm'}"
            if waited:
                told += f" (took {end - since:.3f} s, waited for a CPU {waited:.3f} s)"
            found[name] = max(found[name], (max(0.0, end - since - waited), told))
        return {name: worst for name, worst in found.items() if worst[1]}


def text(result: dict[str, Any]) -> str:
    """Return the report for people."""
    lines = [f"soak of {result['seconds']:.0f} s, seed {result['seed']}, commit {result['commit']}, {result['machine']}", ""]
    counts = result["counts"]
    lines += [f"{name:<34}{counts.get(name, 0):>12,}" for name in (
        "sent", "objects", "octets sent", "acknowledged", "refused", "unanswered", "verified", "stored without an answer",
        "reception hooks", "study hooks", "studies ended", "quarantined", "objects of hostile peers stored")]
    for title, names in (("of kind", "sent "), ("refused with", "refused ")):
        parts = [f"{key.removeprefix(names)} {value:,}" for key, value in sorted(counts.items()) if key.startswith(names)]
        lines.append(f"{title}: {', '.join(parts) or 'none'}")
    lines += ["", "harm done: " + ", ".join(f"{name} {count}" for name, count in sorted(result["harm"].items())),
              "hostile peers: " + ", ".join(f"{name} {count}" for name, count in sorted(result["hostile"].items()))]
    lines += ["", f"answers to the well-behaved peer: {result['answers']:,}; the machine itself paused {result['asleep']} times"]
    explained = {"served": "worst answer, whoever else was harmed", "killed": "worst, killed or without its disk",
                 "stopped": "worst, a process of it stopped", "restarted": "worst, drained and started again"}
    for name, title in explained.items():
        if name in result["worst"]:
            seconds, what = result["worst"][name]
            lines.append(f"{title:<42}{seconds:8.3f} s   {what}")
    lines += ["", "memory at the end, largest process: " + ", ".join(f"{role} {size >> 20} MiB" for role, size in result["memory"].items())]
    broken = result["broken"]
    lines += ["", "every promise was kept" if not broken else "BROKEN: " + ", ".join(f"{name} ({n})" for name, n in broken.items()),
              *([f"evidence in {result['evidence']}"] if broken else [])]
    return "\n".join(lines)
