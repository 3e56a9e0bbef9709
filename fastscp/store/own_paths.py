"""Paths that the operator gave to the service itself, which nothing gets that a peer names.

Directories (state, quarantine, completed studies, output directories where sections have others) are kept free with all that leads to them. Of files (event log, log)
what rotation makes of their names is kept free as well: NAME.1, NAME-20260101. The service's own hidden names are not
here (``fastscp.store.hidden``).

Names are compared without regard to case, as some file systems do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePath

from fastscp.dicom.uids import STORAGE_SOP_CLASSES, UNKNOWN_PREFIX


class OwnPaths:
    """``directories`` and ``files`` of the service."""

    def __init__(self, directories: Iterable[str] = (), files: Iterable[str] = ()) -> None:
        self._files = frozenset(map(_key, files))
        paths = {*map(_key, directories), *self._files}
        self._kept = frozenset(str(above) for path in paths for above in (PurePath(path), *PurePath(path).parents))
        self._names = frozenset(filter(_may_be_an_instance, map(os.path.basename, self._files)))

    def include(self, path: str) -> bool:
        """Tell whether a directory must not be made at ``path``."""
        if not self._kept:
            return False
        key = _key(path)
        return key in self._kept or any(_comes_of(file, key) for file in self._files)

    @property
    def instances_concerned(self) -> bool:
        """Whether there is any name that an instance must not have."""
        return bool(self._names)

    def include_name(self, name: str) -> bool:
        """Tell whether a file of one of the directories in which instances are made must not be called ``name``."""
        return bool(self._names) and any(key == name.casefold() or _comes_of(key, name.casefold()) for key in self._names)


def _key(path: str) -> str:
    return os.path.realpath(path).casefold()


def _comes_of(file: str, other: str) -> bool:
    """Tell whether ``other`` is what rotation makes of ``file``."""
    return other.startswith((f"{file}.", f"{file}-"))


def _may_be_an_instance(name: str) -> bool:
    """Tell whether the file of an instance may be called like that: it begins with the prefix of a SOP class."""
    return name.partition(".")[0] in {prefix.casefold() for prefix in _prefixes()}


def _prefixes() -> set[str]:
    return {UNKNOWN_PREFIX, *(sop_class.prefix for sop_class in STORAGE_SOP_CLASSES.values())}
