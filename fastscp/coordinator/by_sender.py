"""The studies of every section of the configuration file, and of the service itself, which has the name "".

Strategy: each section has ``Studies`` of its own, with its own rules, as if it were a service of its own; they share the
state, its numbers, and the lanes. So a study that arrives through two sections is two studies, and neither ends the
other. What is told of an association goes to its section.

A section that is not in the configuration any more keeps its name and its studies, and goes by the service's rules.
Invariant: two studies that are open never share a directory that was made for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fastscp.coordinator.finishing import Finisher, Step
from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.placing import Placer
from fastscp.coordinator.rules import AllRules, Rules
from fastscp.coordinator.studies import Studies
from fastscp.coordinator.tasks import Cause, FinishTask, Lanes, Numbers, Task, task_of
from fastscp.log import setup as log
from fastscp.process import packets
from fastscp.study import events, naming, variables
from fastscp.study.commands import Commands
from fastscp.study.state import Recovered, StudyState
from fastscp.study.tracker import Transfer


class StudiesBySender:
    """Every study that is open."""

    def __init__(self, rules: AllRules, state: StudyState, lanes: Lanes, sink: events.EventSink | None, *,
                 log_files: Callable[[], Iterable[str]] = log.files, files: Followers | None = None,
                 journal: FleetJournal | None = None) -> None:
        self.numbers = Numbers()
        self._rules = rules
        self._state = state
        self._lanes = lanes
        self._sink = sink
        self._log_files = log_files
        self._files = files  #: follow what is done to files
        self._journal = journal  #: what a fleet is told
        self._studies: dict[str, Studies] = {}
        self._finishers: dict[str, Finisher] = {}
        self._of_association: dict[str, str] = {}  #: section by open association
        for sender, own in rules.by_sender.items():
            if own.keeps_studies:
                self.of(sender)

    def of(self, sender: str) -> Studies:
        """Return the studies of a section."""
        studies = self._studies.get(sender)
        if studies is None:
            rules = self._rules.of(sender)
            finisher = Finisher(rules.study, self._state, self._sink, has_hook=rules.hooks.on_end_of_study is not None,
                                sender=sender)
            finisher.files, finisher.journal = self._files, self._journal
            self._finishers[sender] = finisher
            studies = self._studies[sender] = Studies(
                rules.study, rules.hooks, self._state, self._lanes, self._placer(rules), finisher, self._sink, sender=sender,
                numbers=self.numbers, elsewhere=partial(self._elsewhere, sender), journal=self._journal)
        return studies

    def _placer(self, rules: Rules) -> Placer:
        return Placer(rules.study, rules.output_directory, self._rules.own(tuple(self._log_files())))

    def _elsewhere(self, sender: str) -> Collection[str]:
        """Return the directories of the studies of others."""
        if len(self._studies) == 1:
            return ()
        return {path for other, studies in self._studies.items() if other != sender for path in studies.directories()}

    def use(self, rules: AllRules) -> None:
        """Go by other rules from now on. A section that keeps no studies any more ends those that it has by the old ones."""
        self._rules = rules
        for sender, studies in self._studies.items():
            own = rules.of(sender)
            if own.keeps_studies:
                studies.use(own.study, own.hooks, self._placer(own))

    def directories(self) -> set[str]:
        """Return the directories in which there is something to come, or to be done."""
        return {path for studies in self._studies.values() for path in studies.directories()}

    @property
    def open_count(self) -> int:
        """How many are open."""
        return sum(studies.open_count for studies in self._studies.values())

    @property
    def last_task(self) -> int:
        """Number of the latest task."""
        return self.numbers.task

    # -- recovery ---------------------------------------------------------------------------------

    def recover(self, recovered: Recovered, now: float) -> None:
        """Take over what an earlier coordinator left."""
        tasks = list(map(task_of, recovered.tasks))
        of_study = {row.number: naming.of_study_key(row.uid)[0] for row in recovered.studies}
        of_study.update({task.study: task.plan.sender for task in tasks if isinstance(task, FinishTask)})
        for sender in dict.fromkeys(("", *self._studies, *of_study.values())):
            own = [row for row in recovered.studies if of_study[row.number] == sender]
            numbers = {row.number for row in own}
            holders = {name: number for name, number in recovered.holders.items() if number in numbers}
            self.of(sender).recover(replace(recovered, studies=own, holders=holders, tasks=[]), now)
        for task in tasks:
            self.of(_sender_of(task, of_study)).take_back(task)

    def forget_unheard(self, associations: Iterable[str]) -> None:
        """Drop associations and placed objects of an earlier coordinator that no worker has reported since."""
        gone = list(associations)
        for studies in self._studies.values():
            studies.forget_unheard(gone)

    # -- what workers tell ------------------------------------------------------------------------

    def opened(self, association: str, sender: str = "") -> None:
        """Take note that an association is open; an earlier coordinator may have known it."""
        self._of_association[association] = sender
        self.of(sender).opened(association)

    def closed(self, association: str) -> None:
        """Take note that an association ended."""
        self._of(association).closed(association)
        self._of_association.pop(association, None)

    def place(self, packet: packets.Place, incarnation: str, now: float, answer: Callable[[packets.Placed], None]) -> None:
        """Answer where an object goes; its study is open from here on."""
        self._of(packet["association"]).place(packet, incarnation, now, answer)

    def abandoned(self, transfer: Transfer, now: float) -> None:
        """Take note of a transfer that failed."""
        for studies in self._studies.values():
            studies.abandoned(transfer, now)

    def stored(self, packet: packets.Stored, octets: bytes, opened: Mapping[str, Any], caller: bytes,
               incarnation: str, cause: Cause | None, now: float) -> None:
        """Take over an object: keep it, and add the tasks it causes."""
        self._of(packet["association"]).stored(packet, octets, opened, caller, incarnation, cause, now)

    def _of(self, association: str) -> Studies:
        return self.of(self._of_association.get(association, ""))

    # -- ends -------------------------------------------------------------------------------------

    def due(self, now: float) -> list[Transfer]:
        """End the studies whose time is over, or some of a great many; return the transfers that have to be given back first."""
        return [transfer for studies in self._studies.values() for transfer in studies.due(now)]

    def deadline(self) -> float | None:
        """Return when ``due`` has to be called next."""
        return min((time for studies in self._studies.values() if (time := studies.deadline()) is not None), default=None)

    def drain(self) -> None:
        """End every study."""
        for studies in self._studies.values():
            studies.drain()

    def tidy(self) -> bool:
        """Drop some of what belongs to studies that were forgotten; return whether there is more."""
        return self._state.tidy()

    # -- finishing --------------------------------------------------------------------------------

    def hurry(self) -> bool:
        """Do a piece of what somebody waits for, the caller has committed its plan; return whether there is more."""
        more = False
        for finisher in self._finishers.values():
            more |= finisher.hurry()
        return more

    def step(self, task: FinishTask) -> Step:
        """Do some of a task that is due."""
        return self._finishers[task.plan.sender].step(task)


def _sender_of(task: Task, of_study: Mapping[int, str]) -> str:
    """Return the section of a task; that of a hook that is in the state alone does not matter."""
    if isinstance(task, FinishTask):
        return task.plan.sender
    return of_study.get(task.study, "") if task.call is None else variables.sender_of(task.call)


class CommandsBySender:
    """The hooks of every section; of one that is gone those of the service."""

    def __init__(self, rules: AllRules) -> None:
        self.use(rules)

    def use(self, rules: AllRules) -> None:
        """Run other commands from now on."""
        self._by_sender = {sender: Commands(own.hooks, ignore=own.ignore) for sender, own in rules.by_sender.items()}

    def of(self, call: variables.Call) -> Commands:
        """Return the commands that a call is one of."""
        return self._by_sender.get(variables.sender_of(call)) or self._by_sender[""]
