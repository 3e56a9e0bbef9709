"""What became of the objects, by an event stream: every object stored once, every study ended once.

Only what was written to the file since the run began counts (docs/events.md has the events).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import orjson

from fastscp import jsontext
from fastscp.blast.kit import Ammunition
from fastscp.blast.numbering import INSTANCE, STUDY, number_of
from fastscp.blast.verify import Findings
from fastscp.errors import UsageError


class EventCheck:
    """Reads the stream; made before the run, so that it knows where that begins."""

    def __init__(self, path: str, calling_aet: str) -> None:
        self._path, self._calling_aet = path, calling_aet
        self._offset = os.path.getsize(path) if os.path.exists(path) else 0

    def look(self, ammunition: Ammunition, stored: set[int], sent: set[int]) -> Findings:
        """Compare the events with what was acknowledged. Raises UsageError when they cannot be read."""
        findings = Findings()
        told: Counter[int] = Counter()
        ended: Counter[int] = Counter()
        for event in self._events():
            if event.get("event") == "object.stored":
                uid = str(event.get("sop_instance_uid"))
                known = number_of(ammunition.run, uid)
                if known is not None and known[0] == INSTANCE and known[1] in sent:
                    told[known[1]] += 1
                elif known is not None or event.get("calling_aet") == self._calling_aet:
                    findings.unasked.append(f"{uid}: it was not sent")
            elif event.get("event") == "study.completed":
                known = number_of(ammunition.run, str(event.get("study_uid")))
                if known is not None and known[0] == STUDY:
                    ended[known[1]] += 1
        findings.lost = [_uid(ammunition, number) for number in sorted(stored - told.keys())]
        findings.double = [f"{_uid(ammunition, number)}: {count} events" for number, count in sorted(told.items()) if count > 1]
        findings.found = len(stored & told.keys())
        studies = {ammunition.order.study_of(number) for number in stored}
        findings.studies = [f"{_study(ammunition, study)}: ended {ended[study]} times" for study in sorted(studies) if ended[study] != 1]
        findings.studies_ended = sum(ended[study] == 1 for study in studies)
        return findings

    def _events(self) -> list[dict[str, Any]]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                lines = file.read().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"cannot read events from {self._path}: {error.strerror}") from error
        events = []
        for line in lines:
            if line.endswith(b"\n"):  # else it is being written
                try:
                    events.append(jsontext.loads(line))
                except orjson.JSONDecodeError as error:
                    raise UsageError(f"{self._path} is no event stream: {error}") from error
        return events


def _uid(ammunition: Ammunition, number: int) -> str:
    return ammunition.uids(number)[INSTANCE].decode("ascii")


def _study(ammunition: Ammunition, study: int) -> str:
    number = study * ammunition.order.series * ammunition.order.objects
    return ammunition.uids(number)[STUDY].decode("ascii")
