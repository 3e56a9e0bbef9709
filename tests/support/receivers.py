"""Storage SCPs of others, each storing into a directory of its own: what fastscp-blast is tried with, and compared by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from fastscp.blast.synthetic import LOADS, synthetic
from tests.support.servers import FastscpServer, Server, StorescpServer, listens, wait_until


class ListeningServer(Server):
    """A server that is ready when it listens."""

    def wait_ready(self) -> None:
        def listening() -> bool:
            if not self.alive():
                raise AssertionError("the server ended at its start: " + self.log().decode("latin-1"))
            assert self.process is not None
            return listens(self.process)

        wait_until(listening, "the server listens")


def profile(storage: Path) -> Path:
    """Write the profile without which dcmrecv takes nothing but C-ECHO: the SOP classes of the synthetic loads."""
    path = directory_of(storage) / "profile.cfg"
    contexts = "".join(f"PresentationContext{number} = {synthetic(name).sop_class}\\Explicit\n" for number, name in enumerate(LOADS, 1))
    path.write_text("[[TransferSyntaxes]]\n[Explicit]\nTransferSyntax1 = LittleEndianExplicit\n"
                    f"[[PresentationContexts]]\n[Loads]\n{contexts}[[Profiles]]\n[Loads]\nPresentationContexts = Loads\n")
    return path


class Dcmrecv(ListeningServer):
    """DCMTK's other receiver: one process."""

    def command(self) -> list[str]:
        self._environment["TCP_NODELAY"] = "1"
        return ["dcmrecv"]


class Pynetdicom(ListeningServer):
    """pynetdicom's own storescp."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "pynetdicom", "storescp", "-q"]


class Orthanc(ListeningServer):
    """Orthanc, as Debian has it, with nothing but its DICOM server."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        super().__init__([])

    def command(self) -> list[str]:
        settings = directory_of(self._directory) / "orthanc.json"
        settings.write_text(json.dumps({
            "StorageDirectory": str(self._directory), "IndexDirectory": str(self._directory), "HttpServerEnabled": False, "Plugins": [],
            "DicomPort": self.port, "DicomAlwaysAllowStore": True, "DicomCheckCalledAet": False, "OverwriteInstances": False}))
        return ["sh", "-c", f'exec {orthanc()} "$0"', str(settings)]  # which takes no port


def directory_of(storage: Path) -> Path:
    """Return where settings go, beside the storage."""
    made = storage.parent / f"{storage.name}-settings"
    made.mkdir(exist_ok=True)
    return made


def orthanc() -> str | None:
    """Return the program, which Debian keeps where only root looks; None where there is none."""
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin:/usr/local/sbin")


def has_dcmrecv() -> bool:
    """Tell whether DCMTK's dcmrecv is there, and not another program of that name."""
    path = shutil.which("dcmrecv")
    return path is not None and b"$dcmtk" in subprocess.run([path, "--version"], capture_output=True, check=False).stdout


RECEIVERS: dict[str, Callable[[Path], Server]] = {
    "fastscp": lambda directory: FastscpServer(["-od", directory]),
    "storescp --fork": lambda directory: StorescpServer(["--fork", "-od", directory]),
    "dcmrecv": lambda directory: Dcmrecv(["-xf", profile(directory), "Loads", "-od", directory]),
    "Orthanc": Orthanc,
    "pynetdicom": lambda directory: Pynetdicom(["-od", directory]),
}
