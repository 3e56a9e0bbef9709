"""The parts of the engine put together for tests of one of them, and plain stand-ins for the others."""

from __future__ import annotations

from fastscp.dicom import uids
from fastscp.dicom.engine.cursor import ITEM, NO_END, Cursor, Level
from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import PendingValue
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import COLLECTED, output_transfer_syntax, shared_dictionary
from tests.support import datasets as ds
from tests.support.memory import BASE, MemorySink


def plan(syntax: str = ds.EXPLICIT, options: OutputOptions | None = None) -> Plan:
    chosen = options or OutputOptions()
    return Plan(uids.transfer_syntax(syntax), uids.transfer_syntax(output_transfer_syntax(syntax, chosen)),
                chosen, shared_dictionary(), COLLECTED)


class Bench:
    """Plan, cursor, output and pending value at the beginning of a data set; ``take`` puts octets in the buffer."""

    def __init__(self, octets: bytes = b"", syntax: str = ds.EXPLICIT, options: OutputOptions | None = None,
                 observer: object = None) -> None:
        self.plan = plan(syntax, options)
        self.output = Output(BASE, self.plan.syntax_out, new_vrs=self.plan.new_vrs, observer=observer)
        explicit, little = self.plan.syntax_in.explicit_vr, self.plan.syntax_in.little_endian
        self.level = Level(ITEM, NO_END, explicit, little,
                           fast=explicit == self.output.explicit and little == self.output.little)
        self.cursor = Cursor(self.level)
        self.value = PendingValue(self.output)
        self.output.take(octets)

    def written(self, pos: int | None = None) -> bytes:
        """Return all output, up to position ``pos`` of the buffer."""
        self.output.seal(len(self.output.buf) if pos is None else pos)
        sink = MemorySink()
        self.output.write(sink)
        return sink.dataset


class Heard:
    """An observer that keeps a list of what it heard."""

    def __init__(self) -> None:
        self.events: list[tuple] = []

    def cut(self, begin: int, end: int, new: bytes | int) -> None:
        self.events.append(("cut", begin, end, new))

    def patch(self, offset: int, octets: bytes) -> None:
        self.events.append(("patch", offset, octets))
