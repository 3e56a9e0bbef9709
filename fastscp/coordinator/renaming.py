"""Carries out renames without ever overwriting a file, so that doing it twice changes nothing.

Strategy: link to the new name, then unlink the old one; a file system without links gets a rename after a look
(this process is the only one that gives such names). Whatever a crash interrupted is recognised by what is there.
"""

from __future__ import annotations

import enum
import os

from fastscp.errors import StorageError
from fastscp.store.noreplace import NO_LINKS


class Outcome(enum.Enum):
    """What became of one rename."""

    DONE = "done"
    TAKEN = "taken"  #: another file has the new name
    MISSING = "missing"  #: neither name is there


def rename(directory: str, old: str, new: str) -> Outcome:
    """Rename ``old`` to ``new`` in ``directory``. Raises ``StorageError``."""
    source, target = f"{directory}/{old}", f"{directory}/{new}"
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            if not _same_file(source, target):
                return Outcome.TAKEN if os.path.lexists(source) else Outcome.DONE
        except FileNotFoundError:
            return Outcome.DONE if os.path.lexists(target) else Outcome.MISSING
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _rename_without_links(source, target)
        os.unlink(source)
    except OSError as error:
        raise StorageError(f"cannot rename {source} to {new}: {error.strerror}", errno=error.errno,
                           path=source) from error
    return Outcome.DONE


def _rename_without_links(source: str, target: str) -> Outcome:
    if os.path.lexists(target):
        return Outcome.TAKEN
    os.rename(source, target)
    return Outcome.DONE


def _same_file(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except FileNotFoundError:
        return False
