"""The observer that learns a shape: it hears what becomes of a header while that is read on trial.

The header is read once more, by a reader of its own whose output goes nowhere: what is learned are the cuts and
patches that the writer makes, not the octets.
"""

from __future__ import annotations

from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.recognise.outline import Outline, outline
from fastscp.dicom.engine.recognise.script import script_of
from fastscp.dicom.engine.recognise.shape import Shape
from fastscp.dicom.engine.scan import Reader, new_reader
from fastscp.errors import InstanceError


class Recorder:
    """Remembers cuts as (begin, end, replacement or width of swapped numbers), in input offsets, and patches."""

    def __init__(self) -> None:
        self.cuts: list[tuple[int, int, bytes | int]] = []
        self.patches: list[tuple[int, bytes]] = []

    def cut(self, begin: int, end: int, new: bytes | int) -> None:
        """Remember a replacement."""
        self.cuts.append((begin, end, new))

    def patch(self, offset: int, octets: bytes) -> None:
        """Remember a patch; output offsets count from 0, the beginning of the header."""
        self.patches.append((offset, octets))


def learn(plan: Plan, chunk: bytes) -> Shape | None:
    """Return the shape of the header that ``chunk`` begins with; None when it is not one that can be recognised."""
    explicit = plan.syntax_in.explicit_vr
    found = outline(chunk, None if explicit else plan.dictionary)
    if found is None:
        return None
    header = found.size + (12 if explicit else 8)
    if header < len(chunk):  # pixels, perhaps: their header belongs to the shape when they are written as they are
        recorder = Recorder()
        reader = _read(plan, chunk[:header + 1], recorder)
        if reader is not None and reader.value.untouched:
            return _shape(plan, chunk, found.with_header(header), recorder, reader)
    recorder = Recorder()
    reader = _read(plan, chunk[:found.size], recorder)
    return None if reader is None else _shape(plan, chunk, found, recorder, reader)


def _read(plan: Plan, header: bytes, recorder: Recorder) -> Reader | None:
    """Read a header on trial; None when it is broken, or something in it is still to be decided."""
    reader = new_reader(plan, Output(0, plan.syntax_out, new_vrs=plan.new_vrs, observer=recorder))
    try:
        reader.feed([header])
    except InstanceError:
        return None  # whoever reads this header for good reports what is wrong with it
    return None if reader.unsettled else reader


def _shape(plan: Plan, chunk: bytes, found: Outline, recorder: Recorder, reader: Reader) -> Shape:
    """Make a shape of what was heard; one octet of the value behind the header may have been read as well."""
    value = reader.value
    return Shape(chunk, found, script_of(found.size, recorder.cuts, recorder.patches),
                 reader.cursor.level.position(0), plan.wanted, value.left + 1 if value.left else 0, value.tag, value.offset)
