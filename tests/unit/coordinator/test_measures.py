from __future__ import annotations

from fastscp.coordinator.measures import MOST_OPEN, MOST_RECENT, Depths, Measures
from fastscp.metrics import table
from fastscp.metrics.board import Board
from fastscp.study import events
from tests.support.fakes import FakeLoop

HOOK = {"hook": "study", "number": 4, "study_uid": "1.2", "directory": "/d", "command": "x"}
END = {"study_uid": "1.2", "directory": "/d", "reason": "timeout", "revision": 1}
CALLER = {"calling_aet": "A", "called_aet": "B", "peer": "p", "peer_host": "p", "port": 1}


def values(board: Board) -> dict[tuple[object, ...], float]:
    block = board.block(0)
    return {(series.metric, *series.labels): block.cells[series.first] for series in block.series()}


def test_studies_and_hooks_are_counted_and_reported() -> None:
    board, loop = Board(), FakeLoop()
    measures = Measures(board.claim("coordinator"), wall=lambda: 3.0)
    depths = [Depths(studies=2, running=1, waiting=5, event_octets=9, events_dropped=4)]
    measures.watch(loop, lambda: depths[0])
    measures.put(events.study_opened(0.0, "1.2", "/d"))
    measures.put(events.study_opened(0.0, "1.3", "/e"))
    measures.put(events.hook_started(0.0, HOOK, []))
    loop.advance(1.1)
    report = board.block(0).report()
    assert [study["study_uid"] for study in report["studies"]] == ["1.2", "1.3"]
    assert [hook["number"] for hook in report["running"]] == [4]
    measures.put(events.study_completed(0.0, END, CALLER, []))
    measures.put(events.hook_ended(0.0, HOOK, -15, 2.0))
    depths[0] = Depths(events_dropped=6)
    loop.advance(1.1)
    report = board.block(0).report()
    assert [study["study_uid"] for study in report["studies"]] == ["1.3"]
    assert [study["reason"] for study in report["completed"]] == ["timeout"]
    assert report["running"] == []
    assert [hook["status"] for hook in report["ended"]] == [-15]
    found = values(board)
    assert found[table.STUDIES_COMPLETED, "timeout"] == found[table.HOOKS_STARTED, "study"] == 1
    assert found[table.HOOKS_ENDED, "study", "-15"] == 1
    assert found[table.EVENTS_DROPPED,] == 6
    assert found[table.STUDIES_OPEN,] == 0


def test_what_is_remembered_is_bounded() -> None:
    board = Board()
    measures = Measures(board.claim("coordinator"))
    for number in range(500):
        measures.put(events.study_opened(0.0, f"1.{number}", f"/d{'x' * 1500}{number}"))
        measures.put(events.study_completed(0.0, {**END, "directory": "y" * 3000, "study_uid": f"2.{number}"}, CALLER, []))
    measures.look(Depths())
    report = board.block(0).report()
    assert 0 < len(report["studies"]) <= MOST_OPEN
    assert report["studies"][-1]["study_uid"] == "1.499"
    assert len(report["completed"]) <= MOST_RECENT
    assert len(measures._open) <= 4 * MOST_OPEN
