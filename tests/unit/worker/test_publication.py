"""Whose name it is, and what is done with an instance whose name is taken (``--on-duplicate``)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastscp.dicom.options import OutputOptions
from fastscp.errors import StorageError
from fastscp.store.directory import Directory
from fastscp.store.own_paths import OwnPaths
from fastscp.store.policy import FileNames, OnDuplicate
from fastscp.store.sink import InstanceSink
from fastscp.store.steps import result
from fastscp.worker import publication as module
from fastscp.worker.context import ReceptionContext
from fastscp.worker.publication import Published
from fastscp.worker.reception import Reception
from tests.corpus import wire
from tests.support.fake_worker import data_set
from tests.unit.worker.test_reception import NOW, never, publish, received, reception, settings

NAME = "CT.1.2.3.4.5"
KEEP, COMPARE, RENAME, REFUSE, REPLACE = (OnDuplicate.KEEP, OnDuplicate.COMPARE, OnDuplicate.RENAME, OnDuplicate.REFUSE,
                                          OnDuplicate.REPLACE)
OTHER = data_set(study="1.2.100")


@pytest.fixture(params=["anonymous", "named"], autouse=True)
def _strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "named":
        monkeypatch.setattr(Directory, "_anonymous_works", lambda _self: False)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def store(context: ReceptionContext, data: bytes | None = None, directory: Path | None = None,
          instance: str = wire.INSTANCE) -> tuple[Reception, Published | None]:
    """Receive one object and publish it."""
    made = received(context, instance, data)
    return made, publish(made, None if directory is None else str(directory), NOW)


@pytest.fixture(params=["unsorted", "sorted"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, bool], Path | None, Path]:
    """What a context is made with, where objects are published, and where that is."""
    if request.param == "unsorted":
        return {}, None, tmp_path
    (tmp_path / "S_1").mkdir()
    return {"sorted": True}, tmp_path / "S_1", tmp_path / "S_1"


@pytest.mark.parametrize("rule", OnDuplicate)
def test_name_that_is_free_is_taken_whatever_the_rule(tmp_path: Path, rule: OnDuplicate,
                                                      place: tuple[dict[str, bool], Path | None, Path]) -> None:
    made, published = store(settings(tmp_path, on_duplicate=rule, **place[0]), directory=place[1])
    assert published is not None
    assert (published.file, published.replaced, published.duplicate, published.written) == (NAME, False, None, True)
    assert made.size == (place[2] / NAME).stat().st_size


@pytest.mark.parametrize(("rule", "expected"), [
    (REPLACE, (OTHER, {NAME: OTHER}, REPLACE)), (REPLACE, (None, {NAME: None}, REPLACE)),
    (KEEP, (OTHER, {NAME: None}, KEEP)), (KEEP, (None, {NAME: None}, KEEP)),
    (COMPARE, (OTHER, {NAME: None, f"{NAME}_1": OTHER}, RENAME)), (COMPARE, (None, {NAME: None}, COMPARE)),
    (RENAME, (OTHER, {NAME: None, f"{NAME}_1": OTHER}, RENAME)), (RENAME, (None, {NAME: None, f"{NAME}_1": None}, RENAME)),
])
def test_name_that_is_taken(tmp_path: Path, place: tuple[dict[str, bool], Path | None, Path], rule: OnDuplicate,
                            expected: tuple[bytes | None, dict[str, bytes | None], OnDuplicate]) -> None:
    data, files, duplicate = expected
    context = settings(tmp_path, on_duplicate=rule, digest=True, **place[0])
    first, _ = store(context, directory=place[1])
    made, published = store(context, data, place[1])
    assert made.failure is None
    assert published is not None
    assert published.duplicate is duplicate
    assert published.replaced is (duplicate is REPLACE)
    assert published.written is (duplicate in {REPLACE, RENAME})
    assert {name: (place[2] / name).read_bytes().endswith(octets or data_set()) for name, octets in files.items()} == dict.fromkeys(files, True)
    assert [name for name in names(place[2]) if name != "S_1"] == sorted(files)
    assert made.size == (place[2] / published.file).stat().st_size
    if duplicate in {KEEP, COMPARE}:
        assert made.digest == first.digest


def test_duplicate_is_refused(tmp_path: Path, place: tuple[dict[str, bool], Path | None, Path]) -> None:
    context = settings(tmp_path, on_duplicate=REFUSE, **place[0])
    store(context, directory=place[1])
    before = (place[2] / NAME).stat()
    made, published = store(context, OTHER, place[1])
    assert published is None
    assert (made.status, str(made.failure)) == (0x0111, f"{NAME} is there already")
    assert (place[2] / NAME).stat().st_ino == before.st_ino
    assert [name for name in names(place[2]) if name != "S_1"] == [NAME]


@pytest.mark.parametrize("rule", [KEEP, REFUSE])
def test_what_can_be_decided_before_the_data_set_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                rule: OnDuplicate) -> None:
    context = settings(tmp_path, on_duplicate=rule)
    store(context)
    monkeypatch.setattr(context.directory, "create", lambda _head: pytest.fail("a file was made"))
    made = reception(context)
    assert made.feed([OTHER], never) == []
    result(made.finishing())
    assert (publish(made, None, NOW) is None) is (rule is REFUSE)
    assert made.status == (0x0111 if rule is REFUSE else 0)


def test_kept_file_says_what_is_told_of_the_object(tmp_path: Path) -> None:
    first = settings(tmp_path, output=OutputOptions(transfer_syntax="1.2.840.10008.1.2.1"))
    store(first)
    made, _ = store(settings(tmp_path, on_duplicate=KEEP), OTHER)
    assert made.transfer_syntax_out == "1.2.840.10008.1.2.1"
    assert made.uid(0x0020000D) == "1.2.99"
    bare = settings(tmp_path, on_duplicate=KEEP, output=OutputOptions(file_format=False))
    (tmp_path / NAME).write_bytes(data_set(study="1.2.101"))
    made, published = store(bare, OTHER)
    assert published is not None
    assert published.duplicate is KEEP
    assert (made.transfer_syntax_out, made.uid(0x0020000D)) == (wire.IMPLICIT, "1.2.101")


@pytest.mark.parametrize("octets", [b"", b"\x08\x00", b"no DICOM at all", bytes(128) + b"DICM" + b"\x02\x00\x03\x00UI\xff\xff"])
@pytest.mark.parametrize("rule", [KEEP, COMPARE, REFUSE, RENAME])
def test_file_that_is_not_of_this_instance_is_no_duplicate_and_stays(tmp_path: Path, rule: OnDuplicate, octets: bytes) -> None:
    """Whatever it is, what is acknowledged is not there yet."""
    (tmp_path / NAME).write_bytes(octets)
    context = settings(tmp_path, on_duplicate=rule)
    made, published = store(context)
    assert made.failure is None
    assert published is not None
    assert published.duplicate is None
    assert "belongs to another" in published.warning
    assert (tmp_path / published.file).read_bytes().endswith(data_set())
    assert (tmp_path / NAME).read_bytes() == octets
    _, again = store(context)
    if rule is not REFUSE:
        assert again is not None
        assert again.duplicate is rule


@pytest.mark.parametrize("rule", [KEEP, COMPARE, RENAME, REFUSE])
def test_two_uids_that_clean_up_to_one_name_are_no_duplicates(tmp_path: Path, rule: OnDuplicate) -> None:
    context = settings(tmp_path, on_duplicate=rule)
    found = [store(context, instance=uid)[1] for uid in ("1.2/3", "1.2*3")]
    assert [published and published.duplicate for published in found] == [None, None]
    again = [store(context, instance=uid)[1] for uid in ("1.2/3", "1.2*3")]
    assert [published and published.duplicate for published in again] == ([None] * 2 if rule is REFUSE else [rule] * 2)


def test_number_stands_before_the_extension_and_is_no_other_instances(tmp_path: Path) -> None:
    context = settings(tmp_path, on_duplicate=RENAME, extension=".dcm")
    store(context, instance=f"{wire.INSTANCE}_1")
    for _ in range(3):
        store(context)
    assert names(tmp_path) == [f"{NAME}.dcm", f"{NAME}_1.dcm", f"{NAME}_2.dcm", f"{NAME}_3.dcm"]
    assert wire.INSTANCE.encode() + b"_1" in (tmp_path / f"{NAME}_1.dcm").read_bytes()
    _, published = store(context, instance=f"{wire.INSTANCE}_2")
    assert published is not None
    assert published.file.startswith(f"{NAME}_2_")
    assert published.file.endswith(".dcm")


def test_free_name_is_found_without_a_look_at_every_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = settings(tmp_path, on_duplicate=RENAME)
    store(context)
    for number in range(1, 301):
        (tmp_path / f"{NAME}_{number}").touch()
    looks: list[str] = []
    exists = module.noreplace.exists
    monkeypatch.setattr(module.noreplace, "exists", lambda name, fd: looks.append(name) or exists(name, fd))
    _, published = store(context)
    assert published is not None
    assert published.file == f"{NAME}_301"
    assert len(looks) < 30


def test_compared_with_every_file_of_the_instance(tmp_path: Path) -> None:
    """A sender that sends again what was renamed does not make another file."""
    context = settings(tmp_path, on_duplicate=COMPARE)
    versions = [data_set(study=f"1.2.{number}") for number in range(4)]
    for data in (*versions, *versions):
        store(context, data)
    assert names(tmp_path) == [NAME, *(f"{NAME}_{number}" for number in (1, 2, 3))]


@pytest.mark.parametrize("files", [FileNames.UNIQUE, FileNames.TIME])
@pytest.mark.parametrize("rule", OnDuplicate)
def test_names_of_their_own_are_never_taken(tmp_path: Path, files: FileNames, rule: OnDuplicate) -> None:
    context = settings(tmp_path, on_duplicate=rule, file_names=files)
    found = [store(context)[1] for _ in range(3)]
    assert [published and published.duplicate for published in found] == [None] * 3
    assert len(names(tmp_path)) == 3


# -- races ------------------------------------------------------------------------------------------


def race(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let ``act`` happen once, right before the first object is published."""
    publishing = InstanceSink.publishing
    done: list[bool] = []

    def late(self: InstanceSink, target: str, **options: object) -> object:
        if not done:
            done.append(True)
            act()
        return publishing(self, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(InstanceSink, "publishing", late)


@pytest.mark.parametrize("rule", OnDuplicate)
@pytest.mark.parametrize("data", [None, OTHER])
def test_name_that_is_taken_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: OnDuplicate,
                                               data: bytes | None) -> None:
    context = settings(tmp_path, on_duplicate=rule)
    made = received(context)
    race(monkeypatch, lambda: store(settings(tmp_path), data))
    published = publish(made, None, NOW)
    assert made.status == (0x0111 if rule is REFUSE else 0)
    first = (tmp_path / NAME).read_bytes()
    assert first.endswith(data_set() if rule is REPLACE else data or data_set())
    if rule is RENAME or (rule is COMPARE and data):
        assert (tmp_path / f"{NAME}_1").read_bytes().endswith(data_set())
    else:
        assert names(tmp_path) == [NAME]
    assert published is None or published.duplicate is (RENAME if rule is COMPARE and data else rule)


@pytest.mark.parametrize("rule", [KEEP, COMPARE, RENAME])
def test_file_that_goes_before_it_is_looked_at_is_no_duplicate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                               rule: OnDuplicate) -> None:
    context = settings(tmp_path, on_duplicate=rule, sorted=True)
    store(context, OTHER)
    made = received(context)
    own_name = module.Publication._own_name

    def gone(self: module.Publication, place: object) -> tuple[str, str]:
        (tmp_path / NAME).unlink(missing_ok=True)
        return own_name(self, place)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Publication, "_own_name", gone)
    published = publish(made, None, NOW)
    assert published is not None
    assert (published.file, published.duplicate) == (NAME, None)
    assert (tmp_path / NAME).read_bytes().endswith(data_set())


def test_object_that_was_not_written_is_refused_when_the_kept_file_is_gone(tmp_path: Path) -> None:
    """The sender sends it again then; it must not think that it is here."""
    context = settings(tmp_path, on_duplicate=KEEP)
    store(context)
    made = received(context)
    (tmp_path / NAME).unlink()
    assert publish(made, None, NOW) is None
    assert (made.status, str(made.failure)) == (0xA700, f"{NAME}, which was to be kept, is gone")


@pytest.mark.parametrize("what", ["directory", "link", "fifo"])
@pytest.mark.parametrize("rule", [KEEP, COMPARE, RENAME])
def test_what_is_no_file_is_never_acknowledged(tmp_path: Path, rule: OnDuplicate, what: str) -> None:
    target = tmp_path / NAME
    if what == "directory":
        target.mkdir()
    elif what == "fifo":
        os.mkfifo(target)
    else:
        (tmp_path / "elsewhere").write_bytes(b"")
        target.symlink_to("elsewhere")
    made, published = store(settings(tmp_path, on_duplicate=rule))
    assert made.failure is None
    assert published is not None
    assert published.file != NAME
    assert (tmp_path / published.file).read_bytes().endswith(data_set())


@pytest.mark.parametrize("what", ["directory", "link"])
@pytest.mark.parametrize("rule", [KEEP, COMPARE, RENAME])
def test_what_is_no_file_is_never_acknowledged_where_files_say_nothing_of_themselves(tmp_path: Path, rule: OnDuplicate,
                                                                                    what: str) -> None:
    target = tmp_path / NAME
    if what == "directory":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    made, published = store(settings(tmp_path, on_duplicate=rule, output=OutputOptions(file_format=False)))
    if rule is KEEP:
        assert (published, made.status) == (None, 0xA700)
        assert "is no file" in str(made.failure)
    else:
        assert published is not None
        assert (published.file, published.duplicate) == (f"{NAME}_1", RENAME)


def test_name_that_comes_and_goes_is_not_tried_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(*_arguments: object, **_options: object) -> object:
        raise FileExistsError(17, "File exists")

    made = received(settings(tmp_path, on_duplicate=RENAME))
    monkeypatch.setattr(InstanceSink, "publishing", taken)
    assert publish(made, None, NOW) is None
    assert (made.status, str(made.failure)) == (0xA700, f"{NAME} in {tmp_path} comes and goes")


# -- whose name -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OnDuplicate)
def test_name_of_a_file_of_the_service_is_given_to_nobody(tmp_path: Path, rule: OnDuplicate) -> None:
    (tmp_path / "CT.log").write_text("events\n")
    plain = settings(tmp_path, on_duplicate=rule)
    context = ReceptionContext(plain.output, plain.store, plain.directory, plain.shapes, own=OwnPaths(files=[f"{tmp_path}/CT.log"]))
    for uid in ("log", "log.1"):
        _, published = store(context, instance=uid)
        assert published is not None
        assert published.warning == f"file name CT.{uid} is the service's own"
        assert published.file.startswith(f"CT.{uid}_")
        assert (tmp_path / published.file).read_bytes().endswith(data_set(uid))
    assert (tmp_path / "CT.log").read_text() == "events\n"


@pytest.mark.parametrize("rule", OnDuplicate)
def test_symbolic_link_in_the_place_of_the_directory_is_not_followed(tmp_path: Path, rule: OnDuplicate) -> None:
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    output.mkdir()
    elsewhere.mkdir()
    (output / "S_1").symlink_to("../elsewhere")
    made = received(settings(output, on_duplicate=rule, sorted=True))
    assert list(made.comparing(str(output / "S_1"))) == []
    assert made.failure is not None
    made = received(settings(output, on_duplicate=rule, sorted=True))
    assert publish(made, str(output / "S_1"), NOW) is None
    assert (made.status, str(made.failure)) == (0xA700, f"{output}/S_1 is a symbolic link, which is not followed")
    assert isinstance(made.failure, StorageError)
    assert names(elsewhere) == []


def test_output_directory_may_be_a_symbolic_link_and_so_may_what_leads_to_a_study(tmp_path: Path) -> None:
    (tmp_path / "disk" / "S_1").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to("../disk")
    (tmp_path / "link").symlink_to("out")
    _, published = store(settings(tmp_path / "link", sorted=True), directory=tmp_path / "link" / "a" / "S_1")
    assert published is not None
    assert names(tmp_path / "disk" / "S_1") == [NAME]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "S_1").mkdir()
    for rule in OnDuplicate:
        context = settings(tmp_path, on_duplicate=rule, sorted=True)
        store(context, directory=tmp_path / "S_1")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            store(context, directory=tmp_path / "S_1")
        assert len(os.listdir("/proc/self/fd")) == before
