"""What is measured: a table of rows, each a load, a way to send it, options of the servers, and what is wanted of it.

A new row is an entry here; ``perf/bench.py --list`` shows them all.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

EVERYBODY = ("fastscp", "storescp", "fastscp +B", "storescp +B", "dcmrecv", "dcmrecv +B", "pynetdicom", "orthanc", "floor")
_DEFAULTS = ("fastscp", "storescp", "dcmrecv")
_BOTH = ("fastscp", "storescp")
_BOTH_AND_SINGLE = (*_BOTH, "storescp single")  #: with --fork it refuses some of the options
_FASTEST = ("fastscp", "storescp", "fastscp +B", "storescp +B", "floor")
_SORTED = ("-su", "P", "-rns", "-tos", "5", "-xcs", "true")
_STUDY_ENDS_S = 6.5  #: after the last object: the time limit of ``_SORTED``, and its rest


@dataclass(frozen=True)
class Wanted:
    """A target: the median of the ratios of a figure, ours over theirs. Without ``theirs`` it is the figure itself."""

    most: float
    theirs: str = "storescp"
    ours: str = "fastscp"
    figure: str = "cpu_us"


@dataclass(frozen=True)
class Row:
    """One kind of traffic."""

    name: str
    loads: tuple[str, ...]
    senders: int = 4
    per_association: int = 0  #: objects; 0: all that a sender has
    options: tuple[str, ...] = ()  #: of every server that has them
    peers: tuple[str, ...] = EVERYBODY
    tls: bool = False
    paced: bool = False  #: through a network of 1 Gbit/s, in segments of 1,448 octets
    idle: int = 0  #: associations that are open beside the senders'
    linger_s: float = 0.0  #: how long after the last object there is still work that belongs to the round
    objects: int = 0  #: of a round; 0: as the load says
    wanted: tuple[Wanted, ...] = ()

    @property
    def sorts(self) -> bool:
        """Whether files are in directories of studies: nobody takes them away while a round runs."""
        return "-su" in self.options


def _cpu(*, defaults: float = 0, fastest: float = 0, floor: float = 0) -> tuple[Wanted, ...]:
    """Name the targets of the columns that the documents have."""
    columns = ((defaults, "storescp", "fastscp"), (fastest, "storescp +B", "fastscp +B"), (floor, "floor", "fastscp"))
    return tuple(Wanted(most, theirs, ours) for most, theirs, ours in columns if most)


def _hooked(cpu: float, rate: float) -> tuple[Wanted, ...]:
    """Less CPU, and so many times the objects/s."""
    return (Wanted(cpu), Wanted(1 / rate, ours="storescp", theirs="fastscp", figure="objects_per_s"))


ROWS: tuple[Row, ...] = (
    Row("ct", ("ct",), wanted=_cpu(defaults=0.40, fastest=0.80, floor=1.3)),
    Row("mr", ("mr",), wanted=_cpu(defaults=0.30, fastest=0.70, floor=2.5)),
    Row("sr", ("sr",), wanted=_cpu(defaults=0.22, fastest=0.70, floor=3)),
    Row("sequences", ("sequences",), peers=_FASTEST, wanted=_cpu(defaults=0.25)),
    *(Row(f"each-{name}", (name,), per_association=1, objects=400, wanted=_cpu(defaults=0.06, fastest=0.06))
      for name in ("ct", "mr", "sr")),
    Row("enhanced", ("enhanced",), peers=_BOTH, wanted=_cpu(defaults=0.25)),
    *(Row(f"enhanced-{option[1:]}", ("enhanced",), options=(option,), peers=_BOTH, wanted=_cpu(defaults=0.35))
      for option in ("+ti", "+tb", "+g")),
    Row("200mb", ("200mb",), peers=_FASTEST, wanted=_cpu(defaults=0.25, fastest=0.90, floor=1.1)),
    *(Row(f"sorted-{name}", (name,), options=_SORTED, peers=_BOTH_AND_SINGLE, linger_s=_STUDY_ENDS_S, wanted=_hooked(0.45, 2))
      for name in ("ct", "mr", "sr")),
    # storescp without --fork writes one study over another here, so it is not compared
    Row("sorted-each-mr", ("mr",), options=_SORTED, peers=_BOTH, per_association=1, linger_s=_STUDY_ENDS_S, objects=400,
        wanted=_cpu(defaults=0.10)),
    *(Row(f"hooked-{name}", (name,), options=("-xcr", "true"), peers=_BOTH, objects=800, wanted=_hooked(0.50, 3.5))
      for name in ("mr", "sr")),
    *(Row(f"sorted-hooked-{name}", (name,), options=("-su", "P", "-xcr", "true"), peers=_BOTH, objects=800,
          wanted=_hooked(0.50, 2.5)) for name in ("mr", "sr")),
    *(Row(f"events-{name}", (name,), options=("--event-log", "{directory}.events"), peers=("fastscp", "fastscp plain"),
          wanted=(Wanted(1.15, "fastscp plain"),)) for name in ("ct", "mr", "sr")),
    Row("tls-ct", ("ct",), tls=True, peers=_DEFAULTS, wanted=_cpu(defaults=0.70)),
    Row("tls-mr", ("mr",), tls=True, peers=_DEFAULTS, wanted=_cpu(defaults=0.50)),
    Row("tls-4mb", ("4mb",), tls=True, peers=_DEFAULTS, wanted=_cpu(defaults=0.90)),
    Row("idle-1000", ("mr",), idle=1000, peers=("fastscp",), wanted=(Wanted(80, "", figure="peak_mb"),)),
    Row("idle-5000", ("mr",), idle=5000, peers=("fastscp",), wanted=(Wanted(80, "", figure="peak_mb"),)),
    Row("mixed", ("ct", "mr", "sr", "sequences"), peers=("fastscp", "storescp", "fastscp +B", "storescp +B"), objects=2000),
    *(Row(f"paced-{name}", (name,), options=("-dhl",), paced=True, peers=(*_BOTH, "floor"), wanted=_cpu(defaults=0.60))
      for name in ("ct", "mr", "sr")),
)


def chosen(patterns: Sequence[str], senders: Iterable[int] = ()) -> list[Row]:
    """Return the rows whose names match any of the patterns (``sorted-*``), once for each number of senders.

    Raises ValueError for a pattern that matches none.
    """
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(row.name, pattern) for row in ROWS):
            raise ValueError(f"no row is called {pattern}; --list shows what there is")
    rows = [row for row in ROWS if not patterns or any(fnmatch.fnmatchcase(row.name, pattern) for pattern in patterns)]
    numbers = tuple(senders)
    return [with_senders(row, number) for row in rows for number in numbers or (row.senders,)]


def with_senders(row: Row, senders: int) -> Row:
    """Return a row with another number of senders; its name says so, and what is wanted of four is not wanted of it."""
    return row if senders == row.senders else replace(row, name=f"{row.name} x{senders}", senders=senders, wanted=())
