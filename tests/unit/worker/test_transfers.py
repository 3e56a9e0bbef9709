"""Transfers are kept for the next object of a study, and the coordinator never misses one that is under way."""

from __future__ import annotations

from typing import Any

import pytest

from fastscp.worker.transfers import Transfers
from tests.support import said


class Bench:
    def __init__(self) -> None:
        self.told: list[Any] = []
        self.answers: list[Any] = []
        self.transfers = Transfers(self.told.append)

    def begin(self, association: str = "a", study: str = "1.2") -> int:
        return self.transfers.begin(association, study, "P", "", self.answers.append)

    def end(self, request: int, *, keeps: bool, association: str = "a") -> None:
        packet: Any = said.stored(1, "1.2", "d", request=request, keeps=keeps, association=association)
        self.transfers.stored(packet)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def placed(request: int) -> Any:
    return {"kind": "placed", "request": request, "directory": "d", "status": 0, "message": "", "late": False, "lasting": True}


def test_answer_comes_once_and_not_for_what_was_abandoned(bench: Bench) -> None:
    first, second = bench.begin(), bench.begin("b")
    notices = [bench.transfers.answered(placed(first)), bench.transfers.answered(placed(first)), bench.transfers.answered(placed(second))]
    bench.transfers.abandon(second)
    for notice in notices:
        notice()
    assert [packet["request"] for packet in bench.answers] == [first]


def test_kept_one_is_used_again_and_again(bench: Bench) -> None:
    request = bench.begin()
    assert not bench.transfers.is_kept(request)
    assert not bench.transfers.begin_again(request)
    for _ in range(3):
        assert bench.transfers.may_keep(request)
        bench.end(request, keeps=True)
        assert bench.transfers.is_kept(request)
        assert bench.transfers.begin_again(request)
        assert not bench.transfers.is_kept(request)
    assert [packet["kind"] for packet in bench.told] == ["place"]


def test_one_that_is_recalled_between_two_objects_is_given_back_at_once(bench: Bench) -> None:
    request = bench.begin()
    bench.end(request, keeps=True)
    bench.transfers.recall(request)
    assert bench.told[-1] == {"kind": "abandoned", "request": request}
    assert not bench.transfers.begin_again(request)
    bench.transfers.recall(request)
    assert len(bench.told) == 2


def test_one_that_is_recalled_under_an_object_ends_with_it(bench: Bench) -> None:
    request = bench.begin()
    bench.transfers.recall(request)
    assert not bench.transfers.may_keep(request)
    bench.end(request, keeps=False)
    assert not bench.transfers.is_kept(request)
    assert [packet["kind"] for packet in bench.told] == ["place"]


def test_association_that_ends_takes_what_it_keeps_along(bench: Bench) -> None:
    request, other = bench.begin(), bench.begin("b")
    bench.end(request, keeps=True)
    bench.end(other, keeps=True, association="b")
    bench.transfers.left("a")
    bench.transfers.left("a")
    assert not bench.transfers.is_kept(request)
    assert bench.transfers.is_kept(other)


def test_another_coordinator_hears_of_what_is_under_way_and_the_rest_is_given_up(bench: Bench) -> None:
    kept, again, asked = bench.begin("a"), bench.begin("b"), bench.begin("c")
    bench.end(kept, keeps=True)
    bench.end(again, keeps=True, association="b")
    bench.transfers.begin_again(again)
    assert [packet["request"] for packet in bench.transfers.told_again()] == [again, asked]
    assert not bench.transfers.is_kept(kept)
    bench.transfers.left("a")
