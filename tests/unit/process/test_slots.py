from __future__ import annotations

import itertools
import os
import signal

from fastscp.process.slots import MOST, Slots, first_octet


def in_child(work):
    """Run ``work`` in a forked process that stays until it is killed; return its pid and what it returned."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writer, repr(work()).encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    answer = os.read(reader, 100).decode()
    os.close(reader)
    return pid, answer


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_so_many_places_for_each_key():
    slots = Slots(2)
    assert [slots.take("a"), slots.take("a"), slots.take("a"), slots.take("b")] == [0, 1, None, 0]
    slots.give_back("a", 0)
    assert [slots.take("a"), slots.take("a")] == [0, None]
    slots.close()


def test_processes_share_the_places_and_the_dead_give_theirs_back():
    slots = Slots(2)
    assert slots.take("a") == 0
    first, answer = in_child(lambda: (slots.take("a"), slots.take("a"), slots.take("b")))
    assert answer == "(1, None, 0)"
    assert slots.take("a") is None
    second, answer = in_child(lambda: (slots.take("a"), slots.take("b")))
    assert answer == "(None, 1)"
    end(first)
    assert slots.take("a") == 1
    assert slots.take("b") == 0
    end(second)
    assert slots.take("b") == 1
    slots.close()


def test_nothing_is_kept_of_keys_without_places():
    slots = Slots(1)
    for number in range(100):
        assert slots.take(str(number)) == 0
        slots.give_back(str(number), 0)
    assert slots._held == {}
    slots.close()


def test_places_of_keys_are_apart_and_fit_an_offset():
    firsts = sorted(first_octet(f"host 10.0.{number // 256}.{number % 256}") for number in range(5000))
    assert firsts[-1] + MOST < 1 << 63
    assert min(b - a for a, b in itertools.pairwise(firsts)) >= MOST
    first_octet("title \udcff\xff")


def test_places_are_shared_with_whoever_gets_the_memory():
    slots = Slots(2)
    other = Slots(2, os.dup(slots.fileno()))
    pid, answer = in_child(lambda: slots.take("a"))
    assert answer == "0"
    assert other.take("a") == 1
    assert other.take("a") is None
    end(pid)
    assert other.take("a") == 0
    other.close()
    slots.close()


def test_a_key_may_have_a_limit_of_its_own():
    slots = Slots(10)
    assert [slots.take("a", 2) for _ in range(3)] == [0, 1, None]
    assert slots.take("a") == 2
    assert slots.take("b", 1) == 0
    slots.close()
