"""Objects that a study got again after it had ended: which of them changed nothing.

An object repeats another when the ended study has a file of the same SOP instance with the same octets. Where that
file had the name of the new one, the worker has compared them before one replaced the other; where it has another
name by now (renamed, moved away, in an earlier directory of the study), they are compared here, a piece at a time. One that an object store
alone has is known by its digest.

Invariant: what cannot be compared counts as a change, so nothing is removed but the second of two equal files.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastscp.coordinator.followers import Followers
from fastscp.coordinator.progress import Progress
from fastscp.store.comparing import Likeness, compare_files
from fastscp.study.state import ObjectRow, StudyState

#: pieces compared for somebody who waits; what is left counts as changed
HURRIED_PIECES = 32


@dataclass
class Findings:
    """What an end of a study brings."""

    changed: bool = False
    repeats: list[tuple[str, str]] = field(default_factory=list)  #: (file, path under which its octets are kept)


def find(state: StudyState, progress: Progress, files: Followers | None = None) -> Generator[float, None, Findings]:
    """Look at the objects of a study that has ended before. ``files`` knows which of them an object store alone has."""
    plan, findings = progress.plan, Findings()
    known = state.remembered(plan.key)
    pieces = 0
    for page, more in progress.pages():
        for row, stored in _compared(page, progress, known, files, findings):
            before = known.get(stored["sop_instance"])
            own = f"{plan.directory}/{row.name}"
            likeness = Likeness.DIFFERENT
            if before == own:
                likeness = Likeness.ONE_FILE
            elif before is not None:
                comparison = compare_files(own, before)
                try:
                    while not progress.hurried or pieces < HURRIED_PIECES:
                        next(comparison)
                        pieces += progress.hurried
                        yield 0.0
                except StopIteration as end:
                    likeness = end.value
                comparison.close()
            if likeness is Likeness.EQUAL and before is not None:
                findings.repeats.append((row.file, before))
            elif likeness is Likeness.DIFFERENT or row.changed:
                findings.changed = True
        if more:
            yield 0.0
    return findings


def _compared(page: Iterable[tuple[ObjectRow, Mapping[str, Any]]], progress: Progress, known: Mapping[str, str], files: Followers | None,
              findings: Findings) -> Iterator[tuple[ObjectRow, Mapping[str, Any]]]:
    """Yield the objects that can be compared; those that an object store alone has are repeats."""
    for row, stored in page:
        if files is not None and files.is_away(progress.plan.key, stored):
            findings.repeats.append((row.file, known.get(stored["sop_instance"]) or f"{progress.plan.directory}/{row.name}"))
        else:
            yield row, stored
