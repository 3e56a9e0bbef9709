"""What a run is asked to do, as frozen objects: nothing below knows the command line."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TLSKeys:
    """How TLS is spoken; without authorities the peer's certificate is not verified."""

    private_key: str | None = None
    certificate: str | None = None
    authorities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """Whom the load is for."""

    host: str
    port: int
    calling_aet: str = "FASTSCP-BLAST"
    called_aet: str = "ANY-SCP"
    tls: TLSKeys | None = None


@dataclass(frozen=True)
class Line:
    """What is between the two: seconds that everything sent is on its way, octets a second of each association (0: any)."""

    delay_s: float = 0.0
    octets_per_s: int = 0

    @property
    def plays(self) -> bool:
        """Whether it does anything."""
        return self.delay_s > 0 or self.octets_per_s > 0


@dataclass(frozen=True)
class Checks:
    """What is looked at after the run."""

    directory: str | None = None
    events: str | None = None
    wait_s: float = 10.0  #: how long what is missing may still appear


@dataclass(frozen=True)
class Plan:
    """One run.

    ``studies`` None: one, or with a duration as many as there is time for; ``objects`` (of a series) None: each file once, of
    a synthetic load 100. ``rate`` is objects a second, None: as fast as answers come. ``pdu`` limits the PDUs that are sent.
    """

    target: Target
    paths: tuple[str, ...] = ()
    load: str = "ct"
    studies: int | None = None
    series: int = 1
    objects: int | None = None
    associations: int = 1
    per_association: int | None = None
    pipeline: int = 1
    pdu: int | None = None
    rate: float | None = None
    ramp_s: float = 0.0
    duration_s: float | None = None
    idle: int = 0
    line: Line = field(default_factory=Line)
    hostile_percent: int = 0
    hostile_host: str | None = None
    timeout_s: float = 60.0
    processes: int | None = None
    checks: Checks = field(default_factory=Checks)
    json: str | None = None
    svg: str | None = None
    quiet: bool = False

    @property
    def senders(self) -> int:
        """How many processes send."""
        wanted = self.processes or len(os.sched_getaffinity(0))
        return max(1, min(wanted, self.associations))
