"""The compiled core beside the Python that does the same: headers that are recognised, requests that are stored at once."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from fastscp import core
from fastscp.dicom.engine.recognise import shape as shapes_module
from fastscp.dicom.engine.recognise.recorder import learn
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriter import Rewriter, Shapes, _plan
from fastscp.dicom.uids import transfer_syntax
from fastscp.dimse.command import decode_command, encode_response_command
from fastscp.store.directory import Directory
from fastscp.ul.encode import encode_data
from tests.conftest import real_dicom_files
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.memory import MemorySink
from tests.support.rawscu import read_instance

pytestmark = pytest.mark.skipif(not core.ACTIVE, reason="the core is not compiled here")

OPTIONS = [OutputOptions(), OutputOptions(transfer_syntax=ds.IMPLICIT), OutputOptions(transfer_syntax="1.2.840.10008.1.2.2"),
           OutputOptions(group_lengths=GroupLengths.CREATE), OutputOptions(explicit_lengths=False)]


@pytest.mark.parametrize("options", OPTIONS, ids=["default", "+ti", "+tb", "+g", "-e"])
def test_headers_are_recognised_and_written_as_python_does(options: OutputOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(1)
    seen = 0
    for path in real_dicom_files():
        instance = read_instance(path)
        syntax = instance.transfer_syntax or ds.IMPLICIT
        plan = _plan(syntax, options, None)
        if not plan.recognises or transfer_syntax(syntax).deflated:
            continue
        chunk = instance.dataset[:32768]
        compiled = learn(plan, chunk)
        if compiled is None:
            continue
        with monkeypatch.context() as patch:
            patch.setattr(shapes_module.core, "ACTIVE", False)
            pure = learn(plan, chunk)
        assert pure is not None
        seen += 1
        assert compiled.render(chunk) == pure.render(chunk)
        for _ in range(60):
            other = bytearray(chunk)
            for _ in range(chance.choice([1, 1, 2, 8])):
                other[chance.randrange(len(other))] = chance.choice([0, 32, 46, 47, 49, 65, 255, chance.randrange(256)])
            cut = bytes(other[:chance.choice([len(other), len(other), compiled.size, compiled.size - 1])])
            assert compiled.matches(cut) == pure.matches(cut), path
            if compiled.matches(cut):
                assert compiled.render(cut) == pure.render(cut), path
    assert seen > 20


@pytest.mark.parametrize(("change", "value"), [
    ("probe", -1), ("probe", 400), ("texts", (399,)), ("uids", ((10, 10),)), ("uids", ((390, 401),)), ("script", ((0, 401),)),
    ("script", ((8, 4),)), ("script", ((0, 9, -3),)), ("sop_class", (390, 402)), ("octets", bytes(399)),
    ("told", ((0, 4), (4, 8), (390, 401))), ("told", ((-1, -1),) * 2), ("told", ((-1, -1),) * 4),
])
def test_header_has_nothing_outside_of_it(change: str, value: object) -> None:
    given = {"octets": bytes(400), "mask": bytes(400), "probe": 0, "texts": (), "uids": (), "blanks": b" ", "script": ((0, 400),),
             "value_octets": 0, "sop_class": (-1, -1), "sop_instance": (-1, -1),
             "told": ((-1, -1),) * 3, "complete": True}
    assert core.Header(*given.values()).matches(bytes(400))
    given[change] = value
    with pytest.raises(ValueError, match=r"header|UID|width|three values"):
        core.Header(*given.values())


def test_an_association_that_is_idle_takes_little_memory() -> None:
    assert core.Lane.__basicsize__ < 512


def test_incomplete_number_stays_as_it_is() -> None:
    octets = bytes(range(1, 10)) + bytes(391)
    header = core.Header(octets, bytes(400), 0, (), (), b" ", ((0, 9, 2), b"constant", (2, 3, 4), (4, 8, 4)), 0, (-1, -1), (-1, -1),
                         ((-1, -1),) * 3, True)
    assert header.render(octets) == b"\2\1\4\3\6\5\x08\7\x09" + b"constant" + b"\3" + b"\x08\7\6\5"


HEAD = (ds.explicit(0x00080016, "UI", wire.CT.encode() + b"\0" * (len(wire.CT) & 1))
        + ds.explicit(0x00080018, "UI", b"1.2.3.4.5.6\0") + ds.explicit(0x00081030, "LO", b"x" * 300))


def data_set(instance: str = "1.2.3.4.5.6", pixels: int = 1000) -> bytes:
    assert len(instance) == 11
    return HEAD.replace(b"1.2.3.4.5.6", instance.encode()) + ds.explicit(0x7FE00010, "OW", bytes(pixels))


def message(instance: str = "1.2.3.4.5.6", data: bytes | None = None, *, context: int = 3, fragment: int = 2000) -> bytes:
    data = data_set(instance) if data is None else data
    cuts = range(0, len(data), fragment)
    return encode_data(context, 3, wire.store_command(7, wire.CT, instance)) + b"".join(
        encode_data(context, 2 if at == cuts[-1] else 0, data[at : at + fragment]) for at in cuts)


class Yard:
    """A lane into a directory of its own, over a header that was met before."""

    def __init__(self, path: Path, *, met: bytes = b"", **changes: object) -> None:
        self.path = path
        self.directory = Directory(str(path))
        self.shapes = Shapes()
        rewriter = Rewriter(ds.EXPLICIT, OutputOptions(), MemorySink(), 0, shapes=self.shapes)
        rewriter.feed([met or data_set()])
        given = {"files": True, "preserving": False, "shapes": self.shapes, "most_octets": 0, "max_length": 16384,
                 "peer_max_length": 16384, "extension": b"", **changes}
        lengths = {name: given.pop(name) for name in ("max_length", "peer_max_length")}
        depot = core.Depot(self.directory, os.fsencode(path), given.pop("extension"), **given)
        self.lane = core.Lane(depot, {3: (ds.EXPLICIT, ds.EXPLICIT)}, lambda _number, _sop_class: (b"CT.", b"before", b"behind"),
                              **lengths)
        self.answers = bytearray()

    def take(self, *messages: bytes, most: int = 100) -> int:
        return self.lane.take(memoryview(b"".join(messages)), self.answers, most)

    def files(self) -> dict[str, bytes]:
        return {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(self.path)}


def file_of(instance: str = "1.2.3.4.5.6", data: bytes | None = None) -> bytes:
    uid = instance.encode() + b"\0" * (len(instance) & 1)
    group = b"before\x02\x00\x03\x00UI" + len(uid).to_bytes(2, "little") + uid + b"behind"
    return (bytes(128) + b"DICM\x02\0\0\0UL\x04\0" + len(group).to_bytes(4, "little") + group
            + (data_set(instance) if data is None else data))


def answer_to(instance: str) -> bytes:
    command = decode_command(wire.store_command(7, wire.CT, instance))
    return encode_data(3, 3, encode_response_command(command, 0))


def test_whole_messages_are_stored_and_answered(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    one, two = message(), message("1.2.3.4.5.7")
    assert yard.take(one, two, one[:50]) == len(one) + len(two)
    assert yard.files() == {"CT.1.2.3.4.5.6": file_of(), "CT.1.2.3.4.5.7": file_of("1.2.3.4.5.7")}
    assert bytes(yard.answers) == answer_to("1.2.3.4.5.6") + answer_to("1.2.3.4.5.7")
    assert (yard.lane.stored, yard.lane.written, yard.lane.replaced) == (2, sum(map(len, yard.files().values())), [])


def test_pixels_may_come_in_many_fragments(tmp_path: Path) -> None:
    data = data_set(pixels=50_000)
    yard = Yard(tmp_path, met=data)
    assert yard.take(message(data=data, fragment=4000)) > 0
    assert yard.files() == {"CT.1.2.3.4.5.6": file_of(data=data)}


def test_no_more_are_stored_than_are_wanted(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    assert yard.take(message(), message("1.2.3.4.5.7"), most=1) == len(message())


def test_bit_preserving_without_meta_information(tmp_path: Path) -> None:
    yard = Yard(tmp_path, files=False, preserving=True, extension=b".x")
    assert yard.take(message(data=b"any octets at all.")) > 0
    assert yard.files() == {"CT.1.2.3.4.5.6.x": b"any octets at all."}


def test_earlier_file_gives_way_and_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "CT.1.2.3.4.5.6").write_bytes(b"earlier")
    yard = Yard(tmp_path)
    assert yard.take(message()) > 0
    assert yard.files() == {"CT.1.2.3.4.5.6": file_of()}
    assert yard.lane.replaced == [b"CT.1.2.3.4.5.6"]
    assert yard.take(message("1.2.3.4.5.7")) > 0
    assert yard.lane.replaced == []


ONE = message()


@pytest.mark.parametrize(("octets", "changes"), [
    (b"", {}),
    (ONE[:-1], {}),  # not all there
    (ONE[:11], {}),
    (b"\x05" + ONE[1:], {}),  # another PDU
    (message(context=5), {}),  # another context
    (message(data=b""), {}), (encode_data(3, 3, wire.store_command(7, wire.CT, "1.2.3.4.5.6")) + encode_data(3, 2, b""), {}),
    (message("1.2.3.4.5.6", data_set("1.2.3.4.5.7")), {}),  # UIDs of command and data set differ
    (message(data=data_set(pixels=998)), {}),  # not seen before
    (message(data=data_set() + ds.explicit(0xFFFCFFFC, "OB", b"\0\0")), {}),
    (message(data=data_set().replace(b"xx", b"x ", 1)[:-1] + b"\0"), {"most_octets": 1300}),  # too long
    (message(data=data_set().replace(b"x" * 300, b"x" * 298 + b"  ")), {}),  # a text to be trimmed
    (message(fragment=7), {}),  # very many fragments, and the header in several
    (message(fragment=1000), {"max_length": 500}),
    (ONE, {"peer_max_length": 60}),
    (ONE, {"extension": b"y" * 250}),
    (ONE.replace(wire.store_command(7, wire.CT, "1.2.3.4.5.6")[-12:], b"1.2.3.4.5.x\0"), {}),
    (encode_data(3, 3, wire.store_command(7, wire.CT, "1.2.3.4.5.6").replace(b"\0\x08\x02\0\0\0\0\0", b"\0\x08\x02\0\0\0\x01\x01"))
     + encode_data(3, 2, data_set()), {}),
    (encode_data(3, 3, wire.store_command(7, wire.CT, "1.2.3.4.5.6")) + encode_data(5, 2, data_set()), {}),
    (encode_data(3, 3, wire.store_command(7, wire.CT, "1.2.3.4.5.6")) + encode_data(3, 3, data_set()), {}),
    (encode_data(3, 1, wire.store_command(7, wire.CT, "1.2.3.4.5.6")) + encode_data(3, 2, data_set()), {}),
])
def test_what_is_unusual_is_left_alone(tmp_path: Path, octets: bytes, changes: dict[str, object]) -> None:
    yard = Yard(tmp_path, **changes)
    assert yard.take(octets) == 0
    assert yard.files() == {}
    assert not yard.answers


DATA = ONE.index(encode_data(3, 2, b"")[10:12] + data_set()[:8]) - 10  #: where the P-DATA-TF of the data set begins


@pytest.mark.parametrize("cut", [DATA + 600, DATA + 12 + len(HEAD) + 30, len(ONE) - 1])
def test_no_more_is_missing_than_what_is_missing(tmp_path: Path, cut: int) -> None:
    many = message(fragment=400)
    assert Yard(tmp_path, preserving=True).lane.missing(memoryview(ONE[:cut])) == 1
    assert 0 <= Yard(tmp_path).lane.missing(memoryview(many[:cut])) <= len(many) - cut


@pytest.mark.parametrize(("at", "octets", "size"), [
    (0, b"\x07", 1), (0, b"\x07", 400),  # a PDU of another type
    (2, b"\0\1\0\0", 6), (2, b"\0\0\0\5", 6),  # too long, or too short for a PDV
    (6, b"\0\0\0\1", 10), (6, b"\0\0\0\1", 400),  # a PDV that does not fill its PDU
    (10, b"\5", 11), (10, b"\5", 400),  # another context
    (11, b"\3", 12), (11, b"\1", 400),  # a command inside of a data set
])
def test_nothing_is_waited_for_behind_what_breaks_a_rule(tmp_path: Path, at: int, octets: bytes, size: int) -> None:
    lane = Yard(tmp_path, preserving=True).lane
    begun = ONE[: DATA + size]
    assert lane.missing(memoryview(begun)) == 1
    assert lane.missing(memoryview(begun[: DATA + at] + octets + begun[DATA + at + len(octets) :])) == 0


def test_directory_that_went_away_is_left_to_the_usual_way(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    yard = Yard(place)
    assert yard.take(message()) > 0
    place.rename(tmp_path / "moved")
    assert yard.take(message("1.2.3.4.5.7")) == 0
    place.mkdir()
    assert yard.take(message("1.2.3.4.5.7")) > 0
    assert [entry.name for entry in os.scandir(place)] == ["CT.1.2.3.4.5.7"]
    assert [entry.name for entry in os.scandir(tmp_path / "moved")] == ["CT.1.2.3.4.5.6"]


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    yard.take(message())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert yard.take(message()) > 0
        yard.take(message(data=data_set(pixels=998)))
    (tmp_path / "CT.1.2.3.4.5.7").mkdir()
    assert yard.take(message("1.2.3.4.5.7")) == 0  # nothing replaces a directory
    assert len(os.listdir("/proc/self/fd")) == before
    assert sorted(entry.name for entry in os.scandir(tmp_path)) == ["CT.1.2.3.4.5.6", "CT.1.2.3.4.5.7"]


def payload(octets: bytes | bytearray) -> bytes:
    """Return what whole P-DATA-TF with one PDV each carry."""
    found = b""
    while octets:
        end = int.from_bytes(octets[2:6], "big") + 6
        found += octets[12:end]
        octets = octets[end:]
    return found


def test_mutated_messages_are_stored_as_they_are_or_left_alone(tmp_path: Path) -> None:
    """What is taken of changed octets must be what the general decoder finds in them."""
    chance = random.Random(3)
    yard = Yard(tmp_path, preserving=True, files=False)
    taken = 0
    for _ in range(6000):
        octets = bytearray(message(fragment=chance.choice([400, 2000])))
        for _ in range(chance.choice([0, 1, 1, 3])):
            octets[chance.randrange(300)] = chance.choice([0, 1, 2, 3, 4, 255, chance.randrange(256)])
        octets = octets[: chance.choice([len(octets), chance.randrange(1, len(octets))])]
        yard.answers.clear()
        count = yard.take(bytes(octets))
        if not count:
            assert not yard.answers
            continue
        taken += 1
        assert count <= len(octets)
        length = int.from_bytes(octets[2:6], "big") + 6
        command = decode_command(octets[12:length])
        assert command.field == 1
        assert yard.files() == {f"CT.{command.affected_sop_instance_uid}": payload(octets[length:count])}
        assert bytes(yard.answers) == encode_data(octets[10], 3, encode_response_command(command, 0))
        for entry in os.scandir(tmp_path):
            os.unlink(entry.path)
    assert taken > 500
