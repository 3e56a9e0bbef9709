"""What became of the sources of a run, in numbers, and the exit status that follows."""

from __future__ import annotations

from dataclasses import dataclass

EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 3


@dataclass
class Tally:
    """Counts of sources by their result."""

    stored: int = 0
    quarantined: int = 0
    refused: int = 0
    foreign: int = 0  #: no DICOM
    skipped: int = 0
    known: int = 0  #: done by an earlier run
    octets: int = 0  #: of the files stored
    unmoved: int = 0  #: of those stored, sources that could not be removed

    @property
    def seen(self) -> int:
        """Sources that were dealt with."""
        return self.stored + self.quarantined + self.refused + self.foreign + self.skipped + self.known

    def count(self, result: str, octets: int) -> None:
        """Count one source."""
        if result in {"stored", "would-store"}:
            self.stored += 1
            self.octets += octets
        elif result == "quarantined":
            self.quarantined += 1
        elif result == "not-dicom":
            self.foreign += 1
        elif result == "skipped":
            self.skipped += 1
        elif result == "refused":
            self.refused += 1

    def exit_status(self, *, strict: bool, interrupted: bool) -> int:
        """Return the exit status of the program."""
        if interrupted:
            return EXIT_INTERRUPTED
        failed = self.refused or self.quarantined or self.unmoved or (strict and self.foreign)
        return EXIT_REFUSED if failed else EXIT_DONE

    def __str__(self) -> str:
        counts = [(self.stored, "stored"), (self.quarantined, "quarantined"), (self.refused, "refused"),
                  (self.foreign, "not DICOM"), (self.skipped, "skipped"), (self.known, "done before")]
        return ", ".join(f"{count} {what}" for count, what in counts if count or what == "stored")
