from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastscp.study.tracker import Holders, Study, Tracker


class Driver:
    """A tracker that opens studies as they come; one number per opening."""

    def __init__(self, **policy: object) -> None:
        self.tracker = Tracker(**policy)  # type: ignore[arg-type]
        self.opened = 0
        self.now = 0.0

    def study(self, uid: str) -> Study:
        study = self.tracker.find(uid)
        if study is None:
            self.opened += 1
            study = Study(self.opened, uid, f"/{self.opened}", self.now, self.now)
            self.tracker.add(study)
        return study

    def store(self, association: str, uid: str) -> list[str]:
        return [study.uid for study in self.tracker.stored(self.study(uid), association, None, self.now)]

    def due(self) -> list[str]:
        return [study.uid for study in self.tracker.due(self.now)]


def test_next_study_on_the_same_association_ends_the_former() -> None:
    driver = Driver()
    assert driver.store("a", "S") == []
    assert driver.store("a", "S") == []
    assert driver.store("a", "T") == ["S"]


def test_consecutive_associations_may_carry_one_study() -> None:
    driver = Driver()
    driver.store("a", "S")
    driver.tracker.close("a")
    assert driver.store("b", "S") == []
    driver.tracker.close("b")
    assert driver.store("c", "T") == ["S"]


def test_study_held_elsewhere_goes_on() -> None:
    driver = Driver()
    driver.store("a", "S")
    driver.store("b", "S")
    assert driver.store("a", "T") == []
    assert driver.store("b", "T") == ["S"]


def test_association_that_ends_completes_nothing_by_itself() -> None:
    driver = Driver()
    driver.store("a", "S")
    driver.tracker.close("a")
    assert len(driver.tracker) == 1
    assert driver.tracker.find("S") is not None


def test_transfer_under_way_keeps_a_study_open() -> None:
    driver = Driver(timeout_s=1.0)
    driver.store("a", "S")
    study = driver.study("S")
    driver.tracker.begin(("w", 1), study)
    assert driver.store("a", "T") == []
    driver.now = 100.0
    assert driver.due() == ["T"]
    driver.tracker.cancel(("w", 1), driver.now)
    assert driver.due() == []
    driver.now = 101.0
    assert driver.due() == ["S"]


def test_repeated_begin_counts_once() -> None:
    driver = Driver()
    study = driver.study("S")
    driver.tracker.begin(("w", 1), study)
    driver.tracker.begin(("w", 1), study)
    assert study.transfers == 1


def test_failed_first_transfer_leaves_no_study() -> None:
    driver = Driver()
    study = driver.study("S")
    driver.tracker.begin(("w", 1), study)
    assert driver.tracker.cancel(("w", 1), 0.0) == []
    assert driver.tracker.is_void(study)
    assert driver.tracker.find("S") is None


def test_timeout_is_per_study() -> None:
    driver = Driver(timeout_s=10.0)
    driver.store("a", "S")
    driver.now = 6.0
    driver.store("b", "T")
    assert driver.tracker.deadline() == 10.0
    driver.now = 10.0
    assert driver.due() == ["S"]
    assert driver.tracker.deadline() == 16.0


def test_maximum_age_waits_for_transfers_and_new_objects_open_a_new_study() -> None:
    driver = Driver(max_age_s=10.0)
    driver.store("a", "S")
    old = driver.study("S")
    driver.tracker.begin(("w", 1), old)
    driver.now = 11.0
    assert driver.due() == []
    new = driver.study("S")
    assert new is not old
    assert driver.tracker.stored(old, "a", ("w", 1), driver.now) == [old]
    assert driver.tracker.find("S") is new


def test_literal_rule_needs_no_holder_to_go() -> None:
    driver = Driver(literal_rule=True)
    driver.store("a", "S")
    assert driver.store("b", "T") == ["S"]


def test_drain_ends_everything_that_has_objects() -> None:
    driver = Driver()
    driver.store("a", "S")
    driver.store("b", "T")
    driver.study("EMPTY")
    assert [study.uid for study in driver.tracker.drain()] == ["S", "T"]
    assert len(driver.tracker) == 0


def test_holders_of_something_forgotten_hold_nothing() -> None:
    holders: Holders[str] = Holders()
    holders.hold("a", "x")
    holders.forget("x")
    holders.add_free("x")
    holders.hold("a", "x")
    assert holders.free == set()
    holders.release("a")
    assert holders.free == {"x"}


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("STU")), max_size=40))
def test_without_overlap_it_is_storescp_s_rule(script: list[tuple[bool, str]]) -> None:
    driver, expected, found = Driver(), [], []
    association, last = 0, None
    for new_association, uid in script:
        if new_association:
            driver.tracker.close(str(association))
            association += 1
        if last is not None and uid != last:
            expected.append(last)
        last = uid
        found += driver.store(str(association), uid)
    assert found == expected


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("STUV"), st.booleans()), max_size=60))
def test_no_study_ends_while_an_association_s_last_object_is_of_it(script: list[tuple[str, str, bool]]) -> None:
    driver = Driver()
    last: dict[str, str] = {}
    for association, uid, close in script:
        last[association] = uid
        ended = driver.store(association, uid)
        assert not set(ended) & set(last.values())
        if close:
            driver.tracker.close(association)
            del last[association]
    open_now = {uid for uid in "STUV" if driver.tracker.find(uid)}
    assert open_now >= set(last.values())


def test_unknown_transfer_is_nothing() -> None:
    assert Driver().tracker.cancel(("w", 9), 0.0) == []
    assert Driver().tracker.of_transfer(("w", 9)) is None


def test_studies_without_objects_can_be_dropped() -> None:
    driver = Driver()
    driver.store("a", "S")
    void, placed = driver.study("VOID"), driver.study("PLACED")
    driver.tracker.begin(("w", 1), placed)
    assert driver.tracker.drop_void() == [void]
    assert driver.tracker.find("VOID") is None
    assert driver.tracker.find("PLACED") is placed


# -- with a timeout, while associations overlap -----------------------------------------------------------


def overlapping(*associations: str) -> Driver:
    driver = Driver(timeout_s=10.0)
    for association in associations:
        driver.tracker.open(association)
    return driver


def test_moving_on_ends_nothing_while_another_association_is_open() -> None:
    driver = overlapping("a", "b")
    driver.store("a", "S")
    assert driver.store("a", "T") == []
    driver.now = 10.0
    assert driver.due() == ["S", "T"]


def test_only_association_ends_the_former_study_at_once() -> None:
    driver = overlapping("a")
    driver.store("a", "S")
    assert driver.store("a", "T") == ["S"]


def test_associations_one_after_another_end_the_former_study_at_once() -> None:
    driver = overlapping("a")
    driver.store("a", "S")
    driver.tracker.close("a")
    driver.tracker.open("b")
    assert driver.store("b", "S") == []
    assert driver.store("b", "T") == ["S"]


def test_last_of_many_associations_does_not_end_what_another_left_half_sent() -> None:
    driver = overlapping("a", "b")
    driver.store("a", "S")
    driver.store("b", "T")
    driver.tracker.close("a")
    assert driver.store("b", "T") == []
    assert driver.store("b", "S") == []
    assert driver.store("b", "U") == []
    assert driver.store("b", "V") == ["U"], "it was alone from its first object"


def test_idle_association_that_opens_meanwhile_keeps_the_study_open() -> None:
    driver = overlapping("a")
    driver.store("a", "S")
    driver.tracker.open("b")
    assert driver.store("a", "T") == []
    driver.tracker.close("b")
    assert driver.store("a", "U") == []
    driver.now = 10.0
    assert driver.due() == ["S", "T", "U"]


def test_without_a_timeout_the_holder_rule_stays_and_the_literal_rule_is_literal() -> None:
    for policy in ({}, {"literal_rule": True, "timeout_s": 10.0}):
        driver = Driver(**policy)
        for association in ("a", "b", "c"):
            driver.tracker.open(association)
        driver.store("a", "S")
        assert driver.store("a", "T") == ["S"]


def test_studies_of_an_earlier_life_wait_for_their_timeout() -> None:
    driver = overlapping("a")
    study = Study(7, "S", "/7", 0.0, 0.0, objects=3)
    driver.tracker.add(study)
    assert driver.store("a", "T") == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("STUV")), max_size=60))
def test_no_study_ends_at_once_that_two_open_associations_may_share(script: list[tuple[str, str]]) -> None:
    driver = overlapping("a", "b", "c", "d")
    assert [driver.store(*step) for step in script] == [[] for _ in script]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("STU")), max_size=40))
def test_without_overlap_a_timeout_changes_nothing(script: list[tuple[bool, str]]) -> None:
    driver, expected, found = overlapping("0"), [], []
    association, last = 0, None
    for new_association, uid in script:
        if new_association:
            driver.tracker.close(str(association))
            association += 1
            driver.tracker.open(str(association))
        if last is not None and uid != last:
            expected.append(last)
        last = uid
        found += driver.store(str(association), uid)
    assert found == expected


def test_of_a_great_many_studies_only_some_end_at_once() -> None:
    tracker = Tracker(timeout_s=10)
    tracker.open("a")
    tracker.open("b")  # so that only the timeout counts
    for number in range(5):
        study = Study(number, f"1.{number}", "/d", 0.0, 0.0)
        tracker.add(study)
        tracker.stored(study, "a", None, float(number))
    ended = [[study.number for study in tracker.due(100.0, 2)] for _ in range(4)]
    assert ended == [[0, 1], [2, 3], [4], []]


# -- transfers that are kept --------------------------------------------------------------------------


def keeping(driver: Driver, association: str, uid: str, request: int = 1, *, keeps: bool = True) -> list[str]:
    """Store an object under a transfer that goes on."""
    study, transfer = driver.study(uid), ("w", request)
    driver.tracker.begin(transfer, study)
    return [other.uid for other in driver.tracker.stored(study, association, transfer, driver.now, keeps=keeps)]


def test_study_whose_time_is_over_ends_when_what_it_keeps_has_come_back() -> None:
    driver = Driver(timeout_s=5)
    keeping(driver, "a", "S")
    assert driver.tracker.deadline() == 5
    driver.now = 5
    assert driver.due() == []
    assert driver.tracker.recalls() == [("w", 1)]
    assert driver.tracker.recalls() == [], "once"
    assert driver.due() == []
    assert driver.tracker.recalls() == []
    assert driver.tracker.deadline() is None, "nothing can be done before it comes back"
    driver.now = 5.5
    driver.tracker.cancel(("w", 1), driver.now)
    assert driver.tracker.deadline() == 5, "giving back is no activity"
    assert driver.due() == ["S"]


def test_object_that_comes_under_a_recalled_transfer_keeps_its_study_open() -> None:
    driver = Driver(timeout_s=5)
    keeping(driver, "a", "S")
    driver.now = 5
    driver.due()
    driver.now = 5.1
    keeping(driver, "a", "S", keeps=False)
    assert driver.due() == []
    assert driver.tracker.deadline() == pytest.approx(10.1)
    driver.now = 10.2
    assert driver.due() == ["S"]


def test_kept_transfer_of_the_association_that_moved_on_does_not_hold_its_study() -> None:
    driver = Driver()
    keeping(driver, "a", "S", 1)
    driver.tracker.cancel(("w", 1), driver.now)
    assert keeping(driver, "a", "T", 2) == ["S"]


def test_kept_transfer_of_another_association_holds_the_study_as_its_last_object_does() -> None:
    driver = Driver()
    keeping(driver, "a", "S", 1)
    keeping(driver, "b", "S", 2)
    driver.tracker.cancel(("w", 1), driver.now)
    assert keeping(driver, "a", "T", 3) == []


def test_study_that_is_too_old_has_its_transfers_recalled_and_ends_with_the_last() -> None:
    driver = Driver(max_age_s=10)
    keeping(driver, "a", "S", 1)
    keeping(driver, "b", "S", 2)
    driver.now = 10
    assert driver.due() == []
    assert sorted(driver.tracker.recalls()) == [("w", 1), ("w", 2)]
    assert driver.tracker.find("S") is None, "new objects open a new study"
    assert driver.tracker.cancel(("w", 1), driver.now) == []
    assert [study.uid for study in driver.tracker.cancel(("w", 2), driver.now)] == ["S"]


def test_transfer_of_another_study_is_not_kept_for_this_one() -> None:
    driver = Driver(timeout_s=5)
    study = driver.study("S")
    driver.tracker.stored(study, "a", ("w", 9), driver.now, keeps=True)  # a transfer that nobody placed
    assert driver.tracker.deadline() == 5
    driver.now = 5
    assert driver.due() == ["S"]


def test_literal_rule_keeps_nothing() -> None:
    assert Driver().tracker.lasting
    assert not Driver(literal_rule=True).tracker.lasting
