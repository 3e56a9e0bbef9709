"""What ``fastscp-ingest`` is asked to do beside what the service could be asked to do."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Placement(enum.Enum):
    """What becomes of a source whose object is stored."""

    COPY = "copy"  #: it stays
    LINK = "link"  #: where its octets are those of the object, both are one file
    MOVE = "move"  #: it is removed once the object is safe


@dataclass(frozen=True)
class IngestPolicy:
    """The program's own options."""

    paths: tuple[str, ...] = ()
    workers: int = 1
    calling_aet: str = "FASTSCP-INGEST"  #: as which the files are said to come
    called_aet: str = "ANY-SCP"
    placement: Placement = Placement.COPY
    dry_run: bool = False
    resume: bool = False
    strict: bool = False  #: what is no DICOM is a failure
    follow_links: bool = False
    null_separated: bool = False  #: lists on standard input
    report: str | None = None
    quiet: bool = False  #: neither progress nor a summary
