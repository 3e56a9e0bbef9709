"""What a sending process has counted since it last said so, and what all of them have said.

A slice is one line of JSON that a sender writes to its pipe every half second; ``Book`` adds slices up, and keeps those of the
same half second together for the plot.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from fastscp.blast.histogram import Histogram

SLICE_S = 0.5


class Tally:
    """Counts of one sender; ``said`` empties it."""

    def __init__(self, *, numbers: bool) -> None:
        self._numbers = numbers
        self.stored: list[int] = []  #: numbers of acknowledged objects, where anybody wants to verify them
        self.sent: list[int] = []  #: numbers of objects that were begun
        self._empty()

    def _empty(self) -> None:
        self.objects = self.octets = self.associations = 0
        self.latency, self.setup = Histogram(), Histogram()
        self.warnings: Counter[str] = Counter()
        self.failed_objects: Counter[str] = Counter()
        self.failed_associations: Counter[str] = Counter()
        self.hostile: Counter[str] = Counter()
        self.stored, self.sent = [], []

    def began(self, number: int) -> None:
        """Note that an object is on its way."""
        if self._numbers:
            self.sent.append(number)

    def acknowledged(self, number: int, octets: int, seconds: float) -> None:
        """Count an object that the peer has taken."""
        self.objects += 1
        self.octets += octets
        self.latency.record(seconds)
        if self._numbers:
            self.stored.append(number)

    def said(self, elapsed_s: float, open_now: int) -> dict[str, Any]:
        """Return the slice that ends now, and begin another."""
        told = {
            "slice": int(elapsed_s / SLICE_S), "open": open_now, "objects": self.objects, "octets": self.octets,
            "associations": self.associations,
            "latency": [list(self.latency.counts.items()), self.latency.longest_us],
            "setup": [list(self.setup.counts.items()), self.setup.longest_us],
            "warnings": self.warnings, "failed_objects": self.failed_objects, "failed_associations": self.failed_associations,
            "hostile": self.hostile, "stored": self.stored, "sent": self.sent}
        self._empty()
        return told


@dataclass
class Slice:
    """One half second of all senders."""

    objects: int = 0
    octets: int = 0
    failures: int = 0
    latency: Histogram = field(default_factory=Histogram)


class Book:
    """What all senders have said."""

    def __init__(self) -> None:
        self.objects = self.octets = self.associations = 0
        self.latency, self.setup = Histogram(), Histogram()
        self.warnings: Counter[str] = Counter()
        self.failed_objects: Counter[str] = Counter()
        self.failed_associations: Counter[str] = Counter()
        self.hostile: Counter[str] = Counter()
        self.slices: dict[int, Slice] = {}
        self.open: dict[int, int] = {}  #: associations by sender
        self.stored: set[int] = set()
        self.sent: set[int] = set()
        self.twice: list[int] = []  #: acknowledged more than once

    def enter(self, sender: int, told: dict[str, Any]) -> None:
        """Add a slice."""
        self.objects += told["objects"]
        self.octets += told["octets"]
        self.associations += told["associations"]
        self.latency.add(*told["latency"])
        self.setup.add(*told["setup"])
        for name in ("warnings", "failed_objects", "failed_associations", "hostile"):
            getattr(self, name).update(told[name])
        self.open[sender] = told["open"]
        self.stored.update(told["stored"])
        self.sent.update(told["sent"])
        half_second = self.slices.setdefault(told["slice"], Slice())
        half_second.objects += told["objects"]
        half_second.octets += told["octets"]
        half_second.failures += sum(told["failed_objects"].values()) + sum(told["failed_associations"].values())
        half_second.latency.add(*told["latency"])

    @property
    def failures(self) -> int:
        """How much has failed."""
        return self.failed_objects.total() + self.failed_associations.total()
