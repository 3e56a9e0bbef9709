"""Running fastscp-blast, and receivers that it finds fault with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastscp import jsontext
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "fastscp.cli.blast"]


@dataclass
class Run:
    """What came of one run."""

    status: int
    result: dict[str, Any]
    output: str
    errors: str

    def wrong(self, where: Path) -> dict[str, int]:
        """Return how many findings of each kind there are."""
        return {kind: len(lines) for kind, lines in self.result["verified"][str(where)].items() if isinstance(lines, list) and lines}


def environment() -> dict[str, str]:
    """Return the environment of a run: this checkout, wherever it is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def blast(tmp_path: Path, port: int, *arguments: object, paths: tuple[object, ...] = (), host: str = "127.0.0.1") -> Run:
    """Run it, with ``--json`` in a file of its own."""
    report = tmp_path / "blast.json"
    report.unlink(missing_ok=True)
    done = subprocess.run([*COMMAND, *map(str, arguments), "--json", str(report), host, str(port), *map(str, paths)], capture_output=True,
                          text=True, env=environment(), check=False, timeout=120)
    text = report.read_bytes() if report.exists() else b""
    return Run(done.returncode, json.loads(text) if text else {}, done.stdout, done.stderr)


def events(path: Path) -> list[dict[str, Any]]:
    """Return the events of a stream."""
    return [jsontext.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


#: number of the object on its association (from 0), path it would have, its file's octets -> status
Store = Callable[[int, Path, bytes], int]


@contextmanager
def receiver(directory: Path, store: Store) -> Iterator[int]:
    """Run pynetdicom's SCP, which has ``store`` do with each object what it likes; yield its port."""
    from pynetdicom import AE, StoragePresentationContexts, evt

    counted = threading.Lock()
    numbers = iter(range(1 << 30))

    def handle(event: Any) -> int:
        with counted:
            number = next(numbers)
        uid = event.request.AffectedSOPInstanceUID
        return store(number, directory / str(uid), event.encoded_dataset())

    entity = AE()
    entity.supported_contexts = StoragePresentationContexts
    port = free_port()
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        yield port
    finally:
        server.shutdown()
