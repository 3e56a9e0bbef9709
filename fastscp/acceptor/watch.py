"""Finds children that hang: those whose heart stands still.

What counts is time that this process saw pass: when it was stopped itself, or its machine, nobody else is to blame.

A process that waits for a disk (state ``D`` of proc(5)) does what it should, and so does one that starts, with a
large state to recover: they get ``PATIENCE`` times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastscp.process.heartbeat import Heartbeat, process_state

TICK_S = 0.25  #: between two looks
PATIENCE = 10
_WAITS_FOR_A_DISK = "D"


@dataclass
class _Patient:
    heartbeat: Heartbeat
    count: int = 0
    still_s: float = 0.0
    excused_s: float = 0.0


class Watch:
    """The hearts of all children; ``limit_s`` None: nobody ever hangs."""

    def __init__(self, limit_s: float | None, state_of: Callable[[int], str] = process_state) -> None:
        self._limit_s = limit_s
        self._state_of = state_of
        self._patients: dict[int, _Patient] = {}

    def add(self, pid: int, heartbeat: Heartbeat) -> None:
        """Watch a child from now on. Owns ``heartbeat``."""
        self._patients[pid] = _Patient(heartbeat)

    def remove(self, pid: int) -> None:
        """Forget a child that is gone."""
        self._patients.pop(pid).heartbeat.close()

    def look(self, elapsed_s: float) -> tuple[list[int], list[int]]:
        """Look at all of them, ``elapsed_s`` after the last time; return who beat since, and who hangs.

        Whoever hangs is told of once in every limit.
        """
        beating, hanging = [], []
        elapsed_s = min(elapsed_s, 2 * TICK_S)
        for pid, patient in self._patients.items():
            count = patient.heartbeat.count
            if count != patient.count:
                patient.count, patient.still_s, patient.excused_s = count, 0.0, 0.0
                beating.append(pid)
            elif self._limit_s is not None and self._hangs(pid, patient, elapsed_s, self._limit_s):
                patient.still_s = patient.excused_s = 0.0
                hanging.append(pid)
        return beating, hanging

    def _hangs(self, pid: int, patient: _Patient, elapsed_s: float, limit_s: float) -> bool:
        if not patient.count or self._state_of(pid) == _WAITS_FOR_A_DISK:
            patient.excused_s += elapsed_s
        else:
            patient.still_s += elapsed_s
        return patient.still_s >= limit_s or patient.still_s + patient.excused_s >= PATIENCE * limit_s
