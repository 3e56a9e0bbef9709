from __future__ import annotations

from itertools import islice

import pytest

from fastscp.blast.numbering import INSTANCE, SERIES, SHORTEST, STUDY, Order, new_run, number_of, uid

RUN = "1234567890" * 4


@pytest.mark.parametrize("octets", range(SHORTEST, 65))
def test_a_uid_has_the_length_that_is_wanted_and_says_its_number(octets: int) -> None:
    made = uid(RUN, SERIES, 12345, octets).decode()
    assert len(made) == octets
    components = made.split(".")
    assert components[:2] == ["2", "25"]
    assert all(component == "0" or component[0] != "0" for component in components)
    assert int(components[2]) < 1 << 128  # a UUID
    assert number_of(RUN, made) == (SERIES, 12345)


def test_uids_of_kinds_numbers_and_runs_differ() -> None:
    made = [uid(run, kind, number, 44) for run in (RUN, new_run(), new_run()) for kind in (INSTANCE, SERIES, STUDY) for number in range(50)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("found", ["1.2.3", "", "2.25.1", "2.25.x" + "1" * 38, "2.25." + "9" * 39, uid("3" * 39, INSTANCE, 5, 44).decode(),
                                   uid(RUN, INSTANCE, 5, 44).decode() + "1" * 21])
def test_uids_of_others_have_no_number(found: str) -> None:
    assert number_of(RUN, found) is None


def test_objects_are_in_series_and_series_in_studies() -> None:
    order = Order(2, 3, 4, 1)
    assert order.total == 24
    assert [order.series_of(number) for number in (0, 3, 4, 11, 12, 23)] == [0, 0, 1, 2, 3, 5]
    assert [order.study_of(number) for number in (0, 11, 12, 23)] == [0, 0, 1, 1]


@pytest.mark.parametrize("order", [Order(2, 3, 5, 4), Order(1, 1, 3, 5), Order(2, 3, 5, 4, 7), Order(1, 1, 10, 2, 5)])
def test_each_object_goes_over_one_association(order: Order) -> None:
    sent = []
    number = 0
    while (numbers := order.association(number)) is not None:
        sent.append(list(numbers))
        number += 1
    assert sorted(number for one in sent for number in one) == list(range(order.total or 0))
    if order.per_association is not None:
        assert {len(one) for one in sent[:-1]} == {order.per_association}
    else:
        assert len(sent) == order.associations


def test_without_an_end_each_association_takes_whole_studies() -> None:
    order = Order(None, 1, 3, 2)
    first, second = order.association(0), order.association(1)
    assert first is not None
    assert second is not None
    assert (list(islice(first, 7)), list(islice(second, 4))) == ([0, 1, 2, 6, 7, 8, 12], [3, 4, 5, 9])
    assert order.association(2) is None
    pieces = Order(None, 1, 3, 2, 4).association(5)
    assert pieces is not None
    assert list(pieces) == [20, 21, 22, 23]
