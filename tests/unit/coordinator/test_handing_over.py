"""A coordinator that leaves its state to another one, and one that takes it over."""

from __future__ import annotations

from pathlib import Path

from fastscp.coordinator.guests import DECIDES_WITHIN_S
from fastscp.coordinator.inheriting import FORGET_WORKERS_S, RECOVERY_S
from fastscp.coordinator.operators import REQUESTS_S
from fastscp.coordinator.state import SqliteState
from fastscp.process.loop import IN
from fastscp.study.policy import HookPolicy, StudyPolicy
from tests.support import said
from tests.support.fakes import FakeSocket
from tests.unit.coordinator.test_process import BY_UID, Bench, ack

HOOK = HookPolicy(on_reception="r", jobs=1)


def at_work(directory: Path, objects: int = 2, study: StudyPolicy = BY_UID) -> tuple[Bench, FakeSocket]:
    """Return a coordinator with hooks of so many objects, of which the first runs, and the worker."""
    bench = Bench(directory, study, HOOK, state_directory=directory, event_log=True)
    worker = bench.worker()
    for number in range(1, objects + 1):
        bench.store(worker, number, "1.1", f"CT.{number}")
    bench.turn()
    bench.control.take_sent()
    worker.take_sent()
    return bench, worker


def kinds(bench: Bench) -> list[str]:
    return [packet["kind"] for packet in bench.control.take_sent()]


# -- the one that goes ----------------------------------------------------------------------------


def test_everything_told_is_taken_over_and_answered_before_the_state_is_closed(tmp_path: Path) -> None:
    bench, worker = at_work(tmp_path)
    (tmp_path / "1.1" / "CT.3").write_text("x")
    worker.put(said.stored(3, "1.1", f"{tmp_path}/1.1", "CT.3"))
    bench.order("hand_over")
    assert worker.sent == [ack(3)]
    assert worker.closed
    assert worker.fd not in bench.loop
    recovered = SqliteState(tmp_path).recover()
    assert [row.number for row in recovered.tasks] == [1, 2, 3]  # the one that runs, too
    assert recovered.events == {"w": 3}
    assert bench.control.take_sent() == [{"kind": "handed_over", "hooks": [1]}]


def test_it_stays_until_its_hooks_have_ended_and_tells_how(tmp_path: Path) -> None:
    bench, _ = at_work(tmp_path)
    bench.order("hand_over")
    bench.turn()
    bench.control.take_sent()
    assert not bench.loop.stopped
    bench.end(501, 3)
    bench.turn()
    assert bench.control.take_sent() == [{"kind": "hook_ended", "number": 1, "status": 3}]
    assert bench.loop.stopped
    assert list(bench.processes.spawned) == [501]  # what comes next is another's
    bench.coordinator.close()


def test_event_whose_answer_is_not_read_is_known_to_the_next_coordinator(tmp_path: Path) -> None:
    """Its hook has run, and nothing of it is in the state; the worker tells it again."""
    bench = Bench(tmp_path, StudyPolicy(), HOOK, state_directory=tmp_path)
    bench.worker("v", "b")
    worker = bench.worker()
    worker.room = 0
    bench.store(worker, 1, "1.1")
    bench.turn()
    bench.end(501)
    bench.turn()
    bench.order("hand_over")
    assert worker.sent == []
    assert SqliteState(tmp_path).recover().events == {"v": 0, "w": 1}


def test_without_a_hook_it_ends_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, state_directory=tmp_path)
    bench.order("hand_over")
    assert kinds(bench) == ["ready", "handed_over"]
    bench.turn()
    assert bench.loop.stopped


def test_state_is_not_touched_any_more(tmp_path: Path) -> None:
    bench, _ = at_work(tmp_path)
    bench.order("hand_over")
    for kind in ("drain", "reload", "hand_over"):
        bench.order(kind)
    bench.loop.advance(RECOVERY_S + FORGET_WORKERS_S + REQUESTS_S)
    assert kinds(bench) == ["handed_over"]
    assert not bench.loop.stopped
    bench.order("stop")
    assert bench.loop.stopped


def test_acceptor_process_that_dies_does_not_end_the_watch_over_hooks(tmp_path: Path) -> None:
    bench, _ = at_work(tmp_path)
    bench.order("hand_over")
    bench.control.dead = True
    bench.loop.fire(bench.control.fd, IN)
    bench.turn()
    assert not bench.loop.stopped
    bench.end(501)
    bench.turn()
    assert bench.loop.stopped


def test_what_only_memory_has_is_not_handed_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(), HOOK)  # no state directory
    worker = bench.worker()
    bench.store(worker, 1, "1.1")
    bench.turn()
    bench.order("hand_over")
    assert kinds(bench) == ["ready", "unable"]
    bench.store(worker, 2, "1.1", "CT.2")
    bench.end(501)
    bench.turn()
    assert list(bench.processes.spawned) == [501, 502]
    bench.end(502)
    bench.turn()
    bench.order("hand_over")
    assert kinds(bench) == ["handed_over"]


def test_service_that_drains_hands_nothing_over(tmp_path: Path) -> None:
    bench, _ = at_work(tmp_path)
    bench.order("drain")
    bench.order("hand_over")
    assert kinds(bench) == []


# -- the one that comes ---------------------------------------------------------------------------


class Heir(Bench):
    """A coordinator that takes over, and the acceptor process that lends its hooks."""

    def before_run(self) -> None:
        self.guest = FakeSocket()
        self.sockets[self.guest.fd] = self.guest
        self.control.put({"kind": "guest"}, self.guest.fd)

    def hear(self, **packet: object) -> None:
        self.guest.put(packet)
        self.loop.fire(self.guest.fd, IN)
        self.turn()


def handed_over(directory: Path, objects: int = 3) -> tuple[Bench, Heir]:
    """Return the coordinator that went, with one hook that runs, and the one that came."""
    former, _ = at_work(directory, objects)
    former.order("hand_over")
    return former, Heir(directory, hooks=HookPolicy(on_reception="r", jobs=4), state_directory=directory)


def started(bench: Bench) -> list[str]:
    return [variables["FASTSCP_FILE"] for _, variables in bench.processes.spawned.values()]


def test_no_hook_starts_before_it_is_known_which_are_lent(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    heir.turn()
    assert started(heir) == []
    heir.hear(kind="lent", hooks=[(1, None)])
    assert started(heir) == []  # the next one of the study waits for the one that runs
    heir.hear(kind="hook_ended", number=1, status=0)
    assert started(heir) == ["CT.2"]


def test_guest_that_is_gone_lends_nothing(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    heir.guest.dead = True
    heir.loop.fire(heir.guest.fd, IN)
    heir.turn()
    assert started(heir) == ["CT.1"]
    assert heir.guest.closed


def test_guest_that_dies_while_its_hooks_run_leaves_them_to_be_started_again(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    heir.hear(kind="lent", hooks=[(1, None)])
    heir.guest.dead = True
    heir.loop.fire(heir.guest.fd, IN)
    heir.turn()
    assert started(heir) == ["CT.1"]


def test_guest_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    heir.loop.advance(DECIDES_WITHIN_S - 1)
    assert started(heir) == []
    heir.loop.advance(2)
    assert started(heir) == ["CT.1"]


def test_lent_hook_that_fails_is_kept_as_failed(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path, objects=1)
    heir.hear(kind="lent", hooks=[(1, 9)])
    assert [(row[0], row[7]) for row in heir.coordinator._state._engine.read("SELECT * FROM failed", ())] == [(1, 9)]  # type: ignore[attr-defined]


def test_drain_waits_for_hooks_that_are_lent(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path, objects=1)
    heir.hear(kind="lent", hooks=[(1, None)])
    heir.order("drain")
    heir.turn()
    assert not heir.loop.stopped
    heir.hear(kind="hook_ended", number=1, status=0)
    assert heir.loop.stopped


def test_guest_brings_its_workers(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    worker = FakeSocket()
    heir.sockets[worker.fd] = worker
    heir.guest.put({"kind": "worker", "name": "w"}, worker.fd)
    heir.loop.fire(heir.guest.fd, IN)
    heir.say(worker, said.hello("w"), said.opened("a"))
    heir.store(worker, 3, "1.1", "CT.3")  # told again
    heir.store(worker, 4, "1.1", "CT.4")
    heir.turn()
    assert worker.sent == [{"kind": "ack", "first": 3, "event": 4}]
    assert [row.number for row in heir.coordinator._state.recover().tasks] == [1, 2, 3, 4]


def test_guest_stops_it_and_has_its_state_back(tmp_path: Path) -> None:
    _, heir = handed_over(tmp_path)
    heir.control.dead = True
    heir.loop.fire(heir.control.fd, IN)
    heir.turn()
    assert not heir.loop.stopped  # no worker, but somebody may want the state back: its studies stay open
    heir.hear(kind="stop")
    assert heir.loop.stopped
    heir.coordinator.close()
    recovered = SqliteState(tmp_path).recover()
    assert [row.uid for row in recovered.studies] == ["1.1"]
    assert [row.number for row in recovered.tasks] == [1, 2, 3]


def test_acceptor_process_that_dies_before_the_start_is_survived(tmp_path: Path) -> None:
    former, _ = at_work(tmp_path)
    former.order("hand_over")

    class Left(Heir):
        def before_run(self) -> None:
            super().before_run()
            self.control.dead = True

    heir = Left(tmp_path, hooks=HOOK, state_directory=tmp_path)
    heir.turn()
    assert not heir.loop.stopped
    heir.hear(kind="stop")
    assert heir.loop.stopped
