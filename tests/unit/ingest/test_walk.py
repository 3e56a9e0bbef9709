from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from fastscp.ingest import walk as module
from fastscp.ingest.sources import ARCHIVE, Kind, Source
from fastscp.ingest.walk import Walk
from tests.support.ingest import made


def walked(*paths: Path | str, **how: object) -> list[Source]:
    return [source for source in Walk([str(path) for path in paths], **how).sources() if source is not None]  # type: ignore[arg-type]


def names(sources: list[Source]) -> list[str]:
    return [os.path.basename(source.path) if source.number < 0 else source.member for source in sources]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in ("b/2", "b/1", "a/x/3", "4", "a/0"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).write_bytes(b"")
    return tmp_path / "top"


def test_files_before_directories_each_by_name(top: Path) -> None:
    assert names(walked(top)) == ["4", "0", "3", "1", "2"]


def test_the_order_does_not_need_all_of_a_directory(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    assert sorted(names(walked(top))) == ["0", "1", "2", "3", "4"]


def test_links_are_told_and_not_followed(top: Path) -> None:
    (top / "l").symlink_to(top / "4")
    (top / "m").symlink_to(top)
    assert [(source.kind, source.note) for source in walked(top) if source.kind is not Kind.FILE] == [(Kind.SKIPPED, "a symbolic link")] * 2


def test_loops_end(top: Path) -> None:
    (top / "a" / "up").symlink_to(top)
    (top / "b" / "again").symlink_to(top / "a")
    assert names(walked(top, follow_links=True)) == ["4", "0", "3", "1", "2"]


def test_a_named_link_is_followed(top: Path) -> None:
    (top.parent / "l").symlink_to(top / "4")
    assert walked(top.parent / "l")[0].linked


def test_pipes_are_passed_over(top: Path) -> None:
    os.mkfifo(top / "pipe")
    assert [source.note for source in walked(top) if source.kind is Kind.SKIPPED] == ["not a regular file"]


def test_own_temporaries_and_directories_are_left_out(top: Path) -> None:
    (top / ".fastscp-12-3.tmp").write_bytes(b"")
    status = (top / "a").stat()
    avoided = frozenset({(status.st_dev, status.st_ino)})
    assert names(walked(top, avoided=avoided)) == ["4", "1", "2"]
    assert names(walked(top, avoided=avoided, follow_links=True)) == ["4", "1", "2"]
    assert names(walked(top / "a", avoided=avoided)) == ["0", "3"]


def test_patterns(top: Path) -> None:
    assert names(walked(f"{top}/**/[13]")) == ["3", "1"]
    assert [source.kind for source in walked(f"{top}/*.none")] == [Kind.PROBLEM]
    (top / "[4]").write_bytes(b"")
    assert names(walked(f"{top}/[4]")) == ["[4]"]


def test_a_directory_that_cannot_be_read_is_a_problem(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [source.note for source in walked(top) if source.kind is Kind.PROBLEM] == ["directory cannot be read: Permission denied"]


@pytest.mark.parametrize(("separator", "text"), [(b"\n", b"%s\n\n%s"), (b"\0", b"%s\0%s\0")])
def test_lists(top: Path, separator: bytes, text: bytes) -> None:
    reader, writer = os.pipe()
    os.write(writer, text % (bytes(top / "4"), bytes(top / "b")))
    os.close(writer)
    assert names(walked("-", stdin=reader, separator=separator)) == ["4", "1", "2"]
    os.close(reader)


def test_a_list_that_is_still_to_come_keeps_nobody_waiting(top: Path) -> None:
    reader, writer = os.pipe()
    sources = Walk(["-"], stdin=reader).sources()
    assert next(sources) is None
    os.write(writer, bytes(top / "4") + b"\n" + bytes(top / "b"))
    assert next(sources) == Source(str(top / "4"), linked=True)
    assert next(sources) is None
    os.close(writer)
    assert [source and os.path.basename(source.path) for source in sources] == ["1", "2"]
    os.close(reader)


# -- archives -----------------------------------------------------------------------------------------


def tarred(path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/1", tarfile.REGTYPE), ("l", tarfile.SYMTYPE), ("2", tarfile.REGTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, 700 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(bytes(700)))
    return path


def test_members_of_a_tar_are_regions_of_it(tmp_path: Path) -> None:
    path = tarred(tmp_path / "any name")
    assert walked(path) == [
        Source(str(path), Kind.REGION, 1, "d/1", 1024, 700), Source(str(path), Kind.SKIPPED, 2, "l", note="a link in an archive"),
        Source(str(path), Kind.REGION, 3, "2", 3072, 700), Source(str(path), Kind.END, ARCHIVE)]


def test_a_compressed_tar_is_one_source(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar.gz", "w:gz")
    assert [(source.kind, source.number) for source in walked(tmp_path)] == [(Kind.STREAM, -1), (Kind.END, ARCHIVE)]
    assert walked(path) == walked(tmp_path)


def test_members_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("d/", b"")
        archive.writestr("d/1", b"abc")
    assert [(source.kind, source.number, source.member, source.size) for source in walked(tmp_path)] == [
        (Kind.ZIPPED, 1, "d/1", 3), (Kind.END, ARCHIVE, "", 0)]


@pytest.mark.parametrize("cut", [100, 700, 2000])
def test_a_damaged_tar(tmp_path: Path, cut: int) -> None:
    path = tarred(tmp_path / "x.tar")
    path.write_bytes(path.read_bytes()[:cut])
    found = walked(path)
    if cut > 262:
        assert found[-1].kind is Kind.END
        assert found[-2].kind is Kind.PROBLEM
        assert found[-2].note.startswith("archive cannot be read")


def test_an_archive_that_is_done_is_not_opened(tmp_path: Path) -> None:
    tarred(tmp_path / "x.tar")
    asked: list[tuple[str, int]] = []
    known: Callable[[str, int], bool] = lambda path, number: bool(asked.append((path, number))) or True  # noqa: E731
    assert walked(tmp_path, known=known) == []
    assert asked == [(str(tmp_path / "x.tar"), ARCHIVE)]


def test_what_is_called_an_archive_may_be_dicom(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(made(1))
    assert walked(tmp_path) == [Source(str(tmp_path / "x.zip"))]
