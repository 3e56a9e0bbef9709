"""Objects are sent by fastscp-blast's senders, a process for each association; idle associations are held beside them.

    templates = templates_of([load("mr")])
    sent = send(Target(11112), templates, senders=4, each=500)       # seconds, and how long objects took
"""

from __future__ import annotations

import multiprocessing
import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

from fastscp.blast import plan as blast
from fastscp.blast.kit import Ammunition, resolved
from fastscp.blast.numbering import Order, new_run
from fastscp.blast.run import Crew
from fastscp.blast.show import Silent
from fastscp.blast.template import Template, lengthened, template
from perf.loads import EXPLICIT_LE, Load
from tests.support.rawscu import RawSCU

_TIMEOUT_S = 120.0
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Target:
    """Where senders send to, and how they get there."""

    port: int
    host: str = "127.0.0.1"
    tls: bool = False
    enter: Callable[[], None] = field(default=lambda: None)  #: called first in a sender's process


class Sent(NamedTuple):
    """One round."""

    seconds: float
    p50_ms: float
    p99_ms: float


def templates_of(loads: Sequence[Load]) -> tuple[Template, ...]:
    """Return loads as senders take them; each object gets UIDs of its own."""
    return lengthened([template(item.sop_class, EXPLICIT_LE, item.data_set) for item in loads])


def send(target: Target, templates: Sequence[Template], *, senders: int, each: int, per_association: int = 0, studies: int = 0) -> Sent:
    """Have every sender send so many objects of a study of its own, the templates in turn. Raises RuntimeError when one is not stored.

    With ``studies`` there are so many, of ``each`` objects; with ``per_association`` less than that one study goes over several.
    """
    count = studies or senders
    plan = blast.Plan(
        blast.Target(target.host, target.port, "BENCH", tls=blast.TLSKeys() if target.tls else None), studies=count, objects=each,
        associations=senders, processes=senders, per_association=per_association or None, timeout_s=_TIMEOUT_S)
    order = Order(count, 1, each, senders, plan.per_association)
    result = Crew(plan, resolved(plan.target), Ammunition(plan, templates, order, new_run()), target.enter).work(Silent())
    if not result.good or result.book.objects != count * each:
        failures = {**result.book.failed_objects, **result.book.failed_associations}
        raise RuntimeError(f"{result.book.objects} of {count * each} objects were stored: {failures}")
    return Sent(result.seconds, result.book.latency.quantile_ms(0.5), result.book.latency.quantile_ms(0.99))


class Idle:
    """So many associations that are open and say nothing, in processes of their own."""

    _EACH = 500

    def __init__(self, target: Target, sop_class: str, count: int) -> None:
        self._processes = []
        self._pipes = []
        for start in range(0, count, self._EACH):
            ours, theirs = _FORK.Pipe()
            process = _FORK.Process(target=_hold, args=(target, sop_class, min(self._EACH, count - start), theirs), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        for pipe in self._pipes:
            try:
                pipe.recv_bytes()
            except EOFError:
                self.close()
                raise RuntimeError("an idle association could not be opened") from None

    def close(self) -> None:
        """Abandon them all."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()


def _hold(target: Target, sop_class: str, count: int, pipe: Connection) -> None:
    target.enter()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for _ in range(count):
        scu = RawSCU(target.host, target.port, _TIMEOUT_S)
        scu.associate([(1, sop_class, [EXPLICIT_LE])])
        held.append(scu)
    pipe.send_bytes(b"%d" % os.getpid())
    try:
        pipe.recv_bytes()  # until its end is closed
    except EOFError:
        for scu in held:
            scu.close()
