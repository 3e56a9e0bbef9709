"""One object from request to file, without anybody around it."""

from __future__ import annotations

import datetime
import errno
import os
import zlib
from pathlib import Path

import pytest

from fastscp.dicom.options import OutputOptions
from fastscp.dicom.rewriter import Shapes
from fastscp.dimse.command import Command, decode_command
from fastscp.errors import InstanceError
from fastscp.store.policy import FileNames, StorePolicy
from fastscp.store.sink import OutputDirectory
from fastscp.store.steps import result
from fastscp.ul.pdu import AcceptedContext
from fastscp.worker.context import ReceptionContext
from fastscp.worker.publication import Published
from fastscp.worker.reception import Reception
from tests.corpus import wire
from tests.support import datasets as ds
from tests.support.fake_worker import data_set

NOW = datetime.datetime(2024, 2, 3, 4, 5, 6, 789000)


def settings(directory: Path, *, sorted: bool = False, digest: bool = False, output: OutputOptions | None = None,  # noqa: A002
             **store: object) -> ReceptionContext:
    return ReceptionContext(output or OutputOptions(), StorePolicy(str(directory), **store),  # type: ignore[arg-type]
                            OutputDirectory(str(directory)), Shapes(), sorted=sorted, digest=digest)


def request(instance: str = wire.INSTANCE) -> Command:
    return decode_command(memoryview(wire.store_command(1, wire.CT, instance)))


def reception(context: ReceptionContext, instance: str = wire.INSTANCE) -> Reception:
    return Reception(context, AcceptedContext(3, wire.CT, wire.IMPLICIT), request(instance), "MODALITY")


def never() -> bool:
    return False


def publish(made: Reception, directory: str | None, now: datetime.datetime) -> Published | None:
    return result(made.publishing(directory, now))


def received(context: ReceptionContext, instance: str = wire.INSTANCE, data: bytes | None = None) -> Reception:
    made = reception(context, instance)
    assert made.feed([data_set(instance) if data is None else data], never) == []
    result(made.finishing())
    return made


def test_nothing_has_a_name_before_it_is_published(tmp_path: Path) -> None:
    made = received(settings(tmp_path))
    assert list(tmp_path.iterdir()) == []
    published = publish(made, None, NOW)
    assert published is not None
    assert (published.directory, published.file, published.replaced) == (str(tmp_path), "CT.1.2.3.4.5", False)
    content = (tmp_path / "CT.1.2.3.4.5").read_bytes()
    assert content[128:132] == b"DICM"
    assert made.size == len(content)


def test_object_that_waits_for_its_directory_has_no_descriptor_any_more(tmp_path: Path) -> None:
    """Who asks how far it has come (``--metrics``) must not ask a number that is another's by now."""
    made = received(settings(tmp_path))
    assert made.descriptor() is not None
    assert made.octets_so_far() > 0
    publish(made, None, NOW)
    assert made.descriptor() is None
    assert made.octets_so_far() == made.size > 0


def test_same_instance_again_replaces(tmp_path: Path) -> None:
    context = settings(tmp_path)
    publish(received(context), None, NOW)
    published = publish(received(context), None, NOW)
    assert published is not None
    assert published.replaced


def test_discarded_object_leaves_nothing_and_cannot_be_published(tmp_path: Path) -> None:
    made = received(settings(tmp_path))
    made.discard()
    assert publish(made, None, NOW) is None
    assert list(tmp_path.iterdir()) == []


def test_first_failure_counts_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    made = reception(settings(tmp_path))
    assert made.feed([b"\x08\x00\x05\x00\xff\xff\xff\x7f"], never) == []
    result(made.finishing())
    first = made.failure
    assert first is not None
    assert made.feed([data_set()], never) == []
    result(made.finishing())
    assert made.failure is first
    assert publish(made, None, NOW) is None


@pytest.mark.parametrize(("data", "status"), [
    (data_set("1.2.9"), 0xA900),
    (data_set()[26:], 0xC000),
    (data_set(study=""), 0xC000),
])
def test_object_that_is_not_what_was_announced_is_refused(tmp_path: Path, data: bytes, status: int) -> None:
    made = received(settings(tmp_path, sorted=True), data=data)
    assert made.status == status
    assert list(tmp_path.iterdir()) == []


def test_bit_preserving_compares_nothing(tmp_path: Path) -> None:
    made = received(settings(tmp_path, output=OutputOptions(bit_preserving=True)), data=b"anything at all")
    assert publish(made, None, NOW) is not None
    assert (tmp_path / "CT.1.2.3.4.5").read_bytes().endswith(b"anything at all")


def test_missing_directory_is_a_storage_failure(tmp_path: Path) -> None:
    made = received(settings(tmp_path / "none"))
    assert made.status & 0xFF00 == 0xA700
    assert publish(made, None, NOW) is None


def test_ignored_object_has_no_file(tmp_path: Path) -> None:
    made = received(settings(tmp_path, ignore=True))
    assert publish(made, None, NOW) is None
    assert made.failure is None
    assert made.text(0x0020000D) == ""


def test_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    import hashlib

    made = received(settings(tmp_path, digest=True))
    publish(made, None, NOW)
    assert made.digest == hashlib.sha256((tmp_path / "CT.1.2.3.4.5").read_bytes()).hexdigest()


def test_two_uids_that_clean_up_to_one_name_are_kept_apart(tmp_path: Path) -> None:
    context = settings(tmp_path)
    first = publish(received(context, "1.2/3"), None, NOW)
    second = publish(received(context, "1.2*3"), None, NOW)
    again = publish(received(context, "1.2/3"), None, NOW)
    assert first is not None
    assert second is not None
    assert again is not None
    assert first.file == again.file != second.file
    assert again.replaced
    assert first.warning == again.warning == ""
    assert "belongs to another" in second.warning
    assert len(list(tmp_path.iterdir())) == 2


def test_time_names_take_the_first_that_is_free(tmp_path: Path) -> None:
    context = settings(tmp_path, file_names=FileNames.TIME)
    names = {published.file for _ in range(3) if (published := publish(received(context), None, NOW)) is not None}
    assert len(names) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_directory_outside_the_output_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    (inside / "S_1").mkdir(parents=True)
    outside.mkdir()
    context = settings(inside)
    publish(received(context), str(inside / "S_1"), NOW)
    publish(received(context), str(outside), NOW)
    assert (inside / "S_1" / "CT.1.2.3.4.5").is_file()
    assert (outside / "CT.1.2.3.4.5").is_file()


def test_failing_write_is_the_objects_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = reception(settings(tmp_path))

    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("writev", "write", "pwrite"):
        monkeypatch.setattr(os, name, full)
    assert made.feed([data_set() + bytes(1 << 20)], never) == []
    result(made.finishing())
    publish(made, None, NOW)
    monkeypatch.undo()
    assert made.status & 0xFF00 == 0xA700
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("octets", [b"1.2.3.4.5\t", b"1.2 .3.4.5\n\0", b" 1.2.3.4.5", b"1.2.3.4.5\0ab"], ids=repr)
def test_uid_of_the_data_set_is_compared_by_what_it_means(tmp_path: Path, octets: bytes) -> None:
    value = octets + b"\0" * (len(octets) & 1)
    data = data_set()[:data_set().index(b"\x08\0\x18\0")] + ds.implicit(0x00080018, value)
    assert received(settings(tmp_path), data=data).failure is None


@pytest.mark.parametrize(("octets", "status"), [(b"", 0xA900), (b"\t\0", 0xA900), (b"1.2", 0xA900), (None, 0xC000)])
def test_uid_that_is_another_one_or_is_not_there(tmp_path: Path, octets: bytes | None, status: int) -> None:
    data = data_set()[:data_set().index(b"\x08\0\x18\0")]
    if octets is not None:
        data += ds.implicit(0x00080018, octets + b"\0" * (len(octets) & 1))
    assert received(settings(tmp_path), data=data).status == status


def test_study_uid_of_nothing_but_blanks_has_no_place(tmp_path: Path) -> None:
    data = data_set(study="") + ds.implicit(0x0020000D, b"\t\n\0\0")
    assert received(settings(tmp_path, sorted=True), data=data).status == 0xC000


def test_directory_that_somebody_took_away_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for anonymous in (True, False):
        monkeypatch.setattr(OutputDirectory, "_anonymous_works", lambda _self, anonymous=anonymous: anonymous)
        directory = tmp_path / f"S_{anonymous}"
        published = publish(received(settings(tmp_path)), str(directory), NOW)
        assert published is not None
        assert os.listdir(directory) == ["CT.1.2.3.4.5"]
        (directory / "CT.1.2.3.4.5").write_text("earlier")
        assert publish(received(settings(tmp_path)), str(directory), NOW).replaced  # type: ignore[union-attr]


def test_only_the_directory_of_the_study_is_made_again(tmp_path: Path) -> None:
    inside, outside = tmp_path / "out", tmp_path / "elsewhere"
    inside.mkdir()
    for directory in (inside / "a" / "b", outside):
        made = received(settings(inside))
        assert publish(made, str(directory), NOW) is None
        assert made.status == 0xA700
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(inside) == []


def test_file_in_the_place_of_the_directory_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "S").write_text("")
    made = received(settings(tmp_path))
    assert publish(made, str(tmp_path / "S"), NOW) is None
    assert (made.status, str(made.failure)[-15:]) == (0xA700, "Not a directory")


@pytest.mark.parametrize("instance", [wire.INSTANCE, "1.2_3"])
def test_object_is_compared_with_the_file_that_it_will_replace(tmp_path: Path, instance: str) -> None:
    context = settings(tmp_path)
    for data, unchanged in ((None, False), (None, True), (data_set(instance, study="1.2.100"), False)):
        made = received(context, instance, data)
        assert list(made.comparing(None)) == []
        assert made.unchanged is unchanged
        assert publish(made, None, NOW) is not None


@pytest.mark.parametrize("names", [FileNames.UNIQUE, FileNames.TIME])
def test_names_of_their_own_have_nothing_to_be_compared_with(tmp_path: Path, names: FileNames) -> None:
    made = received(settings(tmp_path, file_names=names))
    assert list(made.comparing(None)) == []
    assert not made.unchanged


@pytest.mark.parametrize(("most", "status"), [(0, 0), (400_000, 0), (200_000, 0xA700)])
def test_deflated_object_is_inflated_in_steps_and_within_limits(tmp_path: Path, most: int, status: int) -> None:
    data = ds.explicit(0x00080016, "UI", ds.uid(wire.CT)) + ds.explicit(0x00080018, "UI", ds.uid(wire.INSTANCE))
    data += b"".join(ds.explicit(0x00280100 + 2 * n, "UT", bytes(30_000)) for n in range(10))
    deflater = zlib.compressobj(9, wbits=-15)
    octets = deflater.compress(data) + deflater.flush()
    output = OutputOptions(max_inflated_octets=most, transfer_syntax=ds.EXPLICIT)
    context = settings(tmp_path, output=output)
    made = Reception(context, AcceptedContext(3, wire.CT, ds.DEFLATED), request(), "M")
    rest: list[memoryview | bytes] = [octets + b"\0" * (len(octets) & 1)]
    feeds = 0
    while rest:
        rest = made.feed(rest, lambda: True)
        feeds += 1
    assert status or feeds > 1
    result(made.finishing())
    assert (publish(made, None, NOW) is None) is bool(status)
    assert made.status == status
    if not status:
        assert (tmp_path / "CT.1.2.3.4.5").read_bytes().endswith(data)


def test_what_the_coordinator_refuses_meanwhile_is_not_finished(tmp_path: Path) -> None:
    made = reception(settings(tmp_path))
    pixels = ds.implicit(0x00280100, b"ab") + ds.implicit(0x00080100, b"out of order")
    made.feed([data_set() + pixels], never)
    steps = made.finishing()
    next(steps)
    made.fail(InstanceError("no", status=0xA801))
    result(steps)
    assert publish(made, None, NOW) is None
    assert made.status == 0xA801


@pytest.mark.parametrize("preserving", [False, True])
def test_what_passes_may_be_left_out_and_counts(tmp_path: Path, preserving: bool) -> None:
    pixels = ds.implicit(0x7FE00010, bytes(200_000))
    whole = data_set() + pixels
    for limit in (0, len(whole), len(whole) - 1):
        made = reception(settings(tmp_path, output=OutputOptions(bit_preserving=preserving), max_object_octets=limit))
        assert made.passes >= 200_000 if preserving else made.passes == 0
        made.feed([whole[:-199_000]], never)
        left_out = min(made.passes, 198_000)
        assert left_out == 198_000
        made.pass_over(left_out)
        made.feed([whole[-1000:]], never)
        result(made.finishing())
        assert (made.failure is None) == (limit != len(whole) - 1)
        if made.failure is None:
            publish(made, None, NOW)
            assert (tmp_path / "CT.1.2.3.4.5").read_bytes()[-len(whole):] == whole
