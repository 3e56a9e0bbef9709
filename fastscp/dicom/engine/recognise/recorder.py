"""The observer that learns a shape: it hears what becomes of a header while that is read on trial.

The header is read once more, by a reader of its own whose output goes nowhere: what is learned are the cuts and
patches that the writer makes, not the octets.
"""

from __future__ import annotations

from typing import Final

from fastscp.dicom.engine.output import Output
from fastscp.dicom.engine.pending import HELD
from fastscp.dicom.engine.plan import Plan
from fastscp.dicom.engine.recognise.outline import Outline, outline
from fastscp.dicom.engine.recognise.script import script_of
from fastscp.dicom.engine.recognise.shape import Shape
from fastscp.dicom.engine.scan import Reader, new_reader
from fastscp.errors import InstanceError

_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"  #: (7FE0,0010) in little endian


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
        # pixels are never looked at, however few: they pass by as those of large images do
        pixels = chunk[found.size:found.size + 4] == _PIXEL_DATA
        reader = _read(plan, chunk[:header + 1], recorder, 0 if pixels else HELD)
        if reader is not None and reader.value.untouched:
            return _shape(plan, chunk, found.with_header(header), recorder, reader)
    recorder = Recorder()
    reader = _read(plan, chunk[:found.size], recorder)
    return None if reader is None else _shape(plan, chunk, found, recorder, reader)


def _read(plan: Plan, header: bytes, recorder: Recorder, held: int = HELD) -> Reader | None:
    """Read a header on trial; None when it is broken, or something in it is still to be decided."""
    reader = new_reader(plan, Output(0, plan.syntax_out, new_vrs=plan.new_vrs, observer=recorder), held=held)
    try:
        reader.feed([header])
    except InstanceError:
        return None  # whoever reads this header for good reports what is wrong with it
    return None if reader.unsettled else reader


def _shape(plan: Plan, chunk: bytes, found: Outline, recorder: Recorder, reader: Reader) -> Shape:
    """Make a shape of what was heard; one octet of the value behind the header may have been read as well."""
    value = reader.value
    script = script_of(found.size, recorder.cuts, recorder.patches)
    position = reader.cursor.level.position(0)
    octets = value.left + 1 if value.left else 0
    return Shape(chunk, found, script, position, plan.wanted, octets, value.tag, value.offset, complete=_may_end(plan, recorder, reader))


def _may_end(plan: Plan, recorder: Recorder, reader: Reader) -> bool:
    """Tell whether a data set that ends here, behind what is left of the value, is written by the record alone."""
    if plan.options.file_padding:  # what is added follows from the length of the whole file
        return False
    value, heard = reader.value, (len(recorder.cuts), len(recorder.patches))
    reader.forget()
    if value.left:
        if value.left > 1:
            value.passed(value.left - 1)
        value.feed(b"\0")
    try:
        reader.finish()
    except InstanceError:
        return False
    return not reader.cursor.disordered and heard == (len(recorder.cuts), len(recorder.patches))
