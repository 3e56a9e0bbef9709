"""What an object store is to get of studies that come, are renamed, moved, repeated and end; and which files may go."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from fastscp.coordinator.fleet_journal import FleetJournal
from fastscp.coordinator.followers import Followers
from fastscp.coordinator.retention import Retention, Surroundings
from fastscp.coordinator.state import FILE_NAME, SqliteState
from fastscp.coordinator.upload_journal import UploadJournal
from fastscp.coordinator.upload_rows import UploadRows
from fastscp.objects.journal import Complete, UploadReader
from fastscp.objects.uploading import Wanted, identity_of
from fastscp.study.policy import LateObjects, Sorting, StudyPolicy
from tests.support import said
from tests.support.ended_studies import EndedStudies

SORTED = StudyPolicy(sorting=Sorting.STUDY_UID)


class Bench(EndedStudies):
    """Studies whose objects go to a store, which confirms what the test says."""

    def __init__(self, directory: Path, policy: StudyPolicy = SORTED, *, keep_s: float | None = None) -> None:
        self.directory = directory / os.fsdecode(b"state\xff")  # no text
        self.directory.mkdir()
        self.keep_s = keep_s
        self.now = 1000.0
        super().__init__(directory / "in", policy, SqliteState(self.directory))

    def start(self) -> None:
        super().start()
        self.rows = UploadRows(self.state.engine)
        self.journal = UploadJournal(self.rows)
        self.finisher.files = Followers(uploads=self.journal)
        self.retention = Retention(self.rows, self.keep_s, wall=lambda: self.now)
        self.retention.around = Surroundings(self.lanes.has_lane, self.studies.directories)
        self.reader = UploadReader(self.directory / FILE_NAME, "p")

    def put(self, study: str, instance: str, content: str = "", sender: str = "") -> Path:
        """Store an object as a worker does; return its file."""
        answer = self.place(study)
        path = Path(answer["directory"], f"CT.{instance}")
        octets = (content or f"octets of {instance}").encode()
        replaced = path.exists()
        unchanged = replaced and path.read_bytes() == octets
        if not unchanged:
            new = path.with_name("new")
            new.write_bytes(octets)
            new.rename(path)
        self.events += 1
        packet = said.stored(self.events, study, str(path.parent), path.name, request=answer["request"], sop_instance=instance,
                             replaced=replaced, unchanged=unchanged, sha256=hashlib.sha256(octets).hexdigest(), size=len(octets))
        assert self.finisher.files is not None
        self.finisher.files.stored(packet, sender)
        caller = said.opened("a")
        self.studies.stored(packet, json.dumps(packet).encode(), caller, json.dumps(caller).encode(), "w", (1, self.events), 0.0)
        self.state.commit()
        return path

    def waiting(self) -> list[Wanted]:
        self.state.commit()
        return self.reader.wanted(0, 100)

    def paths(self) -> list[str]:
        """Return where the files are that wait, from the output directory."""
        return [os.path.relpath(one.path, self.output) for one in self.waiting()]

    def confirm(self, *names: str) -> None:
        """Have the store confirm what waits, or the files of these names."""
        for one in self.waiting():
            if not names or Path(one.path).name in names:
                octets = Path(one.path).read_bytes()
                assert hashlib.sha256(octets).hexdigest() == one.sha256, one.path
                assert self.journal.confirmed(one.number, identity_of(os.stat(one.path)), one.key)
        self.state.commit()

    def complete(self) -> list[Complete]:
        self.state.commit()
        return self.reader.complete(0, ())[0]

    def write(self) -> list[list[str]]:
        """Write the manifests that are due; return the instances of each."""
        found = self.complete()
        for one in found:
            for part in one.parts:
                self.rows.written(part, self.now)
        self.state.commit()
        return [sorted(entry["sop_instance_uid"] for entry in one.objects) for one in found]

    def look(self) -> None:
        """Remove what may go."""
        self.retention.look()
        while self.retention.turn():
            self.state.commit()
        self.state.commit()

    def left(self) -> tuple[int, int]:
        """Return how many rows there are of files and of ends."""
        count = "SELECT (SELECT count(*) FROM uploads), (SELECT count(*) FROM parts)"
        return tuple(self.state.engine.read(count).fetchone())

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())


def gone(bench: Bench, *instances: str, study: str = "1") -> None:
    """Have a study whose files have gone to the store."""
    for instance in instances:
        bench.put(study, instance)
    bench.finish()
    bench.confirm()
    assert bench.write() == [sorted(instances)]
    bench.look()
    assert bench.files() == []
    assert bench.left() == (0, 0)


# -- the journal ----------------------------------------------------------------------------------------------


def test_a_file_waits_from_the_transaction_of_its_object(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1")
    (wanted,) = bench.waiting()
    assert wanted.path == str(bench.output / "1" / "CT.1.1")
    assert wanted.key == f"p/objects/1/{'' or wanted.key.split('/')[3]}/1.1/{wanted.sha256}.dcm"
    bench.confirm()
    assert bench.waiting() == []


def test_it_is_the_same_transaction(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.place("1")
    bench.state.commit()
    packet = said.stored(1, "1", str(bench.output / "1"), "CT.1", request=1, sha256="aa" * 32)
    bench.journal.stored(packet, "")
    bench.restart()
    assert bench.waiting() == []


def test_what_is_told_of_a_row_that_is_gone_is_left_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1", "old")
    (old,) = bench.waiting()
    bench.put("1", "1.1", "new")
    assert not bench.journal.confirmed(old.number, "1:2:3:4", old.key)
    (new,) = bench.waiting()
    assert new.number > old.number
    assert new.sha256 == hashlib.sha256(b"new").hexdigest()


def test_the_same_octets_again_are_no_second_row(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1")
    bench.confirm()
    bench.put("1", "1.1")
    assert bench.waiting() == []


def test_files_are_followed_when_they_are_renamed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, rename=True))
    bench.put("1", "1.1")
    bench.put("1", "1.2")
    bench.confirm("CT.1.1")
    bench.finish()
    (path,) = bench.paths()
    assert (bench.output / path).read_text() == "octets of 1.2"
    bench.confirm()
    assert bench.write() == [["1.1", "1.2"]]


def test_a_study_is_moved_when_the_store_has_its_files(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, completed_directory=str(tmp_path / "done")))
    bench.put("1", "1.1")
    bench.put("1", "1.2")
    task = bench.end()
    assert bench.finish(task).pause_s > 0
    bench.confirm("CT.1.1")
    assert bench.finish(task).pause_s > 0
    assert list((tmp_path / "done").iterdir()) == []
    bench.confirm()
    assert bench.finish(task).done
    assert len(list((tmp_path / "done").rglob("CT*"))) == 2
    assert bench.write() == [["1.1", "1.2"]]


def test_a_study_waits_for_no_file_that_a_hook_took_away(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, completed_directory=str(tmp_path / "done")))
    bench.put("1", "1.1").unlink()
    bench.put("1", "1.2")
    task = bench.end()
    assert bench.finish(task).pause_s > 0
    bench.confirm("CT.1.2")
    assert bench.finish(task).done
    assert len(list((tmp_path / "done").rglob("CT*"))) == 1


def test_a_study_that_waits_to_be_moved_gets_no_new_object_in_its_directory(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, completed_directory=str(tmp_path / "done")))
    first = bench.put("1", "1.1")
    task = bench.end()
    assert bench.finish(task).pause_s > 0
    assert bench.put("1", "1.2").parent != first.parent


# -- ends -----------------------------------------------------------------------------------------------------


def test_the_manifest_waits_for_the_last_object(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1")
    bench.put("1", "1.2")
    bench.confirm("CT.1.1")
    bench.finish()
    assert bench.complete() == []
    bench.confirm()
    assert bench.write() == [["1.1", "1.2"]]
    bench.look()
    assert bench.left() == (0, 0)
    assert len(bench.files()) == 2  # without --keep-local nothing goes


def test_an_end_that_lost_a_file_to_other_octets_waits_for_these(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1", "old")
    bench.put("1", "1.2")
    bench.finish()
    bench.put("1", "1.1", "new")
    bench.confirm()
    assert bench.complete() == []  # what is there is not the study
    bench.finish()
    assert bench.write() == [["1.1", "1.2"]]
    assert bench.complete() == []


def test_a_confirmed_object_stays_in_its_end_when_its_file_is_replaced(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1", "old")
    bench.put("1", "1.2")
    bench.confirm("CT.1.1")
    bench.finish()
    bench.put("1", "1.1", "new")
    bench.confirm("CT.1.2")
    assert bench.write() == [["1.1", "1.2"]]
    bench.finish()
    bench.confirm()
    assert bench.write() == [["1.1"]]


def test_ends_of_one_study_are_written_in_their_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.put("1", "1.1")
    bench.finish()
    bench.put("1", "1.2")
    bench.finish()
    bench.confirm("CT.1.2")
    assert bench.complete() == []
    bench.confirm()
    (one,) = bench.complete()
    assert (len(one.parts), one.revision) == (2, 2)


def test_a_repeat_that_is_removed_leaves_nothing_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, rename=True))
    bench.put("1", "1.1")
    bench.finish()
    bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    assert bench.write() == [["1.1"]]
    bench.look()
    assert bench.left() == (0, 0)


def test_a_repeat_of_what_was_never_uploaded_has_the_other_file_uploaded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, rename=True))
    bench.put("1", "1.1")
    bench.finish()
    bench.state.engine.write("DELETE FROM uploads", ())  # it came before there was a store
    bench.put("1", "1.1")
    bench.finish()
    (path,) = bench.paths()
    assert (bench.output / path).exists()


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    directory = bench.output / "d\udcff"
    directory.mkdir()
    (directory / "a\udcfe").write_bytes(b"")
    packet = said.stored(1, "1", str(directory), "a\udcfe", request=1, sha256="aa" * 32)
    bench.journal.stored(packet, "")
    (one,) = bench.waiting()
    assert one.path == f"{bench.output}/d\udcff/a\udcfe"
    assert not bench.journal.may_leave(f"{bench.output}/d\udcff")
    bench.journal.moved(f"{bench.output}/d\udcff", f"{bench.output}/e\udcff")
    assert bench.journal.may_leave(f"{bench.output}/d\udcff")


def test_a_fleet_is_told_what_the_store_has(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    fleet = FleetJournal(bench.state)
    bench.journal = UploadJournal(bench.rows, fleet)
    bench.finisher.files = Followers(uploads=bench.journal)
    bench.put("1", "1.1")
    bench.confirm()
    ((kind, body),) = bench.state.engine.read("SELECT kind, body FROM entries").fetchall()
    told = json.loads(body)
    assert (kind, told["key"], told["sop_instance_uid"]) == ("in_store", "1", "1.1")
    assert told["store_key"].endswith(f"/{told['sha256']}.dcm")
    bench.finish()
    assert bench.reader.shipped(0)[0] == {}  # the database does not have the entry yet
    fleet.shipped(fleet.last)
    bench.state.commit()
    assert list(bench.reader.shipped(0)[0].values()) == ["1"]


# -- files that go --------------------------------------------------------------------------------------------


def test_files_go_when_everything_is_in_the_store(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    bench.put("1", "1.1")
    bench.put("1", "1.2")
    bench.finish()
    bench.look()
    bench.confirm("CT.1.1")
    bench.look()
    bench.confirm()
    bench.look()
    assert len(bench.files()) == 2  # the manifest is not written
    bench.write()
    bench.look()
    assert bench.files() == []
    assert list(bench.output.iterdir()) == []
    assert bench.left() == (0, 0)


def test_files_stay_as_long_as_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=60.0)
    bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    bench.now += 59.0
    bench.look()
    assert len(bench.files()) == 1
    bench.now += 2.0
    bench.look()
    assert bench.files() == []


def test_no_file_goes_while_something_is_to_be_done_for_its_study(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    busy = {1}
    bench.retention.around = Surroundings(busy.__contains__, bench.studies.directories)
    bench.look()
    assert len(bench.files()) == 1
    busy.clear()
    bench.look()
    assert bench.files() == []


def test_no_file_goes_whose_hook_failed_for_good(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    bench.state.engine.write("INSERT INTO failed VALUES (9, 1, 'study', '', '1', '', '', 1, 1, 0)", ())
    bench.look()
    assert len(bench.files()) == 1
    bench.state.forget_failed(None)
    bench.look()
    assert bench.files() == []


def test_no_file_goes_from_a_directory_in_which_a_study_is_open(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    bench.put("1", "1.2")
    bench.look()
    assert len(bench.files()) == 2
    bench.finish()
    bench.confirm()
    bench.look()
    assert len(bench.files()) == 2  # the later end is not complete
    bench.write()
    bench.look()
    assert bench.files() == []


def test_a_study_that_begins_in_the_middle_keeps_what_is_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    for number in range(9):
        bench.put("1", f"1.{number}")
    bench.finish()
    bench.confirm()
    bench.write()
    bench.retention._clock = iter(range(1000)).__next__  # a turn is over after each step
    bench.retention.look()
    for _ in range(4):
        assert bench.retention.turn()
    bench.place("1")
    while bench.retention.turn():
        pass
    assert 0 < len(bench.files()) < 9


def test_a_file_that_was_replaced_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    path = bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    path.unlink()
    path.write_text("somebody else's")
    bench.look()
    assert path.read_text() == "somebody else's"


def test_a_copy_is_known_by_its_octets(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    path = bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    shutil.copy(path, f"{path}.copy")
    os.rename(f"{path}.copy", path)
    bench.look()
    assert bench.files() == []


def test_a_link_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    path = bench.put("1", "1.1")
    bench.finish()
    bench.confirm()
    bench.write()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    bench.look()
    assert path.is_symlink()
    assert (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("late", LateObjects)
@pytest.mark.parametrize("rename", [False, True])
def test_what_comes_again_when_its_file_is_gone_changes_nothing(tmp_path: Path, late: LateObjects, rename: bool) -> None:
    bench = Bench(tmp_path, StudyPolicy(sorting=Sorting.STUDY_UID, rename=rename, on_late=late), keep_s=0.0)
    gone(bench, "1.1", "1.2")
    bench.put("1", "1.1")
    bench.finish()
    assert bench.files() == []
    bench.confirm()
    bench.look()
    assert bench.waiting() == []
    assert len(bench.completed) == 1
    # something new counts
    bench.put("1", "1.1", "other octets")
    bench.finish()
    bench.confirm()
    assert [event["revision"] for event in bench.completed] == [1, 2]
    assert bench.write() == [["1.1"]]


def test_something_new_beside_a_repeat_is_a_revision(tmp_path: Path) -> None:
    bench = Bench(tmp_path, keep_s=0.0)
    gone(bench, "1.1")
    bench.put("1", "1.1")
    bench.put("1", "1.2")
    bench.finish()
    assert bench.files() == ["1/CT.1.2"]
    bench.confirm()
    assert bench.write() == [["1.2"]]
    bench.look()
    assert bench.files() == []
