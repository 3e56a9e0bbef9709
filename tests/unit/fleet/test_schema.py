from __future__ import annotations

from fastscp.fleet.schema import MIGRATIONS, Migration, wanted

STEPS = (Migration("one", 1), Migration("two", 1), Migration("three", 3))


def test_an_empty_database_gets_everything() -> None:
    assert wanted(0, 0, STEPS) == STEPS


def test_an_older_schema_gets_what_is_missing() -> None:
    assert wanted(2, 1, STEPS) == STEPS[2:]


def test_a_current_schema_gets_nothing() -> None:
    assert wanted(3, 3, STEPS) == ()


def test_a_program_works_beside_a_newer_one_that_says_so() -> None:
    """A rolling upgrade: the schema is of version 2, this program knows 1."""
    assert wanted(2, 1, STEPS[:1]) == ()


def test_a_program_that_is_too_old_is_told() -> None:
    assert wanted(3, 3, STEPS[:2]) is None


def test_each_step_names_an_oldest_program_that_can_be() -> None:
    assert all(1 <= step.oldest <= number for number, step in enumerate(MIGRATIONS, 1))
