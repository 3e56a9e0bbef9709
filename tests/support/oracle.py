"""Ask the real tools what the bytes should be: storescp over the network, dcmconv by file."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.rawscu import CT_IMAGE, Aborted, RawSCU, split_file
from tests.support.servers import StorescpServer

PREAMBLE = bytes(128) + b"DICM"

#: The version of DCMTK whose options, help and answers ours has; deviations are counted from it.
REFERENCE = "3.6.7"


@functools.cache
def installed_version() -> str:
    """Return the version of the storescp that is installed; the reference where there is none."""
    if shutil.which("storescp") is None:
        return REFERENCE
    banner = subprocess.run(["storescp", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"storescp v(\d+\.\d+\.\d+)", banner)
    assert found is not None, banner
    return found[1]


@dataclass(frozen=True)
class Answer:
    """What storescp did with one object: status (None: it aborted) and the stored file (None: none)."""

    status: int | None
    file: bytes | None

    @property
    def dataset(self) -> bytes | None:
        """The data set part of the stored file."""
        return None if self.file is None else split_file(self.file).dataset


class StorescpOracle:
    """One storescp that stores into a directory of its own; ``with`` starts and ends it."""

    def __init__(self, directory: Path, options: list[str]) -> None:
        self.directory = directory
        self._server = StorescpServer(["-od", directory, "-pm", *options])

    def __enter__(self) -> StorescpOracle:  # noqa: PYI034 - Self is newer than Python 3.10
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.stop()

    def store(self, dataset: bytes, transfer_syntax: str, sop_class: str = CT_IMAGE,
              sop_instance: str = "1.2.3.4.5") -> Answer:
        """Send the octets as they are on an association of their own. Raises Aborted if none comes about."""
        status = None
        with RawSCU("127.0.0.1", self._server.port) as scu:
            # a class that storescp refuses to negotiate can still be named in the command
            scu.associate([(1, sop_class, [transfer_syntax]), (3, CT_IMAGE, [transfer_syntax])])
            if not scu.accepted:
                raise Aborted(f"{transfer_syntax} is not negotiable")
            try:
                status = scu.store(1 if 1 in scu.accepted else 3, sop_class, sop_instance, dataset)
                scu.release()
            except (Aborted, ConnectionError):
                status = None
        stored = [Path(entry.path) for entry in os.scandir(self.directory)]
        content = stored[0].read_bytes() if stored else None
        for path in stored:
            path.unlink()
        return Answer(status, content)


def file_meta(transfer_syntax: str, sop_class: str = CT_IMAGE, sop_instance: str = "1.2.3.4.5") -> bytes:
    """Encode minimal file meta information for files given to dcmconv."""
    def ui(element: int, uid: str) -> bytes:
        value = uid.encode("ascii") + b"\0" * (len(uid) & 1)
        return b"\x02\x00" + element.to_bytes(2, "little") + b"UI" + len(value).to_bytes(2, "little") + value
    body = b"\x02\x00\x01\x00OB\0\0\x02\0\0\0\0\x01" + ui(2, sop_class) + ui(3, sop_instance)
    body += ui(0x10, transfer_syntax) + ui(0x12, "1.2.3")
    return PREAMBLE + b"\x02\0\0\0UL\x04\0" + len(body).to_bytes(4, "little") + body


def dcmconv(dataset: bytes, transfer_syntax: str, options: list[str], directory: Path) -> bytes | None:
    """Convert by file; return the data set written, None when dcmconv fails."""
    source, target = directory / "in.dcm", directory / "out.dcm"
    source.write_bytes(file_meta(transfer_syntax) + dataset)
    target.unlink(missing_ok=True)
    done = subprocess.run(["dcmconv", *_padding(options), source, target], capture_output=True, check=False)
    if done.returncode or not target.exists():
        return None
    return split_file(target.read_bytes()).dataset


def _padding(options: list[str]) -> list[str]:
    """Make dcmconv drop padding like storescp does, instead of its own default."""
    return options if "+p" in options else ["-p", *options]
