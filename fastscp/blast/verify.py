"""What became of the objects, by the files in a directory: lost, damaged, double and unasked-for ones.

Files that were there before the run are left alone, and so is what is no DICOM and what begins with a dot. An object's
number is in its SOP Instance UID, so each file is compared with what was sent under that number. What was sent and not
acknowledged may be there or not.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fastscp.blast.compare import difference
from fastscp.blast.kit import Ammunition
from fastscp.blast.numbering import INSTANCE, number_of
from fastscp.errors import InstanceError
from fastscp.ingest.recognise import Incomplete, Recognised, recognise

_HEAD_OCTETS = 1 << 16
_PAUSE_S = 0.1


@dataclass
class Findings:
    """What was found; every list but ``found`` is of what is wrong, one line for each."""

    found: int = 0  #: acknowledged objects that are there as they were sent
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    studies: list[str] = field(default_factory=list)  #: that did not end once
    studies_ended: int | None = None  #: None: nobody looked

    def wrong(self) -> dict[str, list[str]]:
        """Return the lists by what they are lists of."""
        return {"lost": self.lost, "damaged": self.damaged, "double": self.double, "unasked-for": self.unasked,
                "studies not ended once": self.studies}

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not any(self.wrong().values())


def files(directory: str) -> Iterator[str]:
    """Yield the files of a directory and below, but for hidden ones."""
    for above, directories, names in os.walk(directory):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        yield from (os.path.join(above, name) for name in sorted(names) if not name.startswith("."))


class DirectoryCheck:
    """Looks into the directory; made before the run, so that it knows what was there."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._before = set(files(directory))

    def look(self, ammunition: Ammunition, stored: set[int], sent: set[int]) -> Findings:
        """Compare every new file with what was sent."""
        findings = Findings()
        places: dict[int, list[str]] = {}
        intact: set[int] = set()
        for path in files(self._directory):
            if path in self._before:
                continue
            name = os.path.relpath(path, self._directory)
            number, complaint = _examine(path, ammunition)
            if number is None:
                if complaint:
                    findings.unasked.append(f"{complaint} in {name}")
                continue
            if number not in sent:
                findings.unasked.append(f"{_uid(ammunition, number)} in {name}: it was not sent")
                continue
            places.setdefault(number, []).append(name)
            if not complaint:
                intact.add(number)
            elif number in stored:
                findings.damaged.append(f"{_uid(ammunition, number)} in {name}: {complaint}")
        findings.lost = [_uid(ammunition, number) for number in sorted(stored - places.keys())]
        findings.double = [f"{_uid(ammunition, number)} in {' and '.join(found)}" for number, found in sorted(places.items())
                           if len(found) > 1]
        findings.found = len(stored & intact)
        return findings


def patiently(look: Callable[[], Findings], wait_s: float, sleep: Callable[[float], None] = time.sleep,
              clock: Callable[[], float] = time.monotonic) -> Findings:
    """Look until nothing is wrong, or for so long."""
    end, pause_s = clock() + wait_s, _PAUSE_S
    while True:
        findings = look()
        if findings.good or clock() >= end:
            return findings
        sleep(min(pause_s, max(0.0, end - clock())))
        pause_s *= 2


def _uid(ammunition: Ammunition, number: int) -> str:
    return ammunition.uids(number)[INSTANCE].decode("ascii")


def _examine(path: str, ammunition: Ammunition) -> tuple[int | None, str]:
    """Return the number of the object in a file, and what is wrong with it.

    No number and no complaint: it is no DICOM, or has gone.
    """
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return None, ""
            octets = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        return None, ""  # renamed while we looked; then it is found under its other name, or missed
    with octets, memoryview(octets) as view:
        found = _recognised(octets)
        if found is None:
            return None, ""
        known = number_of(ammunition.run, found.sop_instance)
        if known is None or known[0] != INSTANCE:
            return None, found.sop_instance or "an object without a SOP Instance UID"
        number = known[1]
        template = ammunition.templates[ammunition.index(number)]
        with view[found.offset:] as data, memoryview(template.patched(ammunition.uids(number))) as sent:
            return number, difference(sent, template.transfer_syntax, data, found.transfer_syntax)


def _recognised(octets: mmap.mmap) -> Recognised | None:
    head = octets[:_HEAD_OCTETS]
    try:
        return recognise(head, complete=len(head) == len(octets))
    except Incomplete:
        return recognise(octets[:], complete=True)
    except InstanceError:
        return None
