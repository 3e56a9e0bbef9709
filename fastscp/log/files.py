"""Appenders that write to files, safe when several processes write to the same one.

Each message is one ``write`` to a descriptor opened for appending. Before it, the name is looked up again: when
another process has rotated the file, the new one is opened. Rotation itself happens under a POSIX lock on the
file that is rotated, and only if it still has its name once the lock is held; so it happens once. While
a process that was stopped holds the lock, messages go to the file that is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fastscp.log.appenders import Appender, encode
from fastscp.log.filters import Filter
from fastscp.log.layouts import Layout
from fastscp.log.turns import Turns

_SMALLEST_ROLLING_OCTETS = 200 * 1024
_ROLLING_OCTETS = 10 * 1024 * 1024
_UNITS = {"KB": 1024, "MB": 1024 * 1024}

#: ``Schedule`` and what it puts behind the name of a finished file (strftime)
SCHEDULES: Mapping[str, str] = {
    "MONTHLY": "%Y-%m",
    "WEEKLY": "%Y-%W",
    "DAILY": "%Y-%m-%d",
    "TWICE_DAILY": "%Y-%m-%d-%p",
    "HOURLY": "%Y-%m-%d-%H",
    "MINUTELY": "%Y-%m-%d-%H-%M",
}


def enabled(properties: Mapping[str, str], key: str, *, default: bool) -> bool:
    """Read a switch: ``true`` in any case, or ``1``."""
    value = properties.get(key)
    return default if value is None else value.lower() in ("true", "1")


def number(properties: Mapping[str, str], key: str, default: int) -> int:
    """Read the number a value starts with, 0 when it starts with none."""
    value = properties.get(key)
    if value is None:
        return default
    match = re.match(r"\s*([+-]?[0-9]+)", value)
    return int(match[1]) if match else 0


class FileAppender(Appender):
    """Writes to ``File``, emptied first unless ``Append`` is true.

    Raises ``KeyError`` when ``File`` is missing and ``OSError`` when it cannot be opened.
    """

    append_by_default = False

    def __init__(self, layout: Layout, chain: list[Filter], properties: Mapping[str, str]) -> None:
        super().__init__(layout, chain)
        name = properties["File"]
        if not name:
            raise KeyError("File")
        self._turns = Turns()
        self._path = Path(name).absolute()  # the service may change its directory
        keep = enabled(properties, "Append", default=self.append_by_default)
        self._file = self._open(0 if keep else os.O_TRUNC)

    @property
    def path(self) -> str:
        """Where the file is."""
        return str(self._path)

    def _open(self, flags: int = 0) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | flags, 0o666)

    def append(self, text: str, record: logging.LogRecord) -> None:
        """Write ``text`` in one piece to the file that has the name now."""
        if not self._is_current():
            self._reopen()
        self.rotate(record)
        view = memoryview(encode(text))
        while view:
            view = view[os.write(self._file, view) :]

    def rotate(self, record: logging.LogRecord) -> None:
        """Rotate before ``record`` is written, if it is time."""

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        super().close()

    def _is_current(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self._file))

    def _reopen(self) -> None:
        """Go on in the file that has the name; in the one that is open when there is no descriptor for another."""
        file = self._open()
        os.close(self._file)
        self._file = file

    @contextlib.contextmanager
    def _sole_rotation(self) -> Iterator[bool | None]:
        """Hold the lock of the open file; yield whether the file is still the one to rotate, None when another rotates it."""
        if not self._turns.take(self._file):
            yield None
            return
        try:
            yield self._is_current()
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
            self._reopen()


class RollingFileAppender(FileAppender):
    """Starts a new file when one grows beyond ``MaxFileSize``; keeps ``MaxBackupIndex`` old ones, ``.1`` the newest."""

    append_by_default = True

    def __init__(self, layout: Layout, chain: list[Filter], properties: Mapping[str, str]) -> None:
        super().__init__(layout, chain, properties)
        size = number(properties, "MaxFileSize", _ROLLING_OCTETS)
        size *= _UNITS.get(properties.get("MaxFileSize", "").upper()[-2:], 1)
        self._limit_octets = max(size, _SMALLEST_ROLLING_OCTETS)
        self._backups = max(number(properties, "MaxBackupIndex", 1), 1)

    def rotate(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - see FileAppender
        """Rotate when what was written so far exceeds the limit."""
        if os.fstat(self._file).st_size <= self._limit_octets:
            return
        with self._sole_rotation() as mine:
            if mine:
                shift(str(self._path), self._backups)
                self._path.rename(f"{self._path}.1")


class DailyRollingFileAppender(FileAppender):
    """Starts a new file each period of ``Schedule``; a finished one is named after its period.

    Periods are compared as the text they put into names, which sorts by time. Unlike log4cplus it does not rotate when the program ends, only when the period does.
    """

    append_by_default = True

    def __init__(self, layout: Layout, chain: list[Filter], properties: Mapping[str, str]) -> None:
        super().__init__(layout, chain, properties)
        self._suffix = SCHEDULES.get(properties.get("Schedule", "").upper(), SCHEDULES["DAILY"])
        self._backups = max(number(properties, "MaxBackupIndex", 10), 1)
        self._period = self._period_of_file()

    def rotate(self, record: logging.LogRecord) -> None:
        """Rotate when ``record`` is of a later period than the file."""
        period = self._period_at(record.created)
        finished = self._period
        if period <= finished:
            return
        with self._sole_rotation() as mine:
            if mine is None:
                return
            if mine and os.fstat(self._file).st_size:
                target = f"{self._path}.{finished}"
                shift(target, self._backups)
                with contextlib.suppress(FileNotFoundError):
                    Path(target).rename(f"{target}.1")
                self._path.rename(target)
        self._period = period

    def _reopen(self) -> None:
        super()._reopen()
        self._period = self._period_of_file()

    def _period_at(self, moment: float) -> str:
        return time.strftime(self._suffix, time.localtime(moment))

    def _period_of_file(self) -> str:
        """Return the period of the last message in the file."""
        return self._period_at(os.fstat(self._file).st_mtime)


def shift(path: str, backups: int) -> None:
    """Make room for ``path.1``: rename ``path.n`` to ``path.n+1``, the one beyond ``backups`` is lost."""
    for index in range(backups - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}.{index}").rename(f"{path}.{index + 1}")
