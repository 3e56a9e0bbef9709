"""What --quarantine keeps is octet for octet what came, whatever the engine had done to it when it failed.

Every data set fails in the end, so that clean ones have to come back as well: large values and fragments of even and
odd length, big endian, deflated, out of order, broken anywhere, cut into any pieces, under every output option.
"""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastscp.dicom.rewriter import Shapes
from fastscp.dimse.command import decode_command
from fastscp.errors import InstanceError
from fastscp.store.policy import StorePolicy
from fastscp.store.quarantine import Quarantine
from fastscp.store.sink import OutputDirectory
from fastscp.store.steps import result
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.quarantine import new_reception
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.memory import pieces
from tests.support.options import output_options
from tests.support.rawscu import split_file
from tests.support.strategies import datasets

_OPTIONS = ["", "+te", "+tb", "+ti", "+td", "-e", "+g", "+uc", "+p 64 16"]
_SIZES = st.sampled_from([0, 1, 2, 17, 40_000, 65_536, 65_537, 65_538, 150_001, 300_000])
_relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def _octets(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@st.composite
def _received(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a transfer syntax and a data set with large values, broken or not."""
    if draw(st.integers(0, 3)) == 0:
        fragments = b"".join(ds.item(_octets(size)) for size in draw(st.lists(_SIZES, min_size=1, max_size=6)))
        syntax = ds.JPEG
        data = ds.HEAD + ds.explicit(0x7FE00010, "OB", ds.item(b"") + fragments, ds.UNDEFINED)
        data += ds.implicit(0xFFFEE0DD, b"") + ds.explicit(0xFFFCFFFC, "OB", _octets(draw(_SIZES)))
    else:
        syntax, data = draw(datasets())
        order = ">" if syntax == ds.BIG else "<"
        for tag in draw(st.lists(st.sampled_from([0x00091010, 0x7FE00010, 0x00081198, 0x00420011]), max_size=2)):
            value = _octets(draw(_SIZES))
            data += ds.implicit(tag, value) if syntax == ds.IMPLICIT else ds.explicit(tag, "OW", value, order=order)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=12)) + data[at + draw(st.integers(0, 12)):]
    if syntax == ds.EXPLICIT and draw(st.integers(0, 3)) == 0:
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return ds.DEFLATED, deflater.compress(data) + deflater.flush()
    return syntax, data


@given(_received(), st.sampled_from(_OPTIONS), st.sampled_from([101, 4096, 16_376, 100_000, 1 << 20]), st.integers(1, 4),
       st.integers(0, 30))
@settings(_relaxed, max_examples=300)
def test_what_is_kept_is_what_came(drawn: tuple[str, bytes], words: str, size: int, views: int, stop: int) -> None:
    syntax, data = drawn
    with tempfile.TemporaryDirectory() as out, tempfile.TemporaryDirectory() as kept:
        context = ReceptionContext(output_options(words), StorePolicy(out), OutputDirectory(out), Shapes(),
                                   quarantine=Quarantine(kept))
        command = decode_command(wire.store_command(1, wire.CT, "1.2.3.4.5"))
        for _ in range(2):  # the second time its header is recognised
            reception = new_reception(context, AcceptedContext(3, wire.CT, syntax), command, "MODALITY")
            parts = pieces(data, size)
            for number in range(0, len(parts), views):
                if number // views == stop:
                    reception.fail(InstanceError("refused by somebody else"))
                rest = reception.feed(parts[number:number + views], lambda: True)
                while rest:  # a step at a time
                    rest = reception.feed(rest, lambda: True)
            result(reception.finishing())
            reception.fail(InstanceError("refused in the end"))
            assert result(reception.keeping({})) is not None, reception.failure
        found = [path for path in Path(kept).iterdir() if path.suffix != ".json"]
        assert len(found) == 2
        for path in found:
            instance = split_file(path.read_bytes())
            assert instance.dataset == data
            assert instance.transfer_syntax == syntax
        assert list(Path(out).iterdir()) == []
