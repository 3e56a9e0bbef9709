"""The tree of an ingest is, octet for octet, that of sending the same files over one association."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from tests.support.ingest import ingest, instance, made, over_the_network, tree, without_times
from tests.support.rawscu import inflate

PYDICOM = Path(pydicom.__file__).parent / "data"


def output(tmp_path: Path, name: str) -> Path:
    directory = tmp_path / name
    directory.mkdir()
    return directory


def contents(directory: Path, options: list[str]) -> dict[str, bytes]:
    """Return a tree; deflated data sets inflated, because the stream depends on the pieces in which they came."""
    found = without_times(tree(directory))
    if "+td" in options:
        return {name: inflate(instance(octets).dataset) for name, octets in found.items()}
    return found


def compare(tmp_path: Path, paths: list[Path], options: list[str], read: Callable[[str], bytes] = lambda name: Path(name).read_bytes()) -> int:
    """Ingest; send what was stored or refused over the network; compare. Returns how many objects were stored."""
    ours, theirs = output(tmp_path, "ours"), output(tmp_path, "theirs")
    run = ingest(["-aet", "RAWSCU", "-od", ours, *options, *paths], report=tmp_path / "report")
    read_ones = [line for line in run.report if line["result"] in {"stored", "refused"} and line["reason"] not in {
        "no SOP Class UID", "no SOP Instance UID"}]
    statuses = over_the_network([instance(read(str(line["source"]))) for line in read_ones], options, theirs)
    assert [status == 0 for status in statuses] == [line["result"] == "stored" for line in read_ones]
    assert contents(ours, options) == contents(theirs, options)
    stored = [line for line in run.report if line["result"] == "stored"]
    if "-ss" not in options and "-sp" not in options:
        assert {str(line["target"]) for line in stored} == {str(ours / name) for name in tree(ours)}
    assert run.status == (1 if any(line["result"] == "refused" for line in run.report) else 0)
    return len(stored)


@pytest.mark.parametrize("options", [
    [], ["+B"], ["-F"], ["+ti", "-fe", ".dcm"], ["-g", "-e"], ["+td"], ["-su", "S"]], ids=" ".join)
def test_files_of_pydicom(tmp_path: Path, options: list[str]) -> None:
    assert compare(tmp_path, [PYDICOM], options) > 100


def small_files(directory: Path, count: int) -> None:
    """Make files of a few studies, interleaved, some of them twice and some without meta information."""
    directory.mkdir()
    for number in range(count):
        study = number // 50 % 7 if number % 11 else 3
        same = number - 1 if number % 17 == 16 else number  # the instance before it again, with other pixels
        octets = made(same, study=f"1.2.9.{study}", series=f"1.2.9.{study}.{number % 3}", pixels=64 + number % 5 * 2,
                      meta=number % 13 != 0, patient=f"P{study}")
        (directory / f"IM{number:05d}").write_bytes(octets)


@pytest.mark.parametrize("options", [
    [], ["+B"], ["-su", "S"], ["-ss", "P", "-rns"], ["-sp", "-tos", "60"]], ids=" ".join)
def test_small_files_of_interleaved_studies(tmp_path: Path, options: list[str]) -> None:
    small_files(tmp_path / "in", 400)
    assert compare(tmp_path, [tmp_path / "in"], options) == 400


@pytest.mark.slow
@pytest.mark.parametrize("count", [20_000])
def test_twenty_thousand_files(tmp_path: Path, count: int) -> None:
    small_files(tmp_path / "in", count)
    assert compare(tmp_path, [tmp_path / "in"], []) == count


def archive(tmp_path: Path, kind: str) -> Path:
    small_files(tmp_path / "in", 120)
    if kind == "zip":
        target = tmp_path / "files.zip"
        with zipfile.ZipFile(target, "w") as packed:
            for index, path in enumerate(sorted((tmp_path / "in").iterdir())):
                packed.write(path, f"in/{path.name}", zipfile.ZIP_DEFLATED if index % 2 else zipfile.ZIP_STORED)
        return target
    target = tmp_path / f"files.tar{kind}"
    mode = {"": "w", ".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz", ".zst": "w"}[kind]
    with tarfile.open(target, mode) as packed:
        packed.add(tmp_path / "in", "in", filter=None)
    if kind == ".zst":
        zstandard = pytest.importorskip("zstandard")
        target.write_bytes(zstandard.ZstdCompressor().compress(target.read_bytes()))
    return target


@pytest.mark.parametrize("kind", ["", ".gz", ".bz2", ".xz", ".zst", "zip"])
def test_archives(tmp_path: Path, kind: str) -> None:
    packed = archive(tmp_path, kind)
    count = compare(tmp_path, [packed], ["-su", "S"], lambda source: (tmp_path / source.partition("!/")[2]).read_bytes())
    assert count == 120


def test_a_dicomdir_leads_to_its_files(tmp_path: Path) -> None:
    media = PYDICOM / "test_files" / "dicomdirtests" / "DICOMDIR"
    assert compare(tmp_path, [media], []) == 31


def test_a_dicomdir_made_by_dcmtk(tmp_path: Path) -> None:
    if shutil.which("dcmmkdir") is None:
        pytest.skip("needs dcmmkdir")
    media = tmp_path / "media"
    media.mkdir()
    for name in ("98892001", "98892003"):
        for path in sorted((PYDICOM / "test_files" / "dicomdirtests" / name).rglob("*")):
            if path.is_file():
                shutil.copy(path, media / f"F{len(list(media.iterdir())):03d}")
    names = sorted(path.name for path in media.iterdir())
    subprocess.run(["dcmmkdir", "-Nxc", "--no-profile", *names], cwd=media, capture_output=True, check=False)
    if not (media / "DICOMDIR").exists():
        subprocess.run(["dcmmkdir", "-Nxc", "-W", "-Pgp", *names], cwd=media, capture_output=True, check=True)
    assert compare(tmp_path, [media / "DICOMDIR"], []) == len(names)


def test_a_sender_of_dcmtk_gives_the_same(tmp_path: Path) -> None:
    if shutil.which("dcmsend") is None:
        pytest.skip("needs dcmsend")
    from tests.support.servers import FastscpServer

    small_files(tmp_path / "in", 40)
    for number in range(0, 40, 13):  # dcmsend wants file meta information
        (tmp_path / "in" / f"IM{number:05d}").unlink()
    ours, theirs = output(tmp_path, "ours"), output(tmp_path, "theirs")
    run = ingest(["-aet", "DCMSEND", "-od", ours, tmp_path / "in"], report=tmp_path / "report")
    with FastscpServer(["-od", theirs]) as server:
        done = subprocess.run(["dcmsend", "127.0.0.1", str(server.port), *[str(line["source"]) for line in run.report]],
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert tree(ours) == tree(theirs)


@pytest.mark.parametrize("options", [[], ["+B"]], ids=" ".join)
def test_what_follows_a_data_set(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "in").mkdir()
    for number, rest in enumerate((bytes(1), bytes(5000), bytes(5001), b"trailing text of some length", b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0....")):
        (tmp_path / "in" / f"{number}").write_bytes(made(number) + rest)
    assert compare(tmp_path, [tmp_path / "in"], options) == (5 if options else 4)


def test_a_member_of_an_archive_is_like_a_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as packed:
        for number, octets in enumerate([made(1), b"no DICOM", made(2, pixels=100_000)]):
            header = tarfile.TarInfo(f"x/{number}")
            header.size = len(octets)
            packed.addfile(header, io.BytesIO(octets))
    run = ingest(["-od", output(tmp_path, "ours"), tmp_path / "a.tgz"], report=tmp_path / "report")
    assert [(str(line["source"]).rpartition("/")[2], line["result"]) for line in run.report] == [
        ("0", "stored"), ("1", "not-dicom"), ("2", "stored")]
