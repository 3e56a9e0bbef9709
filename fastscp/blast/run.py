"""A run: the processes that send, what they say, and what is looked at afterwards.

``run`` is what a program uses::

    from fastscp.blast.plan import Plan, Target
    from fastscp.blast.run import run
    result = run(Plan(Target("127.0.0.1", 11112), load="mr", objects=1000, associations=4))
    print(result.objects_per_s, result.book.latency.quantile_ms(0.99))

The templates are made before the processes are forked, so there is one copy of them.
"""

from __future__ import annotations

import ipaddress
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import orjson

from fastscp.blast.event_check import EventCheck
from fastscp.blast.kit import Address, Ammunition, resolved
from fastscp.blast.loads import load
from fastscp.blast.numbering import Order, new_run
from fastscp.blast.plan import Plan
from fastscp.blast.result import Result
from fastscp.blast.sender import Part, Sender
from fastscp.blast.show import Show, Silent
from fastscp.blast.tally import Book
from fastscp.blast.template import Template
from fastscp.blast.transport import context
from fastscp.blast.verify import DirectoryCheck, Findings, patiently
from fastscp.errors import UsageError
from fastscp.process.child import run_child

_READ_OCTETS = 1 << 20
_SYNTHETIC_OBJECTS = 100


def run(plan: Plan, show: Show | None = None) -> Result:
    """Send the load, look what became of it, and return what is known. Raises UsageError when it cannot begin."""
    show = show or Silent()
    templates, left_out = load(plan.paths, plan.load)
    try:
        addresses = resolved(plan.target)
    except OSError as error:
        raise UsageError(f"{plan.target.host}: {error.strerror}") from error
    permit(plan, addresses)
    if plan.target.tls is not None:
        context(plan.target.tls)  # mistakes are to be told now
    ammunition = Ammunition(plan, templates, order_of(plan, templates), new_run())
    checks = _checks(plan)
    crew = Crew(plan, addresses, ammunition)
    with _interruptible(crew):
        result = crew.work(show)
    result.left_out = left_out
    for name, look in checks:
        show.say(f"looking at {name} ...")
        result.findings[name] = patiently(partial(look, ammunition, result.book.stored, result.book.sent), plan.checks.wait_s)
    return result


def order_of(plan: Plan, templates: Sequence[Template]) -> Order:
    """Return how many objects there are, in which studies."""
    studies = plan.studies if plan.studies is not None else None if plan.duration_s is not None else 1
    objects = plan.objects or (len(templates) if plan.paths else _SYNTHETIC_OBJECTS)
    return Order(studies, plan.series, objects, plan.associations, plan.per_association)


def permit(plan: Plan, addresses: Sequence[Address]) -> None:
    """Refuse to do harm to a machine that was not named for it. Raises UsageError."""
    if not plan.hostile_percent:
        return
    here = all(ipaddress.ip_address(str(address.where[0]).partition("%")[0]).is_loopback for address in addresses)
    if not here and plan.hostile_host != plan.target.host:
        raise UsageError(f"--hostile does harm: to send it to {plan.target.host}, name that a second time: --hostile-host {plan.target.host}")


def _checks(plan: Plan) -> list[tuple[str, Callable[[Ammunition, set[int], set[int]], Findings]]]:
    checks: list[tuple[str, Callable[[Ammunition, set[int], set[int]], Findings]]] = []
    if plan.checks.directory is not None:
        if not os.path.isdir(plan.checks.directory):
            raise UsageError(f"{plan.checks.directory} is no directory")
        checks.append((plan.checks.directory, DirectoryCheck(plan.checks.directory).look))
    if plan.checks.events is not None:
        checks.append((plan.checks.events, EventCheck(plan.checks.events, plan.target.calling_aet).look))
    return checks


class Crew:
    """The sending processes of a run; ``enter`` is called first in each of them. They begin when all are there."""

    def __init__(self, plan: Plan, addresses: Sequence[Address], ammunition: Ammunition, enter: Callable[[], None] = lambda: None) -> None:
        self._plan, self._addresses, self._ammunition, self._enter = plan, addresses, ammunition, enter
        self._book = Book()
        self._pids: list[int] = []
        self._ends: dict[int, dict[str, float]] = {}
        self._interrupted = False

    def interrupt(self) -> None:
        """Have everybody end what is under way; the second time, end."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL if self._interrupted else signal.SIGTERM)
        self._interrupted = True

    def work(self, show: Show) -> Result:
        """Start the processes, hear them out, and sum up."""
        plan = self._plan
        with selectors.DefaultSelector() as selector:
            gate = os.pipe2(os.O_CLOEXEC)
            for number in range(plan.senders):
                reader = self._start(Part(number, plan.senders), gate, [key.fd for key in selector.get_map().values()])
                selector.register(reader, selectors.EVENT_READ, (number, bytearray()))
            for end in gate:
                os.close(end)
            self._listen(selector, show)
        for pid in self._pids:
            _, status = os.waitpid(pid, 0)
            if os.waitstatus_to_exitcode(status) and not self._interrupted:
                self._book.failed_associations["a sending process died"] += 1
        self._pids.clear()
        ends = self._ends.values()
        result = Result(max((end["elapsed_s"] for end in ends), default=0.0), self._book, sum(end["cpu_s"] for end in ends),
                        max((end["busy"] for end in ends), default=0.0), plan.senders, interrupted=self._interrupted)
        show.done()
        return result

    def _start(self, part: Part, gate: tuple[int, int], others: list[int]) -> int:
        """Start one, which begins when the other end of the ``gate`` is closed; return where it is read from."""
        reader, writer = os.pipe2(os.O_CLOEXEC)

        def work() -> int:
            waiting, others_begin = gate
            for descriptor in (reader, others_begin, *others):
                os.close(descriptor)
            self._enter()
            os.read(waiting, 1)
            os.close(waiting)
            return Sender(self._plan, part, self._addresses, self._ammunition, writer).run()

        self._pids.append(run_child(work, title=f"blast {part.number + 1}", close=(), name="sending process"))
        os.close(writer)
        return reader

    def _listen(self, selector: selectors.BaseSelector, show: Show) -> None:
        began = time.monotonic()
        shown = began
        while selector.get_map():
            for key, _ in selector.select(show.every_s):
                number, kept = key.data
                data = os.read(key.fd, _READ_OCTETS)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    continue
                kept += data
                *lines, rest = bytes(kept).split(b"\n")
                kept[:] = rest
                for line in lines:
                    self._hear(number, line)
            now = time.monotonic()
            if now - shown >= show.every_s:
                shown = now
                show.update(self._book, now - began)

    def _hear(self, number: int, line: bytes) -> None:
        told = orjson.loads(line)
        if "end" in told:
            self._ends[number] = told["end"]
        else:
            self._book.enter(number, told)


@contextmanager
def _interruptible(crew: Crew) -> Iterator[None]:
    """Turn ^C and SIGTERM into an orderly end, as long as this lasts; only the main thread can."""
    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda _number, _frame: crew.interrupt())
    except ValueError:
        before.clear()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
