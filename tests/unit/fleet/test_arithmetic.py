from __future__ import annotations

import datetime

import pytest

from fastscp.fleet.arithmetic import LONGEST_RETRY_S, Lease, Pulse, Watermark, in_database_time, retry_pause_s

UTC = datetime.timezone.utc


def test_nothing_is_known_before_the_first_pulse_is_shipped() -> None:
    mark = Watermark()
    mark.drained()
    assert mark.reached is None
    mark.pulse(Pulse(3, 10.0))
    mark.shipped(2)
    assert mark.reached is None


def test_a_pulse_counts_when_its_last_entry_is_shipped() -> None:
    mark = Watermark()
    for number, at in ((3, 10.0), (5, 11.0), (9, 12.0)):
        mark.pulse(Pulse(number, at))
    mark.shipped(6)
    assert mark.reached == 11.0
    mark.shipped(9)
    assert mark.reached == 12.0


def test_of_pulses_without_entries_in_between_the_last_one_counts() -> None:
    mark = Watermark()
    for at in (10.0, 11.0, 12.0):
        mark.pulse(Pulse(3, at))
    mark.shipped(3)
    assert mark.reached == 12.0


def test_an_empty_journal_ships_every_pulse_that_has_come() -> None:
    """Its entries may have been shipped by another process, and dropped."""
    mark = Watermark()
    mark.pulse(Pulse(500, 10.0))
    mark.drained()
    assert mark.reached == 10.0


@pytest.mark.parametrize("stalled_s", [0.0, 0.001, 7.0])
def test_a_time_of_the_database_is_never_too_late(stalled_s: float) -> None:
    """However long it took from the look at its clock to the look at ours."""
    truth = datetime.datetime(2026, 1, 1, 12, tzinfo=UTC)  # at monotonic time 100
    read = truth + datetime.timedelta(seconds=5)  # at 105
    assert in_database_time(100.0, read, 105.0 + stalled_s) <= truth
    assert in_database_time(100.0, read, 105.0) == truth


def test_a_lease_is_renewed_long_before_it_is_over() -> None:
    lease = Lease("t", 100.0, 60.0)
    assert (lease.is_due(119.9), lease.is_due(120.0)) == (False, True)
    assert (lease.is_over(159.9), lease.is_over(160.0)) == (False, True)


def test_pauses_between_tries_grow_to_a_limit() -> None:
    assert [retry_pause_s(attempts) for attempts in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert retry_pause_s(1000) == LONGEST_RETRY_S
