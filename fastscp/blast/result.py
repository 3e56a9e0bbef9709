"""What a run came to: for a program (``Result``), as JSON, and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fastscp.blast.tally import SLICE_S, Book
from fastscp.blast.verify import Findings

_BUSY = 0.9  #: of the time, from which on the peer waits for the tester more often than not
_MOST_NAMED = 10  #: lines of one kind of finding in the table; JSON has them all


@dataclass
class Result:
    """One run. Latencies are in milliseconds."""

    seconds: float
    book: Book
    cpu_s: float  #: of all sending processes
    busiest: float  #: the share of the time in which the busiest of them did not wait for the peer
    processes: int
    interrupted: bool = False
    left_out: tuple[str, ...] = ()  #: files that cannot be sent, and why
    findings: dict[str, Findings] = field(default_factory=dict)  #: by what was looked at

    @property
    def objects_per_s(self) -> float:
        """Acknowledged objects a second."""
        return self.book.objects / self.seconds if self.seconds else 0.0

    @property
    def octets_per_s(self) -> float:
        """Octets of acknowledged data sets a second."""
        return self.book.octets / self.seconds if self.seconds else 0.0

    @property
    def tester_is_the_bottleneck(self) -> bool:
        """Whether the figures say more about the tester than about the peer."""
        return self.busiest >= _BUSY

    @property
    def good(self) -> bool:
        """Whether nothing failed and nothing is wrong."""
        return not self.book.failures and all(findings.good for findings in self.findings.values())

    @property
    def exit_status(self) -> int:
        """What the program ends with."""
        return 3 if self.interrupted else 0 if self.good else 1

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        book = self.book
        return {
            "seconds": self.seconds, "objects": book.objects, "octets": book.octets, "associations": book.associations,
            "objects_per_s": self.objects_per_s, "octets_per_s": self.octets_per_s,
            "object_latency_ms": book.latency.figures(), "association_latency_ms": book.setup.figures(),
            "warnings": dict(book.warnings),
            "failures": {"objects": dict(book.failed_objects), "associations": dict(book.failed_associations)},
            "left_out": list(self.left_out), "hostile": dict(book.hostile), "interrupted": self.interrupted,
            "tester": {"processes": self.processes, "cpu_s": self.cpu_s, "cpu_us_per_object": self._cpu_us(),
                       "busiest": self.busiest, "is_the_bottleneck": self.tester_is_the_bottleneck},
            "verified": {name: {"found": findings.found, "studies_ended": findings.studies_ended, **findings.wrong()}
                         for name, findings in self.findings.items()},
            "timeline": [{"second": number * SLICE_S, "objects": part.objects, "octets": part.octets, "failures": part.failures,
                          "p50_ms": part.latency.quantile_ms(0.5), "p99_ms": part.latency.quantile_ms(0.99)}
                         for number, part in sorted(book.slices.items())],
            "exit_status": self.exit_status}

    def _cpu_us(self) -> float:
        return self.cpu_s / self.book.objects * 1e6 if self.book.objects else 0.0

    def rates(self) -> list[tuple[str, str]]:
        """Return what is counted, and how much of it."""
        book = self.book
        rows = [("objects", f"{book.objects} in {self.seconds:.2f} s"), ("objects/s", f"{self.objects_per_s:.1f}"),
                ("MB/s", f"{self.octets_per_s / 1e6:.1f}"), ("associations", str(book.associations)),
                ("own CPU", (f"{self.cpu_s:.2f} s in {self.processes} processes, {self._cpu_us():.0f} µs an object, "
                             f"the busiest {self.busiest:.0%} of the time"))]
        if book.hostile:
            rows.append(("hostile", ", ".join(f"{kind} {count}" for kind, count in sorted(book.hostile.items()))))
        return rows

    def latencies(self) -> list[tuple[str, ...]]:
        """Return the table of latencies, its head first."""
        rows: list[tuple[str, ...]] = [("latency, ms", "p50", "p90", "p99", "p99.9", "max")]
        for name, histogram in (("object", self.book.latency), ("association", self.book.setup)):
            rows.append((name, *(f"{value:.2f}" for value in histogram.figures().values())))
        return rows

    def remarks(self) -> Iterator[str]:
        """Yield what else is to be said, a line each."""
        book = self.book
        if self.left_out:
            yield f"left out: {len(self.left_out)} files that cannot be sent, as {self.left_out[0]}"
        for kind, counts in (("warnings", book.warnings), ("failed objects", book.failed_objects),
                             ("failed associations", book.failed_associations)):
            for reason, count in counts.most_common():
                yield f"{kind}: {count} {reason}"
        if self.tester_is_the_bottleneck:
            yield ("WARNING: the tester is the bottleneck: it was busy nearly all of the time, so the peer may be faster than "
                   "this; use more --processes, or another machine")
        for name, findings in self.findings.items():
            yield from _verdict(name, findings)
        if self.interrupted:
            yield "interrupted: the figures are of what was sent until then"


def _verdict(name: str, findings: Findings) -> Iterator[str]:
    studies = "" if findings.studies_ended is None else f", {findings.studies_ended} studies ended once"
    if findings.good:
        yield f"{name}: all {findings.found} acknowledged objects found{studies}"
        return
    counts = ", ".join(f"{len(lines)} {kind}" for kind, lines in findings.wrong().items() if lines)
    yield f"{name}: {findings.found} acknowledged objects found{studies}; {counts}"
    for kind, lines in findings.wrong().items():
        yield from (f"  {kind}: {line}" for line in lines[:_MOST_NAMED])
        if len(lines) > _MOST_NAMED:
            yield f"  {kind}: and {len(lines) - _MOST_NAMED} more"
