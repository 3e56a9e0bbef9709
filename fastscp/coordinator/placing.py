"""Makes the directories of studies.

Invariants: a study directory is one component below the output directory; it is never the state directory, never
a name that storescp refuses, and, where names carry a time, never one that exists already.
"""

from __future__ import annotations

import datetime
import errno
import logging
import os
from collections.abc import Callable

from fastscp.errors import InstanceError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.study import naming
from fastscp.study.policy import Sorting, StudyPolicy

_log = logging.getLogger(APPLICATION)

#: a directory that cannot be made for these reasons never can be: it is the name
_BAD_NAME = frozenset({errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR})
_LATIN_1 = "ISO_IR 100"
ATTEMPTS = 1000  #: directories whose names differ by a millisecond each
_MODE = 0o777  #: less the umask


class Placer:
    """Decides and makes the directory of a study that opens."""

    def __init__(self, policy: StudyPolicy, output_directory: str, reserved: frozenset[str], *,
                 local_time: Callable[[], datetime.datetime] = datetime.datetime.now) -> None:
        self._local_time = local_time
        self._policy = policy
        self._output_directory = output_directory
        self._reserved = reserved

    def open_directory(self, study_uid: str, patient: str, charset: str) -> tuple[str, bool]:
        """Return the directory for a study that opens now, and whether it was made for it.

        Raises ``InstanceError`` (C000) when it has no acceptable name, ``StorageError`` (A700) when it cannot be made.
        """
        if self._policy.sorting is Sorting.NONE:
            return self._output_directory, False
        if not study_uid:
            raise InstanceError("no Study Instance UID")
        if self._policy.sorting is Sorting.STUDY_UID and not naming.is_clean(study_uid):
            _log.warning('Sanitized unusual characters in Study Instance UID, converted from "%s" to "%s".',
                         printable(study_uid), naming.clean(study_uid))
        spelt = self._spell(patient, charset) if self._policy.sorting is Sorting.PATIENT_NAME else ""
        when = self._local_time()
        for attempt in range(ATTEMPTS):
            name = naming.directory_name(self._policy, study_uid, spelt,
                                         when + datetime.timedelta(milliseconds=attempt))
            made = self._make(name)
            if made or not naming.is_new_each_time(self._policy.sorting):
                _log.info("%s subdirectory for study: %s/%s", "created new" if made else "using existing",
                          self._output_directory, name)
                return f"{self._output_directory}/{name}", made
        raise InstanceError(f"no free directory name like {name}")

    def _make(self, name: str) -> bool:
        """Make a directory; return False when it is there already."""
        if naming.is_refused(name) or name in self._reserved:
            raise InstanceError("the study directory would have an unacceptable name")
        path = f"{self._output_directory}/{name}"
        try:
            os.mkdir(path, _MODE)
        except FileExistsError:
            if os.path.isdir(path):
                return False
            raise InstanceError(f"cannot make study directory {path}: it is a file") from None
        except OSError as error:
            raise _refusal(path, error) from error
        return True

    def _spell(self, patient: str, charset: str) -> str:
        if not naming.first_value(patient):
            _log.warning("element PatientName (0010,0010) absent or empty in data set, using '%s' instead",
                         naming.ANONYMOUS)
            return naming.ANONYMOUS
        if self._policy.names_by_character_set:
            from fastscp.study.transliterate import transliterate  # noqa: PLC0415 - imports pydicom

            return transliterate(patient, charset)
        if _is_beyond_latin_1(patient, charset):
            _log.warning("Patient name not in Latin-1 (charset: %s), ASCII dir name may be broken",
                         printable(charset.rstrip(" \0")))
        return naming.spell_patient(patient)


def _is_beyond_latin_1(patient: str, charset: str) -> bool:
    """Whether Latin-1 is the wrong way to read a name: another character set, and more than ASCII or a switch in it."""
    declared = charset.rstrip(" \0")
    return declared not in {"", _LATIN_1} and (not patient.isascii() or "\x1b" in patient)


def _refusal(path: str, error: OSError) -> InstanceError | StorageError:
    """Return why an object is refused: for the name that its study would have, or because the file system cannot."""
    message = f"cannot make study directory {path}: {error.strerror}"
    if error.errno in _BAD_NAME:
        return InstanceError(message)
    return StorageError(message, errno=error.errno, path=path)


def remove_unused(directory: str) -> None:
    """Remove a directory that was made for an object that never came, unless something is in it."""
    try:
        os.rmdir(directory)
    except OSError as error:
        _log.debug("directory %s stays: %s", directory, error.strerror)


def ensure(directory: str) -> None:
    """Make the directory of an earlier time again if it is gone. Raises ``InstanceError``, ``StorageError``."""
    try:
        os.makedirs(directory, _MODE, exist_ok=True)
    except OSError as error:
        raise _refusal(directory, error) from error
