"""Where the objects of one association go, where studies are sorted: asked of the coordinator, once per study.

Strategy: the transfer of the first object is kept (``fastscp.worker.transfers``), and the next ones of the study come
under it with the same answer.
"""

from __future__ import annotations

from collections.abc import Callable

from fastscp.process import packets
from fastscp.worker.context import Reporter
from fastscp.worker.reception import PATIENT_NAME, SPECIFIC_CHARACTER_SET, STUDY_INSTANCE_UID, Reception


class Lodging:
    """The place of the object under way, and what is kept of the one before."""

    def __init__(self, reporter: Reporter | None, association: str) -> None:
        self._reporter = reporter
        self._association = association
        self.request: int | None = None  #: of the object under way
        self.placed: packets.Placed | None = None  #: the answer to it
        self.kept: tuple[str, packets.Placed] | None = None  #: study, and the answer to a transfer that is kept for it

    @property
    def directory(self) -> str | None:
        """The directory, None for the output directory."""
        return None if self.placed is None else self.placed["directory"]

    @property
    def late(self) -> bool:
        """Whether it counts whether the object changes anything."""
        return self.placed is None or self.placed["late"]

    @property
    def awaited(self) -> bool:
        """Whether an answer is still to come."""
        return self.request is not None and self.placed is None

    def begin(self) -> None:
        """Begin an object."""
        self.request = self.placed = None

    def ask(self, reception: Reception, answer: Callable[[packets.Placed], None]) -> None:
        """Ask for the directory as soon as the study is known, unless it is that of the object before."""
        study, reporter = reception.uid(STUDY_INSTANCE_UID), self._reporter
        if study and reporter is not None and self.request is None and not self._again(study, reporter):
            self.request = reporter.place(self._association, study, reception.raw_text(PATIENT_NAME),
                                          reception.raw_text(SPECIFIC_CHARACTER_SET), answer)

    def _again(self, study: str, reporter: Reporter) -> bool:
        """Use the place of the object before, where it is one of the same study; else that is kept no longer."""
        kept, self.kept = self.kept, None
        if kept is None or not reporter.begin_again(kept[1]["request"]):
            return False
        if kept[0] != study:
            reporter.abandoned(kept[1]["request"])
            return False
        self.placed, self.request = kept[1], kept[1]["request"]
        return True

    def keep(self, reception: Reception) -> bool:
        """Keep the transfer of an object that is stored, for the next ones; False where it has to end."""
        placed, reporter = self.placed, self._reporter
        if placed is None or reporter is None or not placed["lasting"] or not reporter.may_keep(placed["request"]):
            return False
        self.kept = reception.uid(STUDY_INSTANCE_UID), placed
        return True

    def abandon(self) -> None:
        """Take back what was asked for the object under way."""
        if self.request is not None and self._reporter is not None:
            self._reporter.abandoned(self.request)
            self.request = None
