from __future__ import annotations

from types import SimpleNamespace

import pytest

from fastscp.metrics import table
from fastscp.metrics.board import Board
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.counting import CountedLane
from fastscp.worker.measures import MOST_ASSOCIATIONS, Measures, measures_of
from tests.support.fakes import Clock

CT = AcceptedContext(1, "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
PRIVATE = AcceptedContext(3, "1.2.3.4", "1.2.3.5")
CALLER = {"calling_aet": "ONE", "called_aet": "US", "peer": "10.0.0.1", "peer_host": "10.0.0.1", "port": 1, "sender": "CT"}
WHO = SimpleNamespace(calling_aet="ONE", sender="")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def measures(board: Board, clock: Clock) -> Measures:
    return Measures(board.claim("worker"), 2, clock=clock, wall=lambda: 9.0)


def values(board: Board, metric: table.Metric) -> dict[tuple[str, ...], float]:
    block = board.block(0)
    return {series.labels: block.cells[series.first] for series in block.series() if series.metric is metric}


class Association:
    def __init__(self, name: str, octets: int = 0, *, text: str = "") -> None:
        self.name, self.octets, self.text = name, octets, text

    def __call__(self) -> dict[str, object]:
        return {"association": self.name, "octets": self.octets, "text": self.text}


def test_objects_are_counted_by_the_names_of_class_and_syntax(board: Board, measures: Measures) -> None:
    measures.stored(CT, 0, 100, WHO)
    measures.stored(CT, 0xB000, 50, WHO, 2)
    measures.refused(PRIVATE, 0xC000, CALLER, "why")  # type: ignore[arg-type]
    measures.refused(PRIVATE, None, CALLER, "why")  # type: ignore[arg-type]
    counted = values(board, table.OBJECTS)
    (ct, syntax, _, _) = next(iter(counted))
    assert ct.startswith("CT")
    assert counted == {(ct, syntax, "0000", ""): 1, (ct, syntax, "B000", ""): 2, ("other", "other", "C000", "CT"): 1,
                       ("other", "other", "", "CT"): 1}
    assert values(board, table.OBJECT_BYTES) == {(ct, syntax, ""): 150}
    assert values(board, table.TITLE_OBJECTS) == {("ONE", "stored"): 3, ("ONE", "refused"): 2}


def test_titles_beyond_the_first_are_one(board: Board, measures: Measures) -> None:
    for title in ("A", "B", "C", "D", "A"):
        measures.stored(CT, 0, 1, SimpleNamespace(calling_aet=title, sender=""))
    assert values(board, table.TITLE_OBJECTS) == {("A", "stored"): 2, ("B", "stored"): 1, ("other", "stored"): 2}


def test_associations_are_counted_from_begin_to_end(board: Board, measures: Measures) -> None:
    measures.opened()
    measures.opened()
    measures.closed("released", 3.0)
    measures.rejected(CALLER, "Result: Rejected, Source: x, Reason: Local Limit Exceeded")  # type: ignore[arg-type]
    assert values(board, table.ASSOCIATIONS_ACCEPTED) == {(): 2}
    assert values(board, table.ASSOCIATIONS_OPEN) == {(): 1}
    assert values(board, table.ASSOCIATIONS_ENDED) == {("released",): 1}
    assert values(board, table.ASSOCIATIONS_REJECTED) == {("Local Limit Exceeded",): 1}


def test_a_report_has_rates_and_ends_with_the_last_association(board: Board, measures: Measures) -> None:
    measures.look([Association("a", 1000)], 4)
    assert values(board, table.REPORTS_WAITING) == {(): 4}
    measures.look([Association("a", 5000), Association("b", 7)], 0)
    report = board.block(0).report()
    assert [one["octets_per_second"] for one in report["associations"]] == [4000.0, 0.0]
    assert report["open"] == 2
    measures.look([], 0)
    assert board.block(0).report()["associations"] == []


def test_a_refusal_without_any_association_is_reported(board: Board, measures: Measures) -> None:
    measures.look([], 0)
    measures.refused(CT, 0xA700, CALLER, "r" * 500)  # type: ignore[arg-type]
    measures.look([], 0)
    (refusal,) = board.block(0).report()["refusals"]
    assert refusal["status"] == "A700"
    assert refusal["time"] == 9.0
    assert len(refusal["reason"]) == 200


def test_a_report_is_bounded(board: Board, measures: Measures) -> None:
    measures.look([Association(str(number), text="x") for number in range(MOST_ASSOCIATIONS + 50)], 0)
    report = board.block(0).report()
    assert len(report["associations"]) == MOST_ASSOCIATIONS
    assert report["open"] == MOST_ASSOCIATIONS + 50
    measures.look([Association(str(number), text="x" * 5000) for number in range(MOST_ASSOCIATIONS)], 0)
    assert 0 < len(board.block(0).report()["associations"]) < MOST_ASSOCIATIONS


class Lane:
    """Takes as many messages of ten octets as it may."""

    directory = "/in"
    replaced: list[bytes] = []  # noqa: RUF012
    stored = written = 0

    def __init__(self) -> None:
        self.asked: list[int] = []

    def missing(self, octets: memoryview) -> int:
        return 5

    def take(self, octets: memoryview, output: bytearray, most: int) -> int:
        self.asked.append(most)
        self.stored = min(most, len(octets) // 20)
        self.written = 100 * self.stored
        return 20 * self.stored


def message(context: int) -> bytes:
    return bytes((*range(10), context, *range(9)))


def test_what_the_lane_stores_is_counted_under_its_context(board: Board, measures: Measures) -> None:
    lane = Lane()
    counted = CountedLane(lane, {1: CT, 3: PRIVATE}, measures, WHO)
    octets = memoryview(message(3) + message(1) + message(1))
    assert counted.take(octets, bytearray(), 10) == 20
    assert counted.take(octets[20:], bytearray(), 10) == 20
    assert lane.asked == [1, 1]
    assert {labels[0][:2]: value for labels, value in values(board, table.OBJECTS).items()} == {"ot": 1, "CT": 1}
    assert (counted.stored, counted.written, counted.missing(octets), counted.directory) == (1, 100, 5, "/in")


def test_where_one_context_is_possible_the_lane_takes_all_at_once(board: Board, measures: Measures, clock: Clock) -> None:
    lane = Lane()
    verification = AcceptedContext(5, "1.2.840.10008.1.1", "1.2.840.10008.1.2")
    counted = CountedLane(lane, {1: CT, 5: verification}, measures, WHO)
    assert counted.take(memoryview(message(1) * 3), bytearray(), 10) == 60
    assert lane.asked == [10]
    assert list(values(board, table.OBJECTS).values()) == [3]
    series = next(series for series in board.block(0).series() if series.metric is table.OBJECT_SECONDS)
    assert sum(board.block(0).cells[series.first : series.first + series.metric.cells - 1]) == 3
    assert counted.take(memoryview(b"short"), bytearray(), 10) == 0


def test_a_worker_without_room_counts_nothing_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measures_of(None, 2) is None
    full = SimpleNamespace(claim=lambda _role: (_ for _ in ()).throw(_no_room()))
    assert measures_of(full, 2) is None  # type: ignore[arg-type]


def _no_room() -> Exception:
    from fastscp.errors import ProcessError

    return ProcessError("no room is left")


def test_outcomes_are_counted_where_they_are_told(board: Board, measures: Measures, clock: Clock) -> None:
    from fastscp.dimse.command import C_STORE_RQ
    from fastscp.net.peer import Peer
    from fastscp.worker.outcome import Caller, Outcomes

    outcomes = Outcomes("a", Caller(Peer("10.0.0.1", 1)), None, None, measures)
    request = SimpleNamespace(calling_ae_title="ONE", called_ae_title="US", max_pdu_length=16384)
    outcomes.opened(request)  # type: ignore[arg-type]
    outcomes.stored(10, reception=SimpleNamespace(context=CT, status=0))  # type: ignore[arg-type]
    command = SimpleNamespace(field=C_STORE_RQ, affected_sop_class_uid="1.2", affected_sop_instance_uid="1.3")
    outcomes.not_served(SimpleNamespace(context=CT, command=command, status=0x0122, comment="no", offending=()))  # type: ignore[arg-type]
    outcomes.not_reached([SimpleNamespace(context=CT, command=command)], "gone")  # type: ignore[list-item]
    clock.now += 20
    outcomes.closed("aborted")
    outcomes.rejected(request, "Reason: No Reason Given")  # type: ignore[arg-type]
    assert {labels[2]: value for labels, value in values(board, table.OBJECTS).items()} == {"0000": 1, "0122": 1, "": 1}
    assert values(board, table.TITLE_OBJECTS) == {("ONE", "stored"): 1, ("ONE", "refused"): 2}
    assert values(board, table.ASSOCIATIONS_ENDED) == {("aborted",): 1}
    assert values(board, table.ASSOCIATIONS_REJECTED) == {("No Reason Given",): 1}
    series = next(series for series in board.block(0).series() if series.metric is table.ASSOCIATION_SECONDS)
    assert board.block(0).cells[series.first + series.metric.cells - 1] == 20.0
    facts = outcomes.facts(None, False)
    assert (facts["calling_aet"], facts["stored"], facts["refused"], facts["octets"], facts["object"]) == ("ONE", 1, 2, 10, "")
