"""Makes the directories of studies.

Invariants: a study directory is one component below the output directory, or below the directory that the operator's
prefix names, and no symbolic link; it never has a name or a path of the service's own (``fastscp.store.hidden``,
``fastscp.store.own_paths``), nor one above that, never a name that storescp refuses, and, where names carry a time, never one that exists
already.
"""

from __future__ import annotations

import datetime
import errno
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterator

from fastscp.errors import InstanceError, StorageError
from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.store import hidden
from fastscp.store.flush import flush_directory
from fastscp.store.own_paths import OwnPaths
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

    def __init__(self, policy: StudyPolicy, output_directory: str, own: OwnPaths, *,
                 local_time: Callable[[], datetime.datetime] = datetime.datetime.now) -> None:
        self._local_time = local_time
        self._policy = policy
        self._output_directory = output_directory
        self._parent = naming.parent_directory(policy, output_directory)
        self._own = own

    def open_directory(self, study_uid: str, patient: str, charset: str,
                       occupied: Collection[str] = ()) -> tuple[str, bool]:
        """Return the directory for a study that opens now, and whether it was made for it.

        It is none of ``occupied``. Raises ``InstanceError`` (C000) when it has no acceptable name, ``StorageError`` (A700)
        when it cannot be made.
        """
        if self._policy.sorting is Sorting.NONE:
            return self._output_directory, False
        if not study_uid:
            raise InstanceError("no Study Instance UID")
        if self._policy.sorting is Sorting.STUDY_UID and not naming.is_clean(study_uid):
            _log.warning('Sanitized unusual characters in Study Instance UID, converted from "%s" to "%s".',
                         printable(study_uid), naming.clean(study_uid))
        spelt = self._spell(patient, charset) if self._policy.sorting is Sorting.PATIENT_NAME else ""
        for name in self._names(study_uid, spelt):
            path = f"{self._parent}/{name}"
            if path in occupied:
                continue
            made = self._make(path, name)
            if made or not naming.is_new_each_time(self._policy.sorting):
                _log.info("%s subdirectory for study: %s", "created new" if made else "using existing", path)
                return path, made
        raise InstanceError(f"no free directory name like {name}")

    def _names(self, study_uid: str, patient: str) -> Iterator[str]:
        """Yield the names to be tried: of the next milliseconds, or with the next numbers."""
        when = self._local_time()
        for attempt in range(ATTEMPTS):
            name = naming.directory_name(self._policy, study_uid, patient,
                                         when + datetime.timedelta(milliseconds=attempt))
            if attempt and not naming.is_new_each_time(self._policy.sorting):
                name = naming.numbered(name, attempt + 1)
            yield name

    def _make(self, path: str, name: str) -> bool:
        """Make a directory; return False when it is there already."""
        if naming.is_refused(name) or hidden.is_own(name) or self._own.include(path):
            raise InstanceError("the study directory would have an unacceptable name")
        try:
            os.mkdir(path, _MODE)
        except FileExistsError:
            if is_directory(path):
                return False
            raise InstanceError(f"cannot make study directory {path}: it is a file") from None
        except OSError as error:
            raise _refusal(path, error) from error
        if self._policy.durable:
            try:
                flush_directory(os.path.dirname(path))
            except OSError as error:
                remove_unused(path)
                raise _refusal(path, error) from error
        return True

    def ensure(self, directory: str) -> None:
        """Make the directory of a study again if somebody removed or moved it.

        Raises ``StorageError`` (A700), whatever the reason: the name was good before.
        """
        if is_directory(directory):
            return
        try:
            os.mkdir(directory, _MODE)
            if self._policy.durable:
                flush_directory(os.path.dirname(directory))
        except OSError as error:
            raise _unmade(directory, error) from error
        _log.info("made subdirectory for study again: %s", directory)

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


def _unmade(directory: str, error: OSError) -> StorageError:
    why = "it is a file" if isinstance(error, FileExistsError) else error.strerror
    return StorageError(f"cannot make study directory {directory}: {why}", errno=error.errno, path=directory)


def is_directory(path: str) -> bool:
    """Tell whether a study's directory is there. Raises ``StorageError`` for a symbolic link: who knows where it leads."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unmade(path, error) from error
    if stat.S_ISLNK(mode):
        raise StorageError(f"{path} is a symbolic link, which is not followed", errno=errno.ELOOP, path=path)
    return stat.S_ISDIR(mode)
