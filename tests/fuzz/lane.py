"""The oracle of the express lane: a worker's connection with it, and one without it, do the same with the same octets.

    data[0]   chooses output options, and how many octets come in a read
    data[1:]  what a requestor sends behind its A-ASSOCIATE-RQ and two C-STORE requests that teach the header

Questions. The lane alone, over a buffer that ends where the octets do: what it took, the usual way does with just these
octets as well, to the same files and answers. A lane that sorts and tells: what it took, the plain one takes, to the same
files, and what it tells is in them. A message that is cut off: what is said to be missing is no more than what is
missing, or its connection would wait for ever. And a whole connection: with a lane or without, the end is the same.
"""

from __future__ import annotations

import array
import os
import random
import shutil
import tempfile
import weakref
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from fastscp import core
from fastscp.config import Config
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriter import output_transfer_syntax
from fastscp.net.peer import Peer
from fastscp.process.loop import IN
from fastscp.store.policy import StorePolicy
from fastscp.ul.encode import encode_associate_rq, encode_data
from fastscp.ul.pdu import ProposedContext
from fastscp.worker.connection import Connection
from fastscp.worker.express import _describer, depot_of
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import FD, Bench, FakeTransport

_OUTPUTS = (OutputOptions(), OutputOptions(bit_preserving=True), OutputOptions(transfer_syntax=ds.IMPLICIT),
            OutputOptions(group_lengths=GroupLengths.CREATE), OutputOptions(file_format=False))
_READS = (1 << 20, 1 << 20, 700, 37)  #: octets
_EXTENSIONS = ("", ".dcm")
_REQUEST = encode_associate_rq(wire.associate_request((
    ProposedContext(1, wire.VERIFICATION, (wire.IMPLICIT,)), ProposedContext(3, wire.CT, (wire.EXPLICIT,)),
    ProposedContext(5, wire.CT, (wire.IMPLICIT,)))))
_ROUNDS = 10_000  #: of the loop, more than any input needs
_MOST = 32
STUDY = b"1.2.840.7"
INSTANCE = "1.2.3.4.5.6"
HEAD = (ds.explicit(0x00080016, "UI", wire.CT.encode() + b"\0" * (len(wire.CT) & 1))
        + ds.explicit(0x00080018, "UI", INSTANCE.encode() + b"\0") + ds.explicit(0x00081030, "LO", b"abc " * 60)
        + ds.explicit(0x0020000D, "UI", STUDY + b"\0") + ds.explicit(0x00280010, "US", b"\x01\x02") + ds.explicit(0x00281052, "DS", b"1.5 "))


def message(instance: str = INSTANCE, data: bytes | None = None, *, context: int = 3, fragment: int = 2000, number: int = 7) -> bytes:
    """Encode a C-STORE-RQ with its data set."""
    if data is None:
        data = HEAD.replace(INSTANCE.encode(), instance.encode()) + ds.explicit(0x7FE00010, "OW", bytes(1000))
    cuts = range(0, len(data), fragment)
    return encode_data(context, 3, wire.store_command(number, wire.CT, instance)) + b"".join(
        encode_data(context, 2 if at == cuts[-1] else 0, data[at : at + fragment]) for at in cuts)


def _exactly(octets: bytes) -> memoryview:
    """Return a view of memory that ends where the octets do; behind those of ``bytes`` there is a NUL."""
    return memoryview(array.array("B", octets))


@dataclass
class End:
    """What came of octets."""

    files: dict[str, bytes]
    answers: bytes
    closed: bool


class Receiver:
    """A connection of a worker over a fake transport, into a directory; it has met the header twice."""

    def __init__(self, output: OutputOptions, extension: str, *, express: bool) -> None:
        self._directory = tempfile.mkdtemp(prefix="lane-", dir=_PLACE)
        self._remove = weakref.finalize(self, shutil.rmtree, self._directory)
        config = replace(Config(), store=StorePolicy(self._directory, extension=extension), output=output)
        bench = Bench(config)
        context = bench.context
        if express:
            context = replace(context, depot=depot_of(context.service))
            assert context.depot is not None
        self._service = context.service
        self._loop = bench.loop
        self._transport = FakeTransport()
        self.connection = Connection(context, 7, self._transport, Peer("10.0.0.9", 4711), lambda _connection: None)
        self.connection.start()
        self._arrive([_REQUEST])
        for number in (8, 9):
            self._arrive([message(f"1.2.3.4.5.{number}")])
        self.forget()

    def _arrive(self, reads: list[bytes]) -> None:
        self._transport.arriving += reads
        for _ in range(_ROUNDS):
            if self._transport.arriving and self._loop.watched(FD) & IN:
                self._loop.fire(FD, IN)
            elif not self._loop.next_round():
                return
        raise AssertionError(f"still at work after {_ROUNDS} rounds")

    def forget(self) -> None:
        """Remove what was stored and answered until now."""
        self._transport.sent.clear()
        for entry in os.scandir(self._directory):
            os.unlink(entry.path)

    def converse(self, octets: bytes, read: int) -> End:
        """Send octets in reads of this size."""
        self._arrive([octets[at : at + read] for at in range(0, len(octets), read)])
        return self._end(bytes(self._transport.sent))

    def lane_alone(self, octets: bytes) -> tuple[int, End]:
        """Give octets to the lane itself, in a buffer of their own; return how many it took."""
        lane, answers = self.connection.flow.lane, bytearray()
        assert lane is not None
        taken = lane.take(_exactly(octets), answers, _MOST)
        end = self._end(bytes(answers))
        assert 0 <= taken <= len(octets)
        assert (lane.stored == 0) == (taken == 0)
        assert lane.written >= sum(map(len, end.files.values()))
        return taken, end

    def ask_what_is_missing(self, octets: bytes) -> None:
        """Cut the first message, if it is taken, in a few places."""
        lane = self.connection.flow.lane
        assert lane is not None
        size = lane.take(_exactly(octets), bytearray(), 1)
        chance = random.Random(zlib.crc32(octets))
        for cut in (*(chance.randrange(size) for _ in range(8) if size), len(octets)):
            missing = lane.missing(_exactly(octets[:cut]))
            assert missing >= 0
            assert cut >= size or missing <= size - cut, f"{missing} missing behind {cut} of {size}"

    def sorting_lane_alone(self, octets: bytes) -> tuple[int, End, list[tuple[object, ...]]]:
        """Give octets to a lane that knows what the connection knows, and the place of a study; return what it tells as well."""
        place = os.path.join(self._directory, "place")
        os.mkdir(place)
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            contexts = {3: (wire.EXPLICIT, output_transfer_syntax(wire.EXPLICIT, self._service.reception.output))}
            lane = core.Lane(depot_of(self._service), contexts, _describer(contexts, "MODALITY"), max_length=16384, peer_max_length=16384,
                             tells=True, sorts=True)
            status, answers = os.fstat(fd), bytearray()
            assert lane.take(_exactly(octets), answers, _MOST) == 0, "no place yet"
            lane.enter(STUDY, os.fsencode(place), fd, status.st_dev, status.st_ino)
            taken = lane.take(_exactly(octets), answers, _MOST)
            files = {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(place)}
            told = lane.told
            lane.leave()
            assert lane.take(_exactly(octets), answers, _MOST) == 0, "no place any more"
        finally:
            os.close(fd)
            shutil.rmtree(place)
        assert len(told) == len({name for _, _, _, name, *_ in told}) + sum(replaced for *_, replaced, _, _, _ in told)
        return taken, End(files, bytes(answers), closed=False), told

    def _end(self, answers: bytes) -> End:
        files = {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(self._directory)}
        return End(files, answers, bool(self._transport.closes))

    def close(self) -> None:
        """End the connection, close the directory and remove it."""
        self.connection.close("the end")
        self._service.reception.directory.close()
        self._remove()


_PLACE = "/dev/shm" if os.path.isdir("/dev/shm") else None


def check(data: bytes) -> int:
    """Ask both questions; return how many octets the lane alone took."""
    chosen = data[0] if data else 0
    output, extension = _OUTPUTS[chosen % len(_OUTPUTS)], _EXTENSIONS[chosen >> 3 & 1]
    read, octets = _READS[chosen >> 4 & 3], bytes(data[1:])
    receivers = [Receiver(output, extension, express=express) for express in (True, True, False, False)]
    try:
        alone, with_lane, some, all_of_it = receivers
        taken, end = alone.lane_alone(octets)
        alone.ask_what_is_missing(octets)
        _check_sorting(all_of_it, alone, octets)
        assert some.converse(octets[:taken], 1 << 20) == end, f"the lane took {taken} octets"
        assert with_lane.converse(octets, read) == all_of_it.converse(octets, read)
        return taken
    finally:
        for receiver in receivers:
            receiver.close()


def _check_sorting(receiver: Receiver, plain: Receiver, octets: bytes) -> None:
    taken, end, told = receiver.sorting_lane_alone(octets)
    for _, _, instance, name, size, _, study, _, _ in told:
        assert study.rstrip(b"\0") == STUDY
        file = end.files[name.decode("ascii")]
        assert instance in file
        assert size == len(file) or len(end.files) < len(told)
    plain.forget()
    assert plain.lane_alone(octets[:taken]) == (taken, end), "a lane that sorts took it, and one that does not did not"


def seeds() -> list[bytes]:
    """Return what the lane takes, and what is nearly that."""
    one, two = message(), message("1.2.3.4.5.7")
    sent = [one, one + two, one[:-1], one + wire.RELEASE_RQ, message(fragment=300), one + two[:100],
            message("1.2.3.4.5.6", HEAD + ds.explicit(0x7FE00010, "OW", bytes(998))),
            message(data=HEAD.replace(b"abc ", b"xyz ") + ds.explicit(0x7FE00010, "OW", bytes(1000))),
            message(data=HEAD.replace(b"abc ", b"ab  ") + ds.explicit(0x7FE00010, "OW", bytes(1000))),
            message("1.2.3.4.5.77", HEAD.replace(b"1.2.3.4.5.6\0", b"1.2.3.4.5.77") + ds.explicit(0x7FE00010, "OW", bytes(1000))),
            message("1.2.3.4.5.7", HEAD + ds.explicit(0x7FE00010, "OW", bytes(1000))), message(context=1),
            one + encode_data(3, 3, wire.echo_command()) + two, message(data=b"\1\2"), wire.ABORT]
    chosen = [0, 1, 2, 3, 4, 8, 9, 0x20, 0x21, 0x30, 0x24, 0x0C]
    return [bytes((kind,)) + octets for octets in sent for kind in (chosen if octets is one else chosen[:2])]
