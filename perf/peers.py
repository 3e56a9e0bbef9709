"""The servers that are compared, and how each is started.

``PEERS`` has them by name. One that is not installed has a reason why it is left out, which reports repeat.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.loads import load
from perf.rows import Row

ROOT = Path(__file__).resolve().parent.parent
#: begins the name of a server that runs from the checkout ``--before`` names
BEFORE = "before: "
_FASTEST = ("+B", "-pdu", "131072")
_ORTHANC = ("Orthanc", "orthanc", "/usr/sbin/Orthanc")


@dataclass(frozen=True)
class Peer:
    """A kind of server: ``program`` begins its command line, or None with the reason why there is none."""

    program: Callable[[], Sequence[str] | str]
    options: tuple[str, ...] = ()
    dcmtk: bool = True  #: it has DCMTK's command line: options, -od, the port
    takes: bool = True  #: it gets the options of a row; else it runs plain
    only_options: frozenset[str] | None = None  #: it knows no others than these
    refuses: tuple[tuple[str, ...], ...] = ()  #: options, with their arguments, that it does not start with
    beside: str = "storescp"  #: whom it is compared with in tables
    files: bool = True  #: each object becomes one file below its directory
    most_objects: int = 0  #: of a round, where more would take too long
    environment: tuple[tuple[str, str], ...] = ()


@functools.cache
def dcmtk(name: str) -> str:
    """Return the path of DCMTK's program, or ""; pynetdicom installs some of the same names."""
    for directory in os.get_exec_path():
        path = os.path.join(directory, name)
        if os.access(path, os.X_OK):
            said = subprocess.run([path, "--version"], capture_output=True, check=False).stdout
            if said.startswith(b"$dcmtk"):
                return path
    return ""


@functools.cache
def floor_program() -> str:
    """Compile perf/floor.c; "" without a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return ""
    directory = tempfile.mkdtemp(prefix="floor-")
    atexit.register(shutil.rmtree, directory)
    program = os.path.join(directory, "floor")
    subprocess.run([compiler, "-O2", "-o", program, str(ROOT / "perf" / "floor.c")], check=True)
    return program


def _fastscp() -> list[str]:
    return [sys.executable, "-m", "fastscp"]


def _dcmtk(name: str, *options: str) -> Callable[[], Sequence[str] | str]:
    return lambda: [dcmtk(name), *options] if dcmtk(name) else f"DCMTK's {name} is not installed"


def _pynetdicom() -> Sequence[str] | str:
    found = importlib.util.find_spec("pynetdicom") is not None
    return [sys.executable, "-m", "pynetdicom", "storescp", "-q"] if found else "pynetdicom is not installed"


def _orthanc() -> Sequence[str] | str:
    found = next(filter(None, map(shutil.which, _ORTHANC)), None)
    return [found] if found else "Orthanc is not installed"


def _floor() -> Sequence[str] | str:
    return [floor_program()] if floor_program() else "there is no C compiler for perf/floor.c"


_NO_OPTIONS: frozenset[str] = frozenset()
_PEERS_OWN = frozenset({"-dhl"})
#: of DCMTK 3.6.7: no end of a study is told of where associations are processes
_NOT_WITH_FORK = (("-rns",), ("-xcs", "true"))
PEERS: dict[str, Peer] = {
    "fastscp": Peer(_fastscp),
    "fastscp +B": Peer(_fastscp, _FASTEST, beside="storescp +B"),
    "fastscp plain": Peer(_fastscp, takes=False),
    "fastscp pure": Peer(_fastscp, environment=(("FASTSCP_PURE", "1"),)),
    "fastscp --quarantine": Peer(_fastscp, ("--quarantine", "{directory}.quarantine")),
    "storescp": Peer(_dcmtk("storescp", "--fork"), refuses=_NOT_WITH_FORK),
    "storescp +B": Peer(_dcmtk("storescp", "--fork"), _FASTEST, beside="storescp +B", refuses=_NOT_WITH_FORK),
    "storescp single": Peer(_dcmtk("storescp")),
    "dcmrecv": Peer(_dcmtk("dcmrecv"), only_options=_PEERS_OWN),
    "dcmrecv +B": Peer(_dcmtk("dcmrecv"), _FASTEST, only_options=_PEERS_OWN, beside="storescp +B"),
    "pynetdicom": Peer(_pynetdicom, dcmtk=False, only_options=_NO_OPTIONS, most_objects=200),
    "orthanc": Peer(_orthanc, dcmtk=False, only_options=_NO_OPTIONS, files=False),
    "floor": Peer(_floor, dcmtk=False, only_options=_PEERS_OWN),
}


def why_not(name: str, row: Row) -> str:
    """Return why a server takes no part in a row; "" when it does."""
    peer = PEERS[name.removeprefix(BEFORE)]
    program = peer.program()
    if isinstance(program, str):
        return program
    if row.tls and not peer.dcmtk:
        return "not with TLS"
    if name == "floor" and len(row.loads) > 1:
        return "it knows one presentation context"
    words = {word for word in row.options if word[0] in "+-"}
    if peer.takes and peer.only_options is not None and not words <= peer.only_options:
        return f"has no {' '.join(sorted(words - peer.only_options))}"
    return ""


def command(name: str, row: Row, port: int, directory: str, tls_options: Sequence[str] = ()) -> list[str]:
    """Return the command line of a server for a row."""
    peer = PEERS[name.removeprefix(BEFORE)]
    program = peer.program()
    assert not isinstance(program, str), program  # asked for with why_not() before
    if name == "floor":
        return [*program, directory, str(port)]
    if name == "orthanc":
        return [*program, _orthanc_configuration(port, directory)]
    options = (*peer.options, *(_of_row(peer, row) if peer.takes else ()), *tls_options)
    words = [word.replace("{directory}", directory) for word in options]
    if "dcmrecv" in name:
        words += ["-xf", _profile(row, directory), "Default"]
    return [*program, *words, "-od", directory, str(port)]


def _of_row(peer: Peer, row: Row) -> tuple[str, ...]:
    """Return the options of a row without those that the server refuses."""
    options = row.options
    for refused in peer.refuses:
        at = next((at for at in range(len(options)) if options[at : at + len(refused)] == refused), None)
        if at is not None:
            options = options[:at] + options[at + len(refused) :]
    return options if peer.dcmtk else ()


def _profile(row: Row, directory: str) -> str:
    """Write an association negotiation profile for dcmrecv, which takes nothing but C-ECHO without one; return its path."""
    path = f"{directory}.cfg"
    classes = dict.fromkeys(load(name).sop_class for name in row.loads)
    contexts = "\n".join(f"PresentationContext{n} = {uid}\\Any" for n, uid in enumerate(classes, 1))
    Path(path).write_text("[[TransferSyntaxes]]\n[Any]\nTransferSyntax1 = LittleEndianExplicit\n[[PresentationContexts]]\n"
                          f"[All]\n{contexts}\n[[Profiles]]\n[Default]\nPresentationContexts = All\n", encoding="ascii")
    return path


def _orthanc_configuration(port: int, directory: str) -> str:
    """Write a configuration that only receives; return its path."""
    path = os.path.join(directory, "orthanc.json")
    Path(path).write_text(json.dumps({
        "StorageDirectory": directory, "IndexDirectory": directory, "DicomPort": port, "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False, "HttpServerEnabled": False, "OverwriteInstances": True, "StorageCompression": False,
        "DicomAlwaysAllowEcho": True}))
    return path
