"""Running fastscp-ingest, and the network that it is compared with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastscp.dicom import filemeta
from fastscp.ingest.recognise import recognise
from tests.support import datasets as ds
from tests.support.rawscu import CT_IMAGE, Instance, RawSCU
from tests.support.servers import FastscpServer

ROOT = Path(__file__).parents[2]
NATIVE = frozenset({ds.EXPLICIT, ds.IMPLICIT, ds.BIG, ds.DEFLATED})
COMMAND = [sys.executable, "-m", "fastscp.cli.ingest"]


@dataclass
class Run:
    """What came of one run."""

    status: int
    report: list[dict[str, str | None]]
    output: str
    errors: str

    def results(self) -> dict[str, str]:
        """Return the last result of each source, by the name of its file."""
        return {os.path.basename(str(line["source"])): str(line["result"]) for line in self.report}


def environment() -> dict[str, str]:
    """Return the environment of a run: this checkout, wherever it is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def ingest(arguments: Sequence[str | Path], *, report: Path | None = None, stdin: bytes = b"", cwd: Path | None = None) -> Run:
    """Run the program to its end."""
    extra = [] if report is None else ["--report", str(report)]
    done = subprocess.run([*COMMAND, *extra, *map(str, arguments)], capture_output=True, input=stdin, cwd=cwd,
                          env=environment(), check=False, timeout=240)
    return Run(done.returncode, read_report(report), done.stdout.decode(), done.stderr.decode())


def read_report(path: Path | None) -> list[dict[str, str | None]]:
    """Return the lines of a report."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(directory: Path) -> dict[str, bytes]:
    """Return what is in a directory: octets by path; what is hidden is left out."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(directory).parts)}


def without_times(found: dict[str, bytes]) -> dict[str, bytes]:
    """Return the same with numbers in the place of time stamps, in their order."""
    stamps = sorted({stamp for path in found for stamp in re.findall(r"\d{8}_\d{9}", path)})
    return {re.sub(r"\d{8}_\d{9}", lambda stamp: f"T{stamps.index(stamp[0])}", path): octets for path, octets in found.items()}


def instance(octets: bytes) -> Instance:
    """Return what a sender makes of a file."""
    found = recognise(octets, complete=True)
    assert found is not None
    return Instance(found.sop_class, found.sop_instance, found.transfer_syntax, octets[found.offset:])


def over_the_network(instances: Iterable[Instance], options: Sequence[str], output: Path) -> list[int]:
    """Send objects over one association to a service with the same options; return the statuses."""
    statuses = []
    objects = list(instances)
    pairs = list(dict.fromkeys((one.sop_class, one.transfer_syntax) for one in objects))
    profile = output.with_name(f"{output.name}.cfg")
    convert = bool(set(options) & {"+te", "+tb", "+ti", "+td"})
    profile.write_text(_profile([pair for pair in pairs if not convert or pair[1] in NATIVE]))
    with FastscpServer(["-od", output, "-xf", profile, "all", *options]) as server, RawSCU("127.0.0.1", server.port) as scu:
        numbers = {pair: 2 * index + 1 for index, pair in enumerate(pairs)}
        assert len(pairs) <= 128
        scu.associate([(numbers[pair], pair[0], [pair[1]]) for pair in pairs])
        for one in objects:
            context = numbers[one.sop_class, one.transfer_syntax]
            statuses.append(scu.store(context, one.sop_class, one.sop_instance, one.dataset) if context in scu.accepted else -1)
        scu.release()
    return statuses


def _profile(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a profile that accepts every pair of SOP class and transfer syntax: what no preference does."""
    syntaxes = "".join(f"TransferSyntax{number} = {uid}\n" for number, uid in enumerate(dict.fromkeys(uid for _, uid in pairs), 1))
    contexts = "".join(f"PresentationContext{number} = {sop_class}\\All\n"
                       for number, sop_class in enumerate(dict.fromkeys(sop_class for sop_class, _ in pairs), 1))
    return (f"[[TransferSyntaxes]]\n[All]\n{syntaxes}[[PresentationContexts]]\n[All]\n{contexts}"
            "[[Profiles]]\n[all]\nPresentationContexts = All\n")


def made(number: int, *, study: str = "1.2.9", series: str = "1.2.9.1", pixels: int = 64, meta: bool = True,
         patient: str = "A^B", sop_class: str = CT_IMAGE) -> bytes:
    """Return a small file, explicit VR little endian, whose header is long enough to be recognised."""
    uid = f"1.2.3.{number}"
    data = b"".join((
        ds.explicit(0x00080016, "UI", _even(sop_class)), ds.explicit(0x00080018, "UI", _even(uid)),
        ds.explicit(0x00080060, "CS", b"CT"), ds.explicit(0x00082111, "ST", b"from elsewhere, " * 12),
        ds.explicit(0x00100010, "PN", _even(patient, b" ")),
        ds.explicit(0x0020000D, "UI", _even(study)), ds.explicit(0x0020000E, "UI", _even(series)),
        ds.explicit(0x7FE00010, "OW", (number % 251).to_bytes(1, "little") * pixels)))
    head = filemeta.encode(sop_class.encode(), uid.encode(), ds.EXPLICIT, b"SOMEBODY") if meta else b""
    return head + data


def _even(text: str, padding: bytes = b"\0") -> bytes:
    octets = text.encode()
    return octets + padding * (len(octets) % 2)
