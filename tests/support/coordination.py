"""A coordinator process driven by scripted workers, over the channels of the real ones."""

from __future__ import annotations

import itertools
import logging
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

from fastscp.config import Config
from fastscp.coordinator import process as coordinator
from fastscp.process import fdpass, packets
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, StudyPolicy
from tests.support.servers import wait_until

TIMEOUT_S = 20.0
_names = itertools.count(1)


def configuration(output: Path, study: StudyPolicy | None = None, hooks: HookPolicy | None = None,
                  **store: Any) -> Config:
    return Config(store=StorePolicy(output_directory=str(output), **store), study=study or StudyPolicy(),
                  hooks=hooks or HookPolicy())


class ScriptedWorker:
    """The worker's end of an event channel: says what a test wants said."""

    def __init__(self, incarnation: str = "") -> None:
        self.incarnation = incarnation or f"scripted-{os.getpid()}-{next(_names)}"
        self.events = itertools.count(1)
        self.requests = itertools.count(1)
        self.channel: socket.socket | None = None
        self._heard: list[dict[str, Any]] = []

    def attach(self, channel: socket.socket, unacknowledged: int = 0) -> None:
        channel.settimeout(TIMEOUT_S)
        self.channel = channel
        self.say(kind="hello", incarnation=self.incarnation, unacknowledged=unacknowledged)

    def say(self, **packet: Any) -> None:
        assert self.channel is not None
        self.channel.send(packets.encode(packet))  # type: ignore[arg-type]

    def hear(self) -> dict[str, Any]:
        """Return the coordinator's next packet; of acknowledgements that came together one by one."""
        if not self._heard:
            assert self.channel is not None
            octets = self.channel.recv(fdpass.PACKET_OCTETS)
            assert octets, "the coordinator closed the channel"
            packet = packets.decode_coordinator(octets)
            if packet["kind"] == "ack":
                self._heard += [{**packet, "first": event, "event": event} for event in range(packet["first"], packet["event"] + 1)]
            else:
                self._heard.append(dict(packet))
        return self._heard.pop(0)

    def hears_nothing(self) -> bool:
        """Whether nothing has arrived."""
        assert self.channel is not None
        return not select.select([self.channel], [], [], 0)[0]

    def open(self, name: str, calling: str = "SCU", called: str = "SCP", peer: str = "127.0.0.1") -> None:
        self.say(kind="opened", association=name, calling_aet=calling, called_aet=called, peer=peer,
                 peer_host=peer, port=1024, max_pdu=16384)

    def close(self, name: str) -> None:
        self.say(kind="closed", association=name, how="released", stored=0, refused=0, octets=0)

    def ask(self, name: str, study: str, patient: str = "A^B", charset: str = "") -> int:
        request = next(self.requests)
        self.say(kind="place", request=request, association=name, study=study, patient=patient, charset=charset)
        return request

    def place(self, name: str, study: str, patient: str = "A^B", charset: str = "") -> dict[str, Any]:
        """Ask and return the answer."""
        request = self.ask(name, study, patient, charset)
        answer = self.hear()
        assert answer["kind"] == "placed"
        assert answer["request"] == request
        return answer

    def tell_stored(self, name: str, study: str, file: str, directory: str, request: int | None,
                    **fields: Any) -> int:
        event = fields.pop("event", None) or next(self.events)
        self.say(**{
            "kind": "stored", "event": event, "request": request, "keeps": False, "association": name, "directory": directory,
            "file": file, "sop_class": "1.2.840.10008.5.1.4.1.1.2", "sop_instance": f"{study}.{file}", "study": study,
            "series": f"{study}.1", "modality": "CT", "prefix": file[:2], "transfer_syntax": "1.2.840.10008.1.2",
            "size": 100, "duration_s": 0.01, "replaced": False, "unchanged": False, "duplicate": None, "sha256": None, **fields})
        return event

    def store(self, name: str, study: str, file: str, **fields: Any) -> str:
        """Place, write and report an object; return its directory once it is acknowledged."""
        answer = self.place(name, study)
        assert answer["status"] == 0, answer
        Path(answer["directory"], file).write_text(f"{study} {file}")
        event = self.tell_stored(name, study, file, answer["directory"], answer["request"], **fields)
        assert self.hear() == {"kind": "ack", "first": event, "event": event}
        return str(answer["directory"])


class CoordinatorProcess:
    """A forked coordinator. ``with`` waits until it is ready and makes sure that it is gone."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.pid = 0

    def __enter__(self) -> CoordinatorProcess:  # noqa: PYI034 - Self is newer than Python 3.10
        self.start()
        return self

    def start(self) -> None:
        self.control, theirs = fdpass.channel_pair()
        self.control.settimeout(TIMEOUT_S)
        self.pid = os.fork()
        if not self.pid:
            status = 70
            try:
                self.control.close()
                log = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - for the life of the process
                logging.getLogger().handlers = [logging.StreamHandler(log)]
                status = coordinator.main(theirs, self.config)
            finally:
                os._exit(status)
        theirs.close()
        assert packets.decode_control(self.control.recv(4096)) == {"kind": "ready"}

    def connect(self, worker: ScriptedWorker, unacknowledged: int = 0) -> ScriptedWorker:
        ours, theirs = fdpass.channel_pair()
        packet = packets.encode({"kind": "worker", "name": worker.incarnation})
        fdpass.send_with_descriptor(self.control, packet, theirs.fileno())
        theirs.close()
        worker.attach(ours, unacknowledged)
        return worker

    def worker(self, incarnation: str = "") -> ScriptedWorker:
        return self.connect(ScriptedWorker(incarnation))

    def order(self, kind: str) -> None:
        self.control.send(packets.encode({"kind": kind}))  # type: ignore[typeddict-item]

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Return the exit code once the process has ended."""
        result: list[int] = []

        def ended() -> bool:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                result.append(os.waitstatus_to_exitcode(status))
            return bool(pid)

        wait_until(ended, "the coordinator ended")
        self.pid = 0
        self.control.close()
        return result[0]

    def drain(self) -> int:
        self.order("drain")
        return self.wait()

    def __exit__(self, *_: object) -> None:
        if self.pid:
            self.kill()
