from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from fastscp.errors import StorageError
from fastscp.store import sink as sink_module
from fastscp.store.existing import media_storage_instance_uid
from fastscp.store.leftovers import tidy
from fastscp.store.sink import InstanceSink, OutputDirectory
from fastscp.store.steps import result


@pytest.fixture(params=["anonymous", "named"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutputDirectory:
    """Serve both strategies: anonymous temporaries, and hidden names where there are none."""
    if request.param == "named":
        monkeypatch.setattr(OutputDirectory, "_anonymous_works", lambda _self: False)
    return OutputDirectory(str(tmp_path))


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


def test_published_file_has_every_octet_and_the_mode_of_the_umask(directory: OutputDirectory, tmp_path: Path) -> None:
    sink = directory.create(b"head")
    sink.write([b"one", memoryview(b"two")])
    sink.write([])
    sink.write([b"three"])
    assert sink.publish("name", replace=True) is False
    assert (tmp_path / "name").read_bytes() == b"headonetwothree"
    assert sink.size == 15
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o666 & ~umask
    assert names(tmp_path) == ["name"]


def test_head_alone_is_published(directory: OutputDirectory, tmp_path: Path) -> None:
    directory.create(b"head").publish("name", replace=True)
    assert (tmp_path / "name").read_bytes() == b"head"


def test_patch_overwrites_in_place(directory: OutputDirectory, tmp_path: Path) -> None:
    sink = directory.create(b"0123")
    sink.write([b"456789"])
    sink.patch(5, b"ab")
    sink.publish("name", replace=True)
    assert (tmp_path / "name").read_bytes() == b"01234ab789"


def test_nothing_is_visible_before_publication_and_nothing_after_discard(directory: OutputDirectory, tmp_path: Path) -> None:
    sink = directory.create()
    sink.write([b"x" * 100_000])
    assert [name for name in names(tmp_path) if not name.startswith(".")] == []
    sink.discard()
    assert names(tmp_path) == []


def test_replacing_keeps_the_old_file_whole_for_those_who_have_it_open(directory: OutputDirectory, tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"old")
    with (tmp_path / "name").open("rb") as reader:
        sink = directory.create(b"new")
        assert sink.publish("name", replace=True) is True
        assert reader.read() == b"old"
    assert (tmp_path / "name").read_bytes() == b"new"
    assert names(tmp_path) == ["name"]


def test_existing_name_is_kept_without_replace_and_the_object_may_try_another(directory: OutputDirectory, tmp_path: Path) -> None:
    (tmp_path / "name").write_bytes(b"old")
    sink = directory.create(b"new")
    with pytest.raises(FileExistsError):
        sink.publish("name", replace=False)
    assert sink.publish("other", replace=False) is False
    assert (tmp_path / "name").read_bytes() == b"old"
    assert (tmp_path / "other").read_bytes() == b"new"


def test_more_buffers_than_one_writev_takes(directory: OutputDirectory, tmp_path: Path) -> None:
    sink = directory.create()
    sink.write([b"%04d" % number for number in range(5000)])
    sink.publish("name", replace=True)
    assert (tmp_path / "name").read_bytes() == b"".join(b"%04d" % number for number in range(5000))


def test_short_writes_are_finished(directory: OutputDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.writev
    monkeypatch.setattr(sink_module.os, "writev", lambda fd, buffers: real(fd, [b"".join(buffers)[:3]]))
    sink = directory.create(b"head")
    sink.write([b"abc", b"def"])
    sink.publish("name", replace=True)
    assert (tmp_path / "name").read_bytes() == b"headabcdef"


def test_full_disk_at_write_is_out_of_resources(directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(_fd: int, _data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sink_module.os, "write", full)
    sink = directory.create()
    with pytest.raises(StorageError) as caught:
        sink.write([b"x"])
    assert caught.value.status == 0xA700
    assert caught.value.errno == errno.ENOSPC
    sink.discard()
    assert names(tmp_path) == []


def test_error_of_close_is_found_before_the_name_is_given(directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sink = directory.create(b"new")
    sink.write([b"x"])
    (tmp_path / "name").write_bytes(b"acknowledged")
    real = os.close

    def failing(fd: int) -> None:
        real(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(sink_module.os, "close", failing)
    with pytest.raises(StorageError):
        sink.publish("name", replace=True)
    monkeypatch.undo()
    sink.discard()
    assert (tmp_path / "name").read_bytes() == b"acknowledged"


def test_missing_target_directory_is_a_storage_error(directory: OutputDirectory) -> None:
    sink = directory.create(b"x")
    with pytest.raises(StorageError):
        sink.publish("missing/name", replace=True)
    sink.discard()


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM])
def test_other_file_system_or_no_hard_links_is_copied_whole(directory: OutputDirectory, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    sink = directory.create(b"head")
    sink.write([b"x" * 3_000_000])
    if code == errno.EXDEV:
        monkeypatch.setattr(InstanceSink, "_give_name", refuse)
    else:
        monkeypatch.setattr(sink_module.os, "link", refuse)
    (tmp_path / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        sink.publish("there", replace=False)
    assert sink.publish("name", replace=True) is False
    assert (tmp_path / "name").read_bytes() == b"head" + b"x" * 3_000_000
    assert names(tmp_path) == ["name", "there"]
    sink = directory.create(b"new")
    assert sink.publish("there", replace=True) is True
    assert (tmp_path / "there").read_bytes() == b"new"
    assert names(tmp_path) == ["name", "there"]


def test_named_file_of_a_file_system_without_hard_links_is_renamed_and_not_copied(
        directory: OutputDirectory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(OutputDirectory, "_anonymous_works", lambda _self: False)
    monkeypatch.setattr(InstanceSink, "_copy_beside", refuse)
    monkeypatch.setattr(sink_module.os, "link", refuse)
    directory.create(b"one").publish("name", replace=False)
    sink = directory.create(b"two")
    with pytest.raises(FileExistsError):
        sink.publish("name", replace=False)
    assert (tmp_path / "name").read_bytes() == b"one"
    assert sink.publish("name", replace=True) is True
    assert (tmp_path / "name").read_bytes() == b"two"
    assert names(tmp_path) == ["name"]


def test_sha256_is_of_the_whole_file(directory: OutputDirectory) -> None:
    import hashlib

    sink = directory.create(b"head")
    sink.write([b"x" * 2_500_000])
    sink.patch(0, b"H")
    assert result(sink.digesting()) == hashlib.sha256(b"Head" + b"x" * 2_500_000).hexdigest()
    sink.discard()


def test_no_descriptor_is_leaked(directory: OutputDirectory) -> None:
    directory.create().discard()  # opens the directory
    before = len(os.listdir("/proc/self/fd"))
    for number in range(50):
        sink = directory.create(b"x")
        sink.spool().write(b"y")
        if number % 2:
            sink.publish(f"name{number}", replace=True)
        else:
            sink.discard()
    assert len(os.listdir("/proc/self/fd")) == before


def test_output_directory_that_is_not_there(tmp_path: Path) -> None:
    directory = OutputDirectory(str(tmp_path / "missing"))
    with pytest.raises(StorageError):
        directory.create()
    (tmp_path / "missing").mkdir()
    directory.create(b"x").publish("name", replace=True)
    assert names(tmp_path / "missing") == ["name"]


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_output_directory_made_again_is_used(directory: OutputDirectory, tmp_path: Path, how: str) -> None:
    path = tmp_path / "output"
    path.mkdir()
    directory.path = str(path)
    directory.create(b"x").publish("name", replace=True)
    if how == "removed":
        shutil.rmtree(path)
        with pytest.raises(StorageError):
            directory.create()
    else:
        path.rename(tmp_path / "moved")
    path.mkdir()
    directory.create(b"y").publish("other", replace=True)
    assert names(path) == ["other"]


def test_replacing_in_a_study_directory_uses_a_name_in_the_output_directory(
        directory: OutputDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process killed between the two steps leaves nothing where nobody would look for it."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "name").write_bytes(b"old")

    def killed(*_arguments: object, **_keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sink_module.os, "rename", killed)
    sink = directory.create(b"new")
    place = directory.open_place("study")
    with pytest.raises(KeyboardInterrupt):
        result(sink.publishing("name", replace=True, place=place))
    assert names(tmp_path / "study") == ["name"]
    assert tidy(str(tmp_path)) == [], "its owner lives"
    os.close(sink.fd)  # as the kernel does
    assert len(tidy(str(tmp_path))) == 1
    assert names(tmp_path) == ["study"]
    place.close()


def test_spool_that_cannot_be_flushed_does_not_hinder_a_discard(directory: OutputDirectory, tmp_path: Path) -> None:
    sink = directory.create(b"x")
    spool = sink.spool()
    spool.write(b"x" * 100)
    os.close(spool.fileno())  # every write from now on fails
    sink.discard()
    assert names(tmp_path) == []


def test_existing_instance_uid_is_read_from_file_meta(tmp_path: Path, dicom_files: list[Path]) -> None:
    import pydicom

    checked = 0
    for path in dicom_files:
        meta = pydicom.filereader.read_file_meta_info(path)
        if "MediaStorageSOPInstanceUID" in meta:
            assert media_storage_instance_uid(str(path)) == str(meta.MediaStorageSOPInstanceUID)
            checked += 1
    assert checked > 50
    assert media_storage_instance_uid(str(tmp_path / "none")) is None
    (tmp_path / "bare").write_bytes(b"\x08\x00\x05\x00")
    assert media_storage_instance_uid(str(tmp_path / "bare")) == ""
