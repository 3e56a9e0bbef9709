"""The recipes of docs/cookbook.md, run as they are pasted.

The files and commands are taken from the page. Only the port is another one, and what the page itself leaves to the
environment (the archive, the database) is set there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
import pytest

from fastscp.cli.options import BY_FLAG
from tests.support.objects import CT, CT_CONTEXT, data_set, element, fresh_uid
from tests.support.postgres import Postgres, needed
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, StorescpServer, wait_until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "cookbook.md"
BLOCK = re.compile(r"(?:^`(?P<name>[\w.-]+)`:\n\n)?^```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Recipe:
    """One section of the page."""

    files: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)

    @property
    def service(self) -> str:
        """The block that starts fastscp."""
        return next(command for command in self.commands if "\nfastscp " in f"\n{command}")

    @property
    def others(self) -> list[str]:
        return [command for command in self.commands if command != self.service]


def recipes() -> dict[str, Recipe]:
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        recipe = found[title] = Recipe()
        for block in BLOCK.finditer(text):
            if block["name"]:
                recipe.files[block["name"]] = block["text"]
            else:
                recipe.commands.append(block["text"])
    return found


class Service(FastscpServer):
    """fastscp as the page starts it, in a directory that holds the files of the recipe."""

    def __init__(self, recipe: Recipe, directory: Path, **environment: str) -> None:
        programs = directory / "programs"
        programs.mkdir()
        wrapper = programs / "fastscp"
        wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m fastscp "$@"\n')
        wrapper.chmod(0o755)
        self.work = directory / "work"
        self.work.mkdir()
        for name, text in recipe.files.items():
            (self.work / name).write_text(text)
            (self.work / name).chmod(0o755)
        self._text = recipe.service
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        super().__init__([], cwd=self.work, environment={**environment, "PATH": path})

    def command(self) -> list[str]:
        assert self._text.count("11112") == 1
        script = re.sub(r"^fastscp ", "exec fastscp ", self._text, flags=re.MULTILINE)
        return ["/bin/sh", "-ec", script.replace("11112", str(self.port)), "sh"]

    def environment(self) -> dict[str, str]:
        return self._environment

    def send(self, *objects: bytes) -> list[int]:
        """Send data sets over one association; return the answers."""
        with RawSCU("127.0.0.1", self.port) as scu:
            scu.associate(CT_CONTEXT, calling="SENDER")
            answers = [scu.store(1, CT, uid(octets), octets) for octets in objects]
            scu.release()
        return answers


def uid(octets: bytes) -> str:
    start = octets.index(b"\x08\0\x18\0UI") + 8
    return octets[start : start + octets[start - 2]].rstrip(b"\0").decode()


def study(count: int = 3) -> list[bytes]:
    study_uid, series = fresh_uid(), fresh_uid()
    return [data_set(fresh_uid(), study=study_uid, series=series) for _ in range(count)]


@contextmanager
def running(command: list[str], service: Service) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=service.work, env=service.environment(), stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_each_recipe_can_be_pasted() -> None:
    found = recipes()
    linked = re.findall(r"^\| .* \| \[(.*?)\]\(", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert linked == list(found)
    for title, recipe in found.items():
        for name in recipe.files:
            assert any(f"./{name} " in command for command in recipe.commands), f"{title}: nothing runs {name}"


@pytest.mark.slow
def test_finished_study_is_handed_over_whole_and_once(tmp_path: Path) -> None:
    first, second = study(), study(1)
    with Service(recipes()["Move the finished study safely"], tmp_path) as service:
        service.send(*first)
        service.send(*second)  # ends the first
        archive = service.work / "archive"
        wait_until(lambda: len(list(archive.glob("*.tar"))) == 1, "the first study is packed")
        service.send(first[0])  # its first file is gone: a revision
        assert service.stop() == 0
        assert list((service.work / "done").iterdir()) == []
    packed = {}
    for path in archive.iterdir():
        with tarfile.open(path) as tar:
            packed[path.name] = sorted(name for name in tar.getnames() if name.startswith("./CT"))
    (late,) = [names for name, names in packed.items() if name.endswith(".r2.tar")]
    assert late == ["./CT000001"]
    assert sorted(map(len, packed.values())) == [1, 1, 3]


@pytest.mark.slow
@pytest.mark.oracle
def test_forward_sends_everything_once_the_archive_is_up(tmp_path: Path) -> None:
    """It is down first, then it refuses: dcmsend's exit status tells only of the former."""
    archive = StorescpServer(["-od", tmp_path / "archive"])
    first, second = study(), study(1)
    with Service(recipes()["Forward with dcmsend"], tmp_path, ARCHIVE=f"127.0.0.1 {archive.port}") as service:
        assert service.send(*first) == [0] * 3
        assert service.send(*second) == [0]  # ends the first study
        wait_until(lambda: service.log().count(b"cannot negotiate network association") == 1, "the archive was missed")
        (tmp_path / "archive").mkdir()  # storescp wants one at its start
        with archive:
            (tmp_path / "archive").rmdir()
            wait_until(lambda: b"cannot write DICOM file" in archive.log(), "the archive refused")
            (tmp_path / "archive").mkdir()
            wait_until(lambda: len(list((tmp_path / "archive").iterdir())) == 3, "the first study is there")
            assert service.stop() == 0
        log = service.log().decode()
    assert {path.name for path in (tmp_path / "archive").iterdir()} == {f"CT.{uid(octets)}" for octets in first + second}
    assert "exit status" not in log


@pytest.mark.slow
def test_index_follows_the_event_stream(tmp_path: Path) -> None:
    needed()
    recipe = recipes()["Index into PostgreSQL"]
    indexing, asking = recipe.others
    with Postgres() as postgres, Service(recipe, tmp_path, **postgres.environment) as service:
        first, second = study(), study(2)
        service.send(*first)
        command = ["/bin/sh", "-c", f"exec {indexing}"]
        with running(command, service):
            wait_until(lambda: postgres.query("SELECT count(*) FROM instance") == "3", "the first study is indexed")
        service.send(*second)  # nobody reads; ends the first study, which is renamed
        postgres.stop()
        with running(command, service):
            service.send(first[0])
            postgres.start()
            wait_until(lambda: postgres.query("SELECT count(*) FROM instance") == "5", "the second study is indexed")
            assert service.stop() == 0
            wait_until(lambda: "CT000001" in postgres.query("SELECT file FROM instance WHERE sop_instance_uid = "
                                                            f"'{uid(second[0])}'"), "the names are followed")
            wait_until(lambda: int(postgres.query("SELECT position FROM reader"))
                       == (service.work / "events.jsonl").stat().st_size, "everything is read")
        for row in postgres.query("SELECT directory || '/' || file FROM instance").splitlines():
            assert (service.work / row).is_file()
        told = subprocess.run(["/bin/sh", "-c", asking], env=service.environment(), capture_output=True, text=True, check=True)
        assert sorted(line.split("|")[1:] for line in told.stdout.splitlines()) == [["CT", "2"], ["CT", "3"]]


@pytest.mark.slow
def test_index_takes_any_text(tmp_path: Path) -> None:
    needed()
    recipe = recipes()["Index into PostgreSQL"]
    event = {"event": "object.stored", "sop_class_uid": "1", "series_uid": "\0\\N\t", "study_uid": "'; DROP TABLE instance; --",
             "modality": "\\.", "calling_aet": "\n\\.\n", "directory": "ä", "file": "f", "size": 1, "time": "2026-01-02T03:04:05Z"}
    with Postgres() as postgres:
        (tmp_path / "index").write_text(recipe.files["index"])
        (tmp_path / "events.jsonl").write_text("".join(
            json.dumps({**event, "sop_instance_uid": str(number), "octets": 2}) + "\n" for number in (1, 2, 1)))
        process = subprocess.Popen([sys.executable, "index", "events.jsonl"], cwd=tmp_path,
                                   env={**os.environ, **postgres.environment})
        try:
            wait_until(lambda: postgres.query("SELECT count(*) FROM instance") == "2", "both are indexed")
        finally:
            process.kill()
            process.wait()
        assert postgres.query("SELECT DISTINCT study_uid, modality FROM instance") == "'; DROP TABLE instance; --|\\."


@pytest.mark.slow
def test_anonymise_keeps_nothing_of_the_patient(tmp_path: Path) -> None:
    objects = [data_set(fresh_uid(), study="1.2.3.40", series="1.2.3.50", patient="SECRET^NAME") for _ in range(2)]
    private = element(0x00091001, b"LO", b"SECRET") + element(0x00100020, b"LO", b"SECRET7") + element(0x00100030, b"DA", b"19990102")
    creator = element(0x00090010, b"LO", b"SECRET VENDOR")
    objects = [octets.replace(element(0x00100010, b"PN", b"SECRET^NAME"), creator + private.replace(
        element(0x00100020, b"LO", b"SECRET7"), element(0x00100010, b"PN", b"SECRET^NAME") + element(0x00100020, b"LO", b"SECRET7")))
        for octets in objects]
    with Service(recipes()["Anonymise"], tmp_path) as service:
        assert service.send(*objects) == [0, 0]
        assert service.stop() == 0
        log = service.log().decode()
    assert "exit status" not in log
    written = sorted((service.work / "clean").rglob("*"))
    files = [path for path in written if path.is_file()]
    assert len(files) == 2
    for path in files:
        octets = path.read_bytes()
        assert b"SECRET" not in octets
        assert b"1.2.3.40" not in octets
        assert b"19990102" not in octets
        dataset = pydicom.dcmread(path)
        assert dataset.SOPClassUID == CT
        assert dataset.PixelData == bytes(2048)
        assert path.parent.name == dataset.StudyInstanceUID
    assert len({pydicom.dcmread(path).SeriesInstanceUID for path in files}) == 1


@pytest.mark.slow
@pytest.mark.skipif("--quarantine" not in BY_FLAG, reason="there is no --quarantine yet")
def test_review_lists_what_was_kept(tmp_path: Path) -> None:
    recipe = recipes()["Review the quarantine"]
    good, = study(1)
    broken = data_set(fresh_uid())[:-100]
    with Service(recipe, tmp_path) as service:
        assert service.send(good, broken) == [0, 0xB007]
        told = subprocess.run(["/bin/sh", "-c", *recipe.others], cwd=service.work, env=service.environment(),
                              capture_output=True, text=True, check=True)
    line, = told.stdout.splitlines()
    _, sender, peer, status, _, reason, path = line.split("\t")
    assert (sender, peer, status[0]) == ("SENDER", "127.0.0.1", "C")
    assert reason
    assert (service.work / path).read_bytes().endswith(broken)
