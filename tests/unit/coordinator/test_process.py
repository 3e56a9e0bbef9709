from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastscp.config import Config
from fastscp.config.network import NetworkPolicy, ProcessMode
from fastscp.coordinator import heir, opening, process, requests
from fastscp.coordinator.event_log import EventLog
from fastscp.coordinator.finishing import RENAMES_PER_STEP
from fastscp.coordinator.inheriting import FORGET_WORKERS_S, RECOVERY_S
from fastscp.coordinator.operators import REQUESTS_S
from fastscp.coordinator.process import (
    ORPHAN_GRACE_S,
    PAUSE_S,
    Coordinator,
)
from fastscp.coordinator.rounds import RETRY_S
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.errors import ProcessError, StorageError
from fastscp.process.loop import IN
from fastscp.store.policy import StorePolicy
from fastscp.study.policy import HookPolicy, Sorting, StudyPolicy
from fastscp.study.state import TaskRow
from tests.support import said
from tests.support.fakes import FakeDestination, FakeLoop, FakeProcesses, FakeSocket
from tests.support.faults import faulty_engine

BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)


class JournalState(SqliteState):
    """Writes down when something is written and committed."""

    def __init__(self, directory: Path | None, journal: list[Any]) -> None:
        super().__init__(directory, engine=faulty_engine)
        self.journal = journal

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self.journal.append("write")
        super()._write(statement, values)

    def commit(self) -> None:
        super().commit()
        self.journal.append("commit")


class JournalProcesses(FakeProcesses):
    """Writes down when a hook is started."""

    def __init__(self, journal: list[Any]) -> None:
        super().__init__()
        self.journal = journal

    def spawn(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        self.journal.append("spawn")
        return super().spawn(arguments, variables)


class Bench:
    """A coordinator without anything of the outside; ``turn`` ends its round."""

    def __init__(self, output: Path, study: StudyPolicy = BY_UID, hooks: HookPolicy | None = None, *,
                 state_directory: Path | None = None, event_log: bool = False) -> None:
        self.output = output
        self.config = Config(store=StorePolicy(output_directory=str(output)), study=study,
                             hooks=hooks or HookPolicy(jobs=2))
        self.journal: list[Any] = []
        self.state_directory = state_directory
        self.destination = FakeDestination() if event_log else None
        self.start()

    def start(self) -> None:
        self.loop = FakeLoop()
        self.control = FakeSocket(self.journal)
        self.processes = JournalProcesses(self.journal)
        self.sockets: dict[int, FakeSocket] = {}
        state = JournalState(self.state_directory, self.journal) if self.config.keeps_studies else None
        event_log = EventLog(self.destination, self.loop) if self.destination is not None else None
        hook_state = state or JournalState(self.state_directory, self.journal)
        self.coordinator = Coordinator(self.control, self.config, loop=self.loop, state=state, hook_state=hook_state,
                                       event_log=event_log, processes=self.processes, adopt=self.sockets.__getitem__,
                                       clock=lambda: self.loop.now)
        self.before_run()
        self.coordinator.run()

    def before_run(self) -> None:
        """Say what the process finds when it starts."""

    def order(self, kind: str, **fields: Any) -> None:
        self.control.put({"kind": kind, **fields})
        self.loop.fire(self.control.fd, IN)

    def worker(self, incarnation: str = "w", association: str = "a") -> FakeSocket:
        worker = FakeSocket(self.journal)
        self.sockets[worker.fd] = worker
        self.control.put({"kind": "worker", "name": incarnation}, worker.fd)
        self.loop.fire(self.control.fd, IN)
        self.say(worker, said.hello(incarnation), said.opened(association))
        self.turn()
        return worker

    def say(self, worker: FakeSocket, *packets: Mapping[str, Any]) -> None:
        for packet in packets:
            worker.put(packet)
        self.loop.fire(worker.fd, IN)

    def turn(self) -> None:
        self.loop.advance(0)

    def end(self, pid: int, status: int = 0) -> None:
        self.processes.end(pid, status)
        self.loop.send_signal(signal.SIGCHLD)

    def store(self, worker: FakeSocket, event: int, study: str, file: str = "CT.1", **fields: Any) -> None:
        (self.output / study).mkdir(exist_ok=True)
        (self.output / study / file).write_text("x")
        self.say(worker, said.stored(event, study, f"{self.output}/{study}", file, **fields))


def ack(event: int) -> dict[str, Any]:
    return {"kind": "ack", "first": event, "event": event}


def test_ready_is_told_once_before_anything_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.control.sent == [{"kind": "ready"}]


def test_round_commits_then_answers_then_starts_hooks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r"))
    worker = bench.worker()
    bench.journal.clear()
    bench.say(worker, said.place(1, "1.1"))
    bench.store(worker, 1, "1.1", request=1)
    assert set(bench.journal) == {"write"}
    bench.turn()
    told = [entry if isinstance(entry, str) else entry["kind"] for entry in bench.journal]
    assert [entry for entry in told if entry != "write"] == ["commit", "placed", "ack", "spawn", "commit"]
    assert told.index("commit") > max(index for index, entry in enumerate(told) if entry == "write")


def test_many_packets_are_one_transaction(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    one, two = bench.worker("w"), bench.worker("v", "b")
    bench.journal.clear()
    bench.store(one, 1, "1.1")
    bench.store(two, 1, "1.1", "CT.2", association="b")
    bench.turn()
    assert bench.journal.index("commit") < bench.journal.index(ack(1))
    assert "write" not in bench.journal[bench.journal.index("commit"):]
    assert one.sent == two.sent == [ack(1)]


FULL = "the state in None cannot be written: No space left on device"


class Full:
    """Lets the state of a bench take nothing until ``over``."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._connection = bench.coordinator._state._engine._connection
        self._connection.full = True

    def over(self) -> None:
        self._connection.full = False
        self._bench.loop.advance(RETRY_S)


def test_acknowledgement_comes_late_when_the_state_can_be_written_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r"))
    worker = bench.worker()
    full = Full(bench)
    bench.store(worker, 1, "1.1")
    bench.loop.advance(1.0)
    assert worker.take_sent() == [{"kind": "trouble", "reason": FULL}]
    assert bench.processes.spawned == {}
    full.over()
    assert worker.take_sent() == [{"kind": "trouble", "reason": ""}, ack(1)]
    assert len(bench.processes.spawned) == 1


def test_object_whose_place_cannot_be_kept_is_refused_with_the_reason_and_leaves_no_directory(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.worker()
    full = Full(bench)
    bench.say(worker, said.place(1, "1.2"))
    bench.turn()
    bench.say(worker, said.place(2, "1.3"))
    bench.turn()
    trouble, *placed = worker.take_sent()
    assert trouble == {"kind": "trouble", "reason": FULL}
    assert [(answer["request"], answer["status"], answer["message"]) for answer in placed] == [(1, 0xA700, FULL), (2, 0xA700, FULL)]
    assert list(tmp_path.iterdir()) == []
    full.over()
    bench.say(worker, said.place(3, "1.3"))
    bench.turn()
    assert [answer.get("status") for answer in worker.take_sent()] == [None, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["1.3"]


def test_worker_that_comes_meanwhile_is_told_that_nothing_can_be_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.worker()
    full = Full(bench)
    bench.store(worker, 1, "1.1")
    bench.turn()
    other = bench.worker("v", "b")
    assert other.sent == [{"kind": "trouble", "reason": FULL}]
    full.over()
    assert other.sent[-1] == {"kind": "trouble", "reason": ""}


def test_hooks_that_are_durable_run_while_the_state_takes_nothing(tmp_path: Path) -> None:
    """They may be what makes room."""
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r", jobs=1))
    worker = bench.worker()
    for event, study in enumerate(("1.1", "1.2"), 1):
        bench.store(worker, event, study)
    bench.turn()
    assert sorted(bench.processes.spawned) == [501]
    full = Full(bench)
    bench.store(worker, 3, "1.3")
    bench.turn()
    bench.end(501)
    bench.turn()
    bench.end(502)
    bench.turn()
    assert sorted(bench.processes.spawned) == [501, 502]
    full.over()
    assert sorted(bench.processes.spawned) == [501, 502, 503]


def test_state_that_cannot_be_written_at_the_end_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.worker()
    Full(bench)
    bench.store(worker, 1, "1.1")
    bench.turn()
    with pytest.raises(StorageError, match="No space left"):
        bench.coordinator.close()
    assert bench.loop.closed


def test_state_that_cannot_be_written_answers_nobody(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    worker = bench.worker()
    Full(bench)
    bench.store(worker, 1, "1.1")
    bench.turn()
    assert worker.sent == [{"kind": "trouble", "reason": FULL}]


def test_hook_that_starts_is_acknowledged_without_the_state_and_one_that_waits_once_it_is_in_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", jobs=1))
    worker = bench.worker()
    bench.journal.clear()
    for event in (1, 2):
        bench.say(worker, said.stored(event, "1.1", str(tmp_path), f"CT.{event}"))
    bench.turn()
    assert worker.sent == [ack(1), ack(2)]
    journal = bench.journal[bench.journal.index("spawn"):]
    assert journal == ["spawn", ack(1), "write", "write", "commit", ack(2)]
    assert [row.number for row in bench.coordinator._state.recover().tasks] == [2]
    bench.end(501)
    bench.turn()
    bench.end(502)
    bench.turn()
    assert bench.coordinator._state.recover().tasks == []


def test_blocked_worker_holds_nobody_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    slow, quick = bench.worker("slow"), bench.worker("quick", "b")
    slow.room = 0
    bench.store(slow, 1, "1.1")
    bench.store(quick, 1, "1.1", "CT.2", association="b")
    bench.turn()
    assert (slow.sent, quick.sent) == ([], [ack(1)])


def test_deadline_of_a_study_wakes_the_process_and_moves_with_its_objects(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10), HookPolicy(on_end_of_study="e"))
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    bench.loop.advance(9)
    bench.store(worker, 2, "1.1", "CT.2")
    bench.turn()
    bench.loop.advance(9.9)
    assert bench.processes.spawned == {}
    bench.loop.advance(0.1)
    assert list(bench.processes.spawned) == [501]
    bench.end(501)
    bench.turn()
    assert bench.loop.next_timer is None


def test_deadline_is_not_kept_for_a_study_that_ended_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10))
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    bench.loop.advance(5)
    bench.store(worker, 2, "1.2")
    bench.turn()
    assert bench.loop.next_timer == bench.loop.now + 10


def test_long_renames_let_the_channels_have_their_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, rename=True))
    worker = bench.worker()
    for event in range(RENAMES_PER_STEP + 1):
        bench.store(worker, event + 1, "1.1", f"CT.{event}")
    bench.store(worker, 100, "1.2")
    bench.turn()
    left = [path for path in (tmp_path / "1.1").iterdir() if "." in path.name]
    assert len(left) == 1
    bench.loop.advance(PAUSE_S)
    assert not left[0].exists()


# -- orders -------------------------------------------------------------------------------------------


def test_drain_takes_over_the_channels_ends_the_studies_and_waits_for_their_hooks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_end_of_study="e"))
    worker = bench.worker()
    (tmp_path / "1.1").mkdir()
    worker.put(said.stored(1, "1.1", f"{tmp_path}/1.1"))
    bench.order("drain")
    bench.turn()
    assert worker.sent == [ack(1)]
    assert list(bench.processes.spawned) == [501]
    assert not bench.loop.stopped
    bench.end(501)
    bench.turn()
    assert bench.loop.stopped


def test_drain_without_anything_to_do_ends_at_once_and_may_be_repeated(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.order("drain")
    bench.order("drain")
    bench.turn()
    assert bench.loop.stopped


@pytest.mark.parametrize("how", ["suspend", "orphan"])
def test_a_run_that_goes_on_later_leaves_its_studies_open_and_lets_hooks_end(tmp_path: Path, how: str) -> None:
    study = StudyPolicy(sorting=BY_UID.sorting, resumed=True)
    bench = Bench(tmp_path, study=study, hooks=HookPolicy(on_reception="r", on_end_of_study="e"))
    worker = bench.worker()
    (tmp_path / "1.1").mkdir()
    worker.put(said.stored(1, "1.1", f"{tmp_path}/1.1"))
    if how == "suspend":
        bench.order("suspend")
    else:
        bench.control.dead = True
        bench.loop.fire(bench.control.fd, IN)
        worker.dead = True
        bench.loop.fire(worker.fd, IN)
    bench.turn()
    assert list(bench.processes.spawned) == [501], "the hook of the object, not of the end of the study"
    assert not bench.loop.stopped
    bench.end(501)
    bench.turn()
    assert bench.loop.stopped
    assert list(bench.processes.spawned) == [501]


def test_end_of_the_control_channel_without_workers_drains(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    assert bench.control.fd not in bench.loop
    bench.turn()
    assert bench.loop.stopped


def test_acceptor_process_dies_and_the_last_worker_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r", on_end_of_study="e"))
    one, two = bench.worker("w"), bench.worker("v", "b")
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    bench.say(one, said.place(1, "1.1"))
    bench.turn()
    assert [packet["kind"] for packet in one.take_sent()] == ["placed"]
    two.dead = True
    bench.loop.fire(two.fd, IN)
    bench.turn()
    bench.store(one, 1, "1.1", request=1)
    bench.turn()
    assert ack(1) in one.take_sent()
    assert not bench.loop.stopped
    one.dead = True
    bench.loop.fire(one.fd, IN)
    for _ in range(2):  # the hook of the object, then that of its study
        bench.turn()
        assert not bench.loop.stopped
        bench.end(bench.processes.running[0])
    bench.turn()
    assert bench.loop.stopped


def test_worker_that_hangs_does_not_keep_an_orphan_for_ever(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.worker()
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    limit_s = bench.config.network.drain_timeout_s + ORPHAN_GRACE_S
    bench.loop.advance(limit_s - 0.1)
    assert not bench.loop.stopped
    bench.loop.advance(0.1)
    assert bench.loop.stopped


def test_orphan_leaves_its_state_to_a_service_that_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heir, "is_waited_for", lambda path: path == tmp_path)
    bench = Bench(tmp_path, state_directory=tmp_path)
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    bench.loop.advance(60)
    assert not bench.loop.stopped, "its acceptor process lives"
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    bench.loop.advance(heir.LAST_WORDS_S)
    assert bench.loop.stopped
    bench.coordinator.close()
    assert [row.uid for row in SqliteState(tmp_path).recover().studies] == ["1.1"]


def test_stop_ends_at_once_and_keeps_everything(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_end_of_study="e"), state_directory=tmp_path)
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.order("stop")
    assert bench.loop.stopped
    bench.coordinator.close()
    assert bench.processes.spawned == {}
    assert [row.uid for row in SqliteState(tmp_path).recover().studies] == ["1.1"]


def test_spurious_wake_up_and_worker_without_descriptor_are_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.loop.fire(bench.control.fd, IN)
    bench.order("worker", name="w")
    bench.order("reload")
    assert not bench.loop.stopped


def test_close_gives_everything_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, event_log=True)
    worker = bench.worker()
    bench.coordinator.close()
    assert worker.closed
    assert bench.control.closed
    assert bench.loop.closed
    assert bench.destination is not None
    assert bench.destination.fd < 0


def test_events_are_written_at_the_end_of_the_round_and_reopened_on_reload(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), event_log=True)
    worker = bench.worker()
    bench.say(worker, said.closed("a"))
    bench.turn()
    bench.order("reload")
    bench.say(worker, said.opened("b"))
    bench.turn()
    assert bench.destination is not None
    written = [[json.loads(line)["event"] for line in part.splitlines()] for part in bench.destination.written]
    assert written == [["association.opened", "association.closed"], ["association.opened"]]


# -- an earlier life ----------------------------------------------------------------------------------


def restart(bench: Bench) -> None:
    """Let the process be killed and start the next one."""
    bench.coordinator._state._engine._connection.close()
    bench.journal.clear()
    bench.start()


def test_pending_hooks_of_an_earlier_life_run_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r"), state_directory=tmp_path)
    bench.store(bench.worker(), 1, "1.1")
    bench.turn()
    assert list(bench.processes.spawned) == [501]
    restart(bench)
    assert list(bench.processes.spawned) == [501]
    bench.end(501)
    bench.turn()
    restart(bench)
    assert list(bench.processes.spawned) == []


def test_event_repeated_to_the_next_life_counts_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r"), state_directory=tmp_path)
    bench.store(bench.worker(), 1, "1.1")
    bench.turn()
    restart(bench)
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    assert worker.sent == [ack(1)]
    assert list(bench.processes.spawned) == [501]


def test_event_never_committed_is_taken_over_by_the_next_life(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_reception="r"), state_directory=tmp_path)
    bench.store(bench.worker(), 1, "1.1")
    restart(bench)
    assert bench.processes.spawned == {}
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    assert list(bench.processes.spawned) == [501]
    assert worker.sent == [ack(1)]


def test_associations_that_are_not_heard_of_give_up_their_studies(tmp_path: Path) -> None:
    bench = Bench(tmp_path, hooks=HookPolicy(on_end_of_study="e"), state_directory=tmp_path)
    bench.store(bench.worker("w", "a"), 1, "1.1")
    bench.store(bench.worker("v", "b"), 1, "1.2", association="b")
    bench.turn()
    restart(bench)
    worker = bench.worker("v", "b")
    bench.loop.advance(RECOVERY_S - 0.1)
    bench.store(worker, 2, "1.2", "CT.2", association="b")
    bench.turn()
    assert bench.processes.spawned == {}
    bench.loop.advance(0.1)
    bench.store(worker, 3, "1.2", "CT.3", association="b")
    bench.turn()
    assert [call[1]["FASTSCP_STUDY_UID"] for call in bench.processes.spawned.values()] == ["1.1"]


def test_event_numbers_are_kept_while_workers_may_come_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, state_directory=tmp_path)
    bench.store(bench.worker("w"), 5, "1.1")
    bench.turn()
    bench.order("drain")
    bench.turn()
    restart(bench)
    bench.loop.advance(FORGET_WORKERS_S - 1)
    restart(bench)
    worker = bench.worker("w")
    bench.store(worker, 5, "1.1")
    bench.turn()
    assert [row.objects for row in bench.coordinator._state.recover().studies] == []
    bench.loop.advance(FORGET_WORKERS_S)
    assert bench.coordinator._state.recover().events == {"w": 5}
    bench.order("stop")
    restart(bench)
    bench.loop.advance(FORGET_WORKERS_S)
    restart(bench)
    assert bench.coordinator._state.recover().events == {}


# -- what the process is made of ----------------------------------------------------------------------


def test_state_lies_in_the_output_directory_and_under_inetd_nowhere(tmp_path: Path) -> None:
    store = StorePolicy(output_directory=str(tmp_path))
    opening.open_state(Config(store=store, network=NetworkPolicy(mode=ProcessMode.INETD))).close()
    assert list(tmp_path.iterdir()) == []
    opening.open_state(Config(store=store)).close()
    assert (tmp_path / ".fastscp" / FILE_NAME).exists()


@pytest.mark.parametrize(("prefix", "state", "refused"), [
    ("", "out", True), ("S", "out", True), ("a/S", "out", False), ("a/S", "out/a", True), ("", "out/state", False),
    ("", "link", True), ("", "state", False),
])
def test_state_is_not_kept_where_study_directories_are_made(tmp_path: Path, prefix: str, state: str, refused: bool) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to("out")
    config = Config(store=StorePolicy(output_directory=str(tmp_path / "out")),
                    study=StudyPolicy(sorting=Sorting.STUDY_UID, prefix=prefix, state_directory=str(tmp_path / state)))
    if refused:
        with pytest.raises(ProcessError, match="give it one of its own"):
            opening.open_state(config)
        assert os.listdir(tmp_path / "out") == ["a"]
    else:
        opening.open_state(config).close()


def test_state_directory_that_cannot_be_used_ends_the_process(
        tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    ignored: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda number, _handler: ignored.append(number))
    (tmp_path / "file").write_text("")
    config = Config(store=StorePolicy(output_directory=str(tmp_path)),
                    study=StudyPolicy(sorting=Sorting.STUDY_UID, state_directory=f"{tmp_path}/file/state"))
    control: Any = FakeSocket()
    assert process.main(control, config) == 1
    assert "cannot be used" in caplog.text
    assert ignored == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2]


def completed(bench: Bench) -> Path:
    assert bench.config.study.completed_directory is not None
    return Path(bench.config.study.completed_directory)


@pytest.fixture
def stuck(tmp_path: Path) -> Bench:
    """A study that ended and cannot move, because the directory for completed ones is gone."""
    (tmp_path / "out").mkdir()
    study = StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10, completed_directory=str(tmp_path / "done"))
    bench = Bench(tmp_path / "out", study, HookPolicy(on_end_of_study="e"))
    worker = bench.worker()
    (tmp_path / "out" / "1.1").mkdir()
    bench.store(worker, 1, "1.1")
    bench.loop.advance(10.1)
    bench.turn()
    return bench


def test_move_that_failed_is_tried_again_without_anybody_coming(stuck: Bench) -> None:
    completed(stuck).mkdir()
    stuck.loop.advance(0.5)
    assert os.listdir(completed(stuck)) == []
    for _ in range(3):
        stuck.loop.advance(1.1)
    assert os.listdir(completed(stuck)) == ["1.1"]
    assert len(stuck.processes.spawned) == 1


def test_drain_does_not_wait_for_what_cannot_move(stuck: Bench) -> None:
    stuck.order("drain")
    stuck.turn()
    assert stuck.loop.stopped
    assert stuck.processes.spawned == {}


def test_open_associations_decide_whether_the_next_study_ends_the_former(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=10), HookPolicy(on_end_of_study="e"))
    one, two = bench.worker("w", "a"), bench.worker("v", "b")
    bench.store(one, 1, "1.1")
    bench.store(one, 2, "1.2")
    bench.turn()
    assert bench.processes.spawned == {}
    bench.say(two, said.closed("b"))
    bench.store(one, 3, "1.3")
    bench.store(one, 4, "1.4")
    bench.turn()
    assert [variables["FASTSCP_STUDY_UID"] for _, variables in bench.processes.spawned.values()] == ["1.3"]


def test_after_a_restart_associations_count_as_open_until_they_were_heard_of(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    bench = Bench(output, StudyPolicy(sorting=Sorting.STUDY_UID, timeout_s=100), HookPolicy(on_end_of_study="e"),
                  state_directory=tmp_path)
    bench.store(bench.worker(), 1, "1.1")
    bench.turn()
    restart(bench)
    worker = bench.worker()
    bench.store(worker, 2, "1.2")
    bench.store(worker, 3, "1.3")
    bench.turn()
    assert bench.processes.spawned == {}
    bench.loop.advance(RECOVERY_S + 0.1)
    bench.store(worker, 4, "1.4")
    bench.store(worker, 5, "1.5")
    bench.turn()
    assert [variables["FASTSCP_STUDY_UID"] for _, variables in bench.processes.spawned.values()] == ["1.4"]


def test_end_of_the_acceptor_process_is_said_here_once_for_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    assert caplog.messages == ["the acceptor process is gone, finishing what is under way"]


def test_end_of_the_control_channel_behind_an_order_to_drain_is_nothing_to_say(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.order("drain")
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    assert caplog.messages == []


def test_stop_takes_what_workers_said_at_their_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, event_log=True)
    worker = bench.worker()
    worker.put(said.refused("a", None))
    bench.order("stop")
    bench.coordinator.close()
    assert bench.destination is not None
    assert b"object.refused" in bench.destination.written[0]


# -- hooks that wait ----------------------------------------------------------------------------------


def kept(directory: Path) -> list[int]:
    state = SqliteState(directory)
    numbers = [row.number for row in state.recover().tasks]
    state.close()
    return numbers


def test_stop_keeps_what_workers_told_and_every_hook_that_has_not_ended(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", jobs=1), state_directory=tmp_path)
    worker = bench.worker()
    for event in (1, 2):
        bench.say(worker, said.stored(event, "1.1", str(tmp_path), f"CT.{event}"))
    bench.turn()
    worker.put(said.stored(3, "1.1", str(tmp_path), "CT.3"))
    bench.order("stop")
    assert bench.loop.stopped
    bench.coordinator.close()
    assert kept(tmp_path) == [1, 2, 3]
    assert caplog.messages[-1] == "3 hooks have not ended, they run at the next start"
    bench.start()
    bench.turn()
    assert list(bench.processes.spawned) == [501]
    bench.worker().put(said.stored(3, "1.1", str(tmp_path), "CT.3"))
    bench.turn()
    assert bench.coordinator._lanes.pending == 3


def test_stop_without_a_file_says_how_many_hooks_are_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", jobs=1))
    bench.say(bench.worker(), said.stored(1, "1.1", str(tmp_path)), said.stored(2, "1.1", str(tmp_path)))
    bench.turn()
    bench.order("stop")
    assert caplog.messages[-1] == "2 hooks have not ended and are lost"


def test_stop_with_nothing_left_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r")).order("stop")
    assert caplog.messages == []


def test_new_numbers_of_hooks_are_not_those_of_kept_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", jobs=1), state_directory=tmp_path)
    bench.say(bench.worker(), said.stored(1, "1.1", str(tmp_path)), said.stored(2, "1.1", str(tmp_path)))
    bench.turn()
    bench.order("stop")
    bench.coordinator.close()
    bench.start()
    bench.say(bench.worker("v"), said.stored(1, "1.1", str(tmp_path), "CT.9"))
    bench.turn()
    assert [row.number for row in bench.coordinator._state.recover().tasks] == [1, 2, 3]


@pytest.mark.parametrize("durable", [True, False])
def test_drain_leaves_to_the_next_start_what_only_waits_to_be_retried(tmp_path: Path, durable: bool) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", retries=1, jobs=1),
                  state_directory=tmp_path if durable else None)
    bench.say(bench.worker(), said.stored(1, "1.1", str(tmp_path)), said.stored(2, "1.1", str(tmp_path)))
    bench.turn()
    bench.end(501, 1)
    bench.order("drain")
    bench.turn()
    assert not bench.loop.stopped  # the second is running
    bench.end(502)
    bench.turn()
    assert bench.loop.stopped is durable
    if durable:
        bench.coordinator.close()
        assert kept(tmp_path) == [1]
    else:
        bench.loop.advance(1)
        bench.end(503)
        bench.turn()
        assert bench.loop.stopped


def test_requests_of_operators_are_carried_out_within_seconds_and_at_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r", jobs=8), state_directory=tmp_path)
    worker = bench.worker()
    for event in (1, 2, 3):
        bench.say(worker, said.stored(event, "1.1", str(tmp_path), f"CT.{event}"))
    bench.turn()
    for pid in (501, 502, 503):
        bench.end(pid, 1)
    bench.turn()
    assert bench.coordinator._lanes.pending == 0
    requests.put(tmp_path, requests.RETRY, [2])
    bench.loop.advance(REQUESTS_S)
    bench.turn()
    assert bench.processes.spawned[504][1]["FASTSCP_FILE"] == "CT.2"
    assert requests.waiting(tmp_path) == []
    bench.end(504)
    bench.turn()
    bench.coordinator.close()
    requests.put(tmp_path, requests.FORGET, [1])
    requests.put(tmp_path, requests.RETRY, None)
    bench.start()
    bench.turn()
    assert [variables["FASTSCP_FILE"] for _, variables in bench.processes.spawned.values()] == ["CT.3"]
    assert requests.waiting(tmp_path) == []


def test_requests_are_looked_for_once_there_is_a_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="r"))
    bench.turn()
    assert bench.loop.next_timer is None


def test_name_of_a_host_reaches_hooks_and_events_of_open_associations(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HookPolicy(on_reception="echo #r"), event_log=True)
    worker = bench.worker()
    bench.say(worker, {**said.opened("b", peer="10.0.0.9"), "peer_host": ""},
              said.stored(1, "1.1", str(tmp_path), association="b"))
    bench.turn()
    assert bench.processes.spawned == {}
    assert worker.sent == [ack(1)]
    bench.order("host", address="10.0.0.9", host="pacs.example")
    bench.say(worker, said.stored(2, "1.1", str(tmp_path), association="b"))
    bench.turn()
    assert [arguments[2] for arguments, _ in bench.processes.spawned.values()] == ["echo 'pacs.example'"] * 2
    hosts = [event["peer_host"] for event in events_of(bench) if event["event"] == "object.stored"]
    assert hosts == ["10.0.0.9", "pacs.example"]


def events_of(bench: Bench) -> list[dict[str, Any]]:
    assert bench.destination is not None
    return [json.loads(line) for line in b"".join(bench.destination.written).splitlines()]


def test_state_of_hooks_alone_is_made_late_and_not_where_another_was_meanwhile(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = Config(store=StorePolicy(output_directory=str(tmp_path)), hooks=HookPolicy(on_reception="r"))
    row = TaskRow(1, 0, "reception", b"{}")
    first = opening.open_hook_state(config)
    second = opening.open_hook_state(config)
    first.recover()
    assert list(tmp_path.iterdir()) == []
    first.add_task(row)
    assert first.directory == tmp_path / ".fastscp"
    first.close()
    second.add_task(row)
    assert second.directory is None
    assert "was used by another service meanwhile" in caplog.text


def test_one_association_of_inetd_keeps_its_hooks_in_memory(tmp_path: Path) -> None:
    config = Config(store=StorePolicy(output_directory=str(tmp_path)), hooks=HookPolicy(on_reception="r"),
                    network=NetworkPolicy(mode=ProcessMode.INETD))
    state = opening.open_hook_state(config)
    state.add_task(TaskRow(1, 0, "reception", b"{}"))
    assert state.directory is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("study", [BY_UID, StudyPolicy()], ids=["studies", "no studies"])
def test_objects_are_held_back_while_too_many_hooks_wait(tmp_path: Path, study: StudyPolicy) -> None:
    bench = Bench(tmp_path, study, HookPolicy(on_reception="r", jobs=1, most_waiting=3))
    worker = bench.worker()
    for event in (1, 2, 3):
        bench.store(worker, event, "1.1", f"CT.{event}")
        bench.turn()
    told = [packet["kind"] for packet in worker.take_sent()]
    assert told == ["ack", "ack", "ack", "hold"]
    bench.end(501)
    bench.turn()
    assert worker.take_sent() == [{"kind": "hold", "on": False}]
