"""Looks at what servers have on disk, continuously: right octets, nothing else; what was verified is removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from tests.soak.ledger import Ledger, Promises
from tests.soak.objects import digest
from tests.soak.senders import TITLE
from tests.soak.servers import Managed
from tests.support.rawscu import DEFLATED, inflate, split_file

GRACE_S = 40.0  #: so long a file may be there before somebody tells of it
ERRORS = (b"Traceback", b"internal error", b"cannot go on")


class Tail:
    """Reads whole lines of a growing file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def lines(self) -> list[bytes]:
        """Return the lines that are new."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            octets = file.read()
        self._offset += len(octets)
        *lines, self._rest = (self._rest + octets).split(b"\n")
        return lines


class Verifier:
    """Verifies what one server stores."""

    def __init__(self, server: Managed, ledger: Ledger, promises: Promises) -> None:
        self.name = server.name
        self._server = server
        self._ledger = ledger
        self._promises = promises
        self._ran = Tail(server.directory / "ran")
        self._ended = Tail(server.directory / "ended")
        self._log = Tail(server.log)
        self._unknown: dict[str, float] = {}
        self._completed: list[str] = []
        self.sorted = "-su" in server.options
        self.hooks = "-xcr" in server.options

    def sweep(self, *, last: bool = False) -> None:
        """Verify and remove what can be."""
        for line in self._ran.lines():
            self._ledger.hook_ran(line.decode())
        for line in self._ended.lines():
            self._ledger.counts["study hooks"] += 1
            self._completed.append(line.decode().split(" ", 4)[4])
        self._read_log()
        self._quarantine()
        if self.sorted:
            self._completed = [path for path in self._completed if not self._study(Path(path))]
        with contextlib.suppress(FileNotFoundError):
            for directory in self._outputs():
                self._directory(directory, recursive=last)
        if last:
            self._nothing_else()

    def _outputs(self) -> list[Path]:
        return [self._server.output, *self._server.output.parent.glob("gone-*")]

    def _study(self, directory: Path) -> bool:
        """Verify the directory of a study that ended; tell whether nothing is left of it."""
        if not directory.exists():
            return True  # a hook that ran twice
        done = self._directory(directory, recursive=False)
        if done:
            self._ledger.counts["studies ended"] += 1
            shutil.rmtree(directory, ignore_errors=True)
        return done

    def _directory(self, directory: Path, *, recursive: bool) -> bool:
        """Verify the files of a directory; tell whether none is left."""
        left = 0
        try:
            entries = list(os.scandir(directory))
        except FileNotFoundError:
            return True
        for entry in entries:
            if entry.name.startswith(".fastscp") or entry.name == "manifest.json":
                continue
            if entry.is_dir(follow_symlinks=False):
                if recursive:
                    left += not self._directory(Path(entry.path), recursive=True)
                continue
            left += not self._file(Path(entry.path))
        return not left

    def _file(self, path: Path) -> bool:
        """Verify a file and remove it; tell whether it is settled."""
        try:
            octets = path.read_bytes()
        except FileNotFoundError:
            return True
        instance = split_file(octets)
        data_set = instance.dataset
        if instance.transfer_syntax == DEFLATED:
            data_set = inflate(data_set)
        if not _title(octets).startswith(TITLE):
            self._ledger.counts["objects of hostile peers stored"] += 1
            return self._remove(path)
        good = self._ledger.found(self._server.name, instance.sop_instance, digest(data_set), str(path))
        if good is None:
            first = self._unknown.setdefault(str(path), time.monotonic())
            if time.monotonic() - first < GRACE_S:
                return False
            self._ledger.strange(instance.sop_instance, str(path))
        if not good:
            self._keep(path)
            return True
        self._unknown.pop(str(path), None)
        return self._remove(path)

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return True
        except OSError:  # read-only for a while
            return False
        return True

    def _keep(self, path: Path) -> None:
        """Put evidence aside."""
        kept = self._server.directory / "evidence"
        kept.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            shutil.move(path, kept / f"{time.monotonic():.3f} {path.name}"[:200])

    def _quarantine(self) -> None:
        """What is quarantined is never without its report."""
        directory = self._server.directory / "quarantine"
        if not directory.exists():
            return
        for entry in sorted(os.listdir(directory)):
            path = directory / entry
            if entry.startswith(".fastscp-") or entry.endswith(".json"):
                continue
            report = directory / f"{entry}.json"
            if not report.exists() and path.exists():
                self._promises.broken("a quarantined object has its report", str(path))
            self._ledger.counts["quarantined"] += 1
            path.unlink(missing_ok=True)
            report.unlink(missing_ok=True)

    def _read_log(self) -> None:
        for line in self._log.lines():
            if any(error in line for error in ERRORS):
                self._promises.broken("no unexpected errors", f"{self._server.name}: {line.decode('latin-1')[:500]}")

    def _nothing_else(self) -> None:
        """At the end, when the service is stopped and all was verified."""
        for output in self._outputs():
            if not output.exists():
                continue
            for path in output.rglob("*"):
                if ".fastscp" in path.parts[len(output.parts):][:1] or path.is_dir():
                    continue
                self._promises.broken("nothing else is there", f"{path} is left at the end")
        for path in self._server.directory.rglob(".fastscp-*"):
            self._promises.broken("nothing else is there", f"{path} is left at the end")


def _title(octets: bytes) -> str:
    """Return the calling title that is in the file meta information."""
    at = octets.find(b"\x02\0\x16\0AE", 132, 1000)
    if at < 0:
        return ""
    length = int.from_bytes(octets[at + 6:at + 8], "little")
    return octets[at + 8:at + 8 + length].decode("latin-1").strip()
