from __future__ import annotations

from fastscp.acceptor.measures import MOST_REFUSALS, Measures
from fastscp.metrics import table
from fastscp.metrics.board import Board
from fastscp.net.peer import Peer
from tests.support.fakes import FakeLoop


def test_connections_children_and_gauges_are_counted() -> None:
    board = Board()
    measures = Measures(board.claim("acceptor"), wall=lambda: 5.0)
    measures.accepted()
    measures.started("worker 3")
    measures.replaced("worker")
    loop = FakeLoop()
    waiting = [1]
    measures.watch(loop, lambda: {table.CONNECTIONS_WAITING: waiting[0]})
    values = {(series.metric, *series.labels): series.first for series in board.block(0).series()}
    cells = board.block(0).cells
    assert cells[values[table.CONNECTIONS_ACCEPTED,]] == 1
    assert cells[values[table.PROCESS_STARTS, "worker"]] == cells[values[table.PROCESS_RESTARTS, "worker"]] == 1
    assert cells[values[table.STARTED,]] == 5.0
    assert cells[values[table.CONNECTIONS_WAITING,]] == 1
    waiting[0] = 7
    loop.advance(1.1)
    assert cells[values[table.CONNECTIONS_WAITING,]] == 7


def test_who_was_turned_away_is_counted_by_a_few_reasons_and_the_last_are_told() -> None:
    board = Board()
    measures = Measures(board.claim("acceptor"), wall=lambda: 5.0)
    for number in range(MOST_REFUSALS + 5):
        measures.turned_away(Peer("10.0.0.1", number), f"access denied by rule {number}")
    measures.turned_away(Peer("10.0.0.1", 9), "the service stops")
    counted = {series.labels: board.block(0).cells[series.first] for series in board.block(0).series()
               if series.metric is table.CONNECTIONS_REFUSED}
    assert counted == {("access",): MOST_REFUSALS + 5, ("stopping",): 1}
    refusals = board.block(0).report()["refusals"]
    assert len(refusals) == MOST_REFUSALS
    assert refusals[-1]["reason"] == "the service stops"
    assert refusals[-1]["peer"] == "10.0.0.1"
