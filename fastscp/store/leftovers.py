"""What processes that died left in their directories, found by the pid in its name and removed."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from fastscp.store.directory import TEMPORARY_PREFIX
from fastscp.store.quarantine import NOTE_SUFFIX, REPORT_SUFFIX

_NAME_OCTETS: Final = 255


def remove_stale_temporaries(directory: str, pid: int) -> list[str]:
    """Remove what a dead worker process left under hidden names; return the names removed."""
    removed = []
    for name in os.listdir(directory):
        if name.startswith(f"{TEMPORARY_PREFIX}{pid}-") and name.endswith(".tmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))
                removed.append(name)
    return removed


def undo_unfinished(directory: str, pid: int | None = None) -> list[str]:
    """Remove what processes that died between report and object left: that of ``pid``, or of all that are gone.

    Returns the names removed. OSError passes through.
    """
    removed = []
    for name in os.listdir(directory):
        if not name.startswith(TEMPORARY_PREFIX) or not name.endswith(NOTE_SUFFIX):
            continue
        owner = name.removeprefix(TEMPORARY_PREFIX).partition("-")[0]
        if owner != str(pid) if pid is not None else os.path.exists(f"/proc/{owner}"):
            continue
        note = os.path.join(directory, name)
        with open(note, "rb") as file:
            kept = os.path.basename(os.fsdecode(file.read(_NAME_OCTETS)))
        if kept and not os.path.lexists(os.path.join(directory, kept)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, kept + REPORT_SUFFIX))
                removed.append(kept + REPORT_SUFFIX)
        os.unlink(note)
        removed.append(name)
    return removed
