"""The report of an ingest: one JSON object a line, for each source.

Strategy: lines gather until ``flush``, which the caller calls in front of each commit of the journal. A run that goes
on cuts off what the last one wrote behind its last commit: those sources are read again.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import orjson

from fastscp import jsontext
from fastscp.errors import ProcessError


class Report:
    """The report file. ProcessError where it cannot be written."""

    def __init__(self, path: str, *, octets: int = 0) -> None:
        """Keep the first ``octets`` of what is there."""
        self.path = os.path.abspath(path)
        self._lines: list[bytes] = []
        self._path = Path(path)
        try:
            self._file = self._path.open("r+b" if octets and self._path.exists() else "wb", buffering=0)
            status = os.fstat(self._file.fileno())
            self.octets = min(octets, status.st_size)
            if stat.S_ISREG(status.st_mode):  # a pipe is as good, though nothing can be taken back
                self._file.truncate(self.octets)
                self._file.seek(self.octets)
        except OSError as error:
            raise self._error(error) from error

    def add(self, source: str, result: str, target: str, reason: str) -> None:
        """Add a line, to be written by ``flush``."""
        self._lines.append(jsontext.dumps(
            {"source": source, "result": result, "target": target or None, "reason": reason or None},
            orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> None:
        """Write what was added."""
        lines, self._lines = self._lines, []
        octets = memoryview(b"".join(lines))
        try:
            while octets:
                written = self._file.write(octets) or 0
                self.octets += written
                octets = octets[written:]
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _error(self, error: OSError) -> ProcessError:
        return ProcessError(f"report {self._path} cannot be written: {error.strerror}")

