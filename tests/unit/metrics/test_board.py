from __future__ import annotations

import os
import signal

import pytest

from fastscp.errors import ProcessError
from fastscp.metrics import board as module
from fastscp.metrics import table
from fastscp.metrics.board import BLOCKS, CELLS, REPORT_OCTETS, Board, Known, Ledger


@pytest.fixture
def board() -> Board:
    return Board()


def values(board: Board) -> dict[tuple[str, ...], float]:
    return {(series.metric.name, *series.labels): block.cells[series.first]
            for block in board.used() for series in block.series()}


def in_child(run) -> int:
    """Run something in a process of its own, which is then killed."""
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            run()
            os.write(told, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1) == b"x"
    os.close(ready)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_is_counted_is_there_for_everybody(board: Board) -> None:
    ledger = board.claim("worker")
    ledger.add(table.ASSOCIATIONS_ACCEPTED)
    ledger.add(table.ASSOCIATIONS_ACCEPTED, by=4)
    ledger.add(table.STUDIES_COMPLETED, "timeout")
    found = values(board)
    assert found["fastscp_associations_accepted",] == 5
    assert found["fastscp_studies_completed", "timeout"] == 1


def test_a_killed_process_leaves_its_counts_and_the_next_goes_on(board: Board) -> None:
    def count() -> None:
        ledger = board.claim("worker")
        ledger.add(table.ASSOCIATIONS_ACCEPTED, by=3)
        ledger.set(table.ASSOCIATIONS_OPEN, 2)
        ledger.report({"associations": ["one"]})

    pid = in_child(count)
    assert board.holder(0) == pid
    end(pid)
    assert board.holder(0) == 0
    assert values(board)["fastscp_associations_accepted",] == 3
    ledger = board.claim("worker")
    assert [block.index for block in board.used()] == [0]
    assert board.block(0).report() is None
    assert values(board)["fastscp_associations_open",] == 0
    ledger.add(table.ASSOCIATIONS_ACCEPTED)
    assert values(board)["fastscp_associations_accepted",] == 4


def test_no_two_processes_count_in_one_block(board: Board) -> None:
    board.claim("worker")
    pid = in_child(lambda: board.claim("worker").add(table.ASSOCIATIONS_ACCEPTED))
    try:
        assert [block.index for block in board.used()] == [0, 1]
        assert board.holder(0) == os.getpid()
        assert board.holder(1) == pid
    finally:
        end(pid)


def test_a_block_of_another_role_is_taken_only_when_no_other_is_left(board: Board) -> None:
    end(in_child(lambda: board.claim("coordinator")))
    board.claim("worker")
    assert [block.role for block in board.used()] == ["coordinator", "worker"]


def test_one_process_may_have_two_blocks(board: Board) -> None:
    first, second = board.claim("worker"), board.claim("worker")
    first.add(table.QUARANTINED)
    second.add(table.QUARANTINED)
    assert [block.index for block in board.used()] == [0, 1]


def test_processes_beyond_all_blocks_are_told(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCKS", 2)
    board.claim("worker")
    board.claim("worker")
    with pytest.raises(ProcessError, match="no room"):
        board.claim("worker")
    assert BLOCKS > 2


def test_the_memory_of_another_process_goes_on(board: Board) -> None:
    board.claim("worker").add(table.QUARANTINED, by=7)
    assert values(Board(os.dup(board.fileno())))["fastscp_objects_quarantined",] == 7


def test_memory_of_another_size_is_another_versions() -> None:
    file = os.memfd_create("other")
    os.ftruncate(file, 4096)
    with pytest.raises(ProcessError, match="version"):
        Board(file)
    os.close(file)


def test_series_without_room_are_counted_and_harm_none(board: Board) -> None:
    ledger = board.claim("worker")
    ledger.add(table.QUARANTINED)
    for number in range(CELLS + 10):
        ledger.add(table.STUDIES_COMPLETED, f"r{number}")
    for _ in range(3):
        ledger.observe(table.HOOK_SECONDS, 1.0, "beyond")
    found = values(board)
    assert found["fastscp_objects_quarantined",] == 1
    told_apart = [name for name in found if name[0] == "fastscp_studies_completed"]
    assert 500 < len(told_apart) < CELLS
    assert found["fastscp_metrics_uncounted",] == CELLS + 10 - len(told_apart) + 3
    assert all(found[name] == 1 for name in told_apart)


def test_a_histogram_has_a_cell_for_each_bound_one_beyond_and_the_sum(board: Board) -> None:
    ledger = board.claim("worker")
    ledger.observe(table.OBJECT_SECONDS, 0.001)  # a bound belongs to its bucket
    ledger.observe(table.OBJECT_SECONDS, 0.0011, times=2)
    ledger.observe(table.OBJECT_SECONDS, 100.0)
    block = board.block(0)
    series = next(series for series in block.series() if series.metric is table.OBJECT_SECONDS)
    cells = list(block.cells[series.first : series.first + series.metric.cells])
    assert cells[:3] == [1, 2, 0]
    assert cells[-2] == 1
    assert cells[-1] == pytest.approx(0.001 + 2 * 0.0011 + 100)


def test_a_series_of_another_version_is_passed_over(board: Board) -> None:
    board.claim("worker").add(table.QUARANTINED)
    block = board.block(0)
    at = module._LIST_AT + block.list_end
    for line in (b'["fastscp_unheard_of",9,1]\n', b'["fastscp_objects_quarantined",9,3]\n', b'["fastscp_hooks_started",9,1]\n'):
        block.memory[at : at + len(line)] = line
        at += len(line)
        block.head[module._LIST_END] += len(line)
    assert {series.metric.name for series in block.series()} == {"fastscp_metrics_uncounted", "fastscp_objects_quarantined"}


def test_a_report_replaces_the_one_before_and_none_is_too_long(board: Board) -> None:
    ledger = board.claim("worker")
    assert board.block(0).report() is None
    assert ledger.report({"a": "x" * 100})
    assert ledger.report({"a": "y"})
    assert board.block(0).report() == {"a": "y"}
    assert not ledger.report({"a": "x" * REPORT_OCTETS})
    assert board.block(0).report() == {"a": "y"}


def test_half_a_report_is_none(board: Board) -> None:
    board.claim("worker").report({"a": 1})
    block = board.block(0)
    block.head[module._NUMBER] += 1  # its process died while it wrote
    assert block.report() is None
    Ledger(block, "worker").report({"b": 2})
    assert block.report() == {"b": 2}


def test_only_so_many_values_of_a_label_are_told_apart() -> None:
    known = Known(2, "other")
    assert [known(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


def test_names_follow_the_conventions() -> None:
    for metric in table.METRICS:
        assert metric.name.startswith("fastscp_")
        assert not metric.name.endswith("_total")
        assert metric.exposed.endswith("_total") == (metric.kind is table.Kind.COUNTER)
        assert not any(label.endswith("uid") for label in metric.labels)
        assert metric.help
        assert not metric.help.endswith(".")
        if "seconds" in metric.help or metric.kind is table.Kind.HISTOGRAM:
            assert "seconds" in metric.name
    assert len(table.BY_NAME) == len(table.METRICS)
