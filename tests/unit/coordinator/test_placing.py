from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path

import pytest

from fastscp.coordinator.placing import ATTEMPTS, Placer, remove_unused
from fastscp.errors import InstanceError, StorageError
from fastscp.store.own_paths import OwnPaths
from fastscp.study.naming import timestamp
from fastscp.study.policy import Sorting, StudyPolicy

WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, 998_000)
BY_UID = StudyPolicy(sorting=Sorting.STUDY_UID)
BY_TIME = StudyPolicy(sorting=Sorting.CONCURRENT_STUDIES)


def placer(policy: StudyPolicy, output: Path, own: OwnPaths | None = None) -> Placer:
    return Placer(policy, str(output), own or OwnPaths(), local_time=lambda: WHEN)


def test_without_sorting_everything_goes_into_the_output_directory(tmp_path: Path) -> None:
    assert placer(StudyPolicy(), tmp_path).open_directory("", "", "") == (str(tmp_path), False)
    assert os.listdir(tmp_path) == []


def test_directory_by_uid_is_made_once_and_taken_again(tmp_path: Path) -> None:
    by_uid = placer(BY_UID, tmp_path)
    assert by_uid.open_directory("1.2", "", "") == (f"{tmp_path}/1.2", True)
    assert by_uid.open_directory("1.2", "", "") == (f"{tmp_path}/1.2", False)


def test_same_millisecond_gives_the_next_free_name(tmp_path: Path) -> None:
    by_time = placer(BY_TIME, tmp_path)
    names = [by_time.open_directory(f"1.{number}", "", "")[0] for number in range(3)]
    assert names == [f"{tmp_path}/20260102_03040{rest}" for rest in ("5998", "5999", "6000")]
    assert all(map(os.path.isdir, names))


def test_free_names_are_not_looked_for_without_end(tmp_path: Path) -> None:
    by_time = placer(BY_TIME, tmp_path)
    for attempt in range(ATTEMPTS):
        (tmp_path / timestamp(WHEN + datetime.timedelta(milliseconds=attempt))).mkdir()
    with pytest.raises(InstanceError, match="no free directory"):
        by_time.open_directory("1.2", "", "")


@pytest.mark.parametrize("uid", ["", ".", "..", ".fastscp", ".FastSCP", ".fastscp-0a-1.tmp", ".fastscpish"])
def test_unacceptable_names_make_nothing(tmp_path: Path, uid: str) -> None:
    with pytest.raises(InstanceError) as refusal:
        placer(BY_UID, tmp_path).open_directory(uid, "", "")
    assert refusal.value.status == 0xC000
    assert os.listdir(tmp_path) == []


def test_unusual_characters_are_replaced_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert placer(BY_UID, tmp_path).open_directory("../1\n2", "", "")[0] == f"{tmp_path}/.._1_2"
    assert "Sanitized unusual characters" in caplog.text
    assert "\n2" not in caplog.messages[0]


def test_patients_are_spelt_and_the_nameless_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    by_name = placer(StudyPolicy(sorting=Sorting.PATIENT_NAME), tmp_path)
    assert by_name.open_directory("1.2", "D\xf6e^J ", "")[0] == f"{tmp_path}/Doee_J_20260102_030405998"
    assert caplog.messages == []
    assert by_name.open_directory("1.3", " ", "")[0] == f"{tmp_path}/ANONYMOUS_20260102_030405998"
    assert "PatientName (0010,0010) absent or empty" in caplog.text


def test_patients_are_transliterated_when_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = StudyPolicy(sorting=Sorting.PATIENT_NAME, names_by_character_set=True)
    name = "Ж".encode("iso8859_5").decode("latin-1")
    directory, _ = placer(policy, tmp_path).open_directory("1.2", name, "ISO_IR 144")
    assert directory == f"{tmp_path}/Zh_20260102_030405998"
    assert "Latin-1" not in caplog.text


def test_file_in_the_way_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "1.2").write_text("")
    with pytest.raises(InstanceError, match="it is a file"):
        placer(BY_UID, tmp_path).open_directory("1.2", "", "")


def test_directory_that_cannot_be_made_is_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot make study directory"):
        placer(BY_UID, tmp_path / "nowhere").open_directory("1.2", "", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make study directory"):
        placer(BY_UID, tmp_path).ensure(f"{tmp_path}/file/1.2")


@pytest.mark.parametrize(("number", "status"), [
    *((number, 0xA700) for number in (errno.EROFS, errno.EDQUOT, errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMLINK,
                                      errno.ENOMEM, errno.ENOENT, errno.ESTALE)),
    *((number, 0xC000) for number in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.ELOOP)),
])
def test_only_a_bad_name_is_the_objects_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int,
                                              status: int) -> None:
    def refuse(path: str, mode: int = 0o777) -> None:
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr("os.mkdir", refuse)
    with pytest.raises((InstanceError, StorageError), match=os.strerror(number)) as refusal:
        placer(BY_UID, tmp_path).open_directory("1.2", "", "")
    assert refusal.value.status == status
    with pytest.raises(StorageError, match=os.strerror(number)):  # the name was good before
        placer(BY_UID, tmp_path).ensure(f"{tmp_path}/1.2")


_BROKEN = "Patient name not in Latin-1 (charset: {}), ASCII dir name may be broken"


@pytest.mark.parametrize(("patient", "charset", "told"), [
    ("\xc4^B", "ISO_IR 192", "ISO_IR 192"), ("\xc4^B", "ISO_IR 144 ", "ISO_IR 144"),
    ("\xc4^B", "\\ISO 2022 IR 100", "\\ISO 2022 IR 100"), ("A^B\\\xc4", "ISO_IR 144", "ISO_IR 144"),
    ("\x1b$B;3ED\x1b(B^B", "\\ISO 2022 IR 87", "\\ISO 2022 IR 87"),
    ("\xc4", "ISO_IR 1\n00", "ISO_IR 1\\n00"),
    ("A^B", "ISO_IR 192", ""), ("\xc4^B", "ISO_IR 100 ", ""), ("\xc4^B", "", ""), ("\xc4^B", "  ", ""),
])
def test_names_beyond_latin_1_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, patient: str, charset: str,
                                       told: str) -> None:
    placer(StudyPolicy(sorting=Sorting.PATIENT_NAME), tmp_path).open_directory("1.2", patient, charset)
    assert [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "WARN"}] == (
        [_BROKEN.format(told)] if told else [])


def test_directory_of_an_earlier_time_is_made_again(tmp_path: Path) -> None:
    placer(BY_UID, tmp_path).ensure(f"{tmp_path}/1.2")
    placer(BY_UID, tmp_path).ensure(f"{tmp_path}/1.2")
    assert os.listdir(tmp_path) == ["1.2"]


def test_only_an_empty_directory_is_removed(tmp_path: Path) -> None:
    (tmp_path / "1.2").mkdir()
    (tmp_path / "1.3").mkdir()
    (tmp_path / "1.3" / "CT.1").write_text("x")
    for name in ("1.2", "1.3", "never"):
        remove_unused(f"{tmp_path}/{name}")
    assert os.listdir(tmp_path) == ["1.3"]


def test_directory_is_told_with_storescp_s_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    by_uid = placer(BY_UID, tmp_path)
    by_uid.open_directory("1.2", "", "")
    by_uid.open_directory("1.2", "", "")
    placer(BY_UID, tmp_path).ensure(f"{tmp_path}/1.2")
    placer(BY_UID, tmp_path).ensure(f"{tmp_path}/1.3")
    assert caplog.messages == [f"created new subdirectory for study: {tmp_path}/1.2",
                               f"using existing subdirectory for study: {tmp_path}/1.2",
                               f"made subdirectory for study again: {tmp_path}/1.3"]


@pytest.mark.parametrize("name", ["file", "nowhere/1.2"])
def test_directory_that_cannot_be_made_again_is_a_refusal_with_a700(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot make study directory") as refusal:
        placer(BY_UID, tmp_path).ensure(f"{tmp_path}/{name}")
    assert refusal.value.status == 0xA700
    assert os.listdir(tmp_path) == ["file"], "the output directory is never made again"


def test_occupied_directory_is_not_shared(tmp_path: Path) -> None:
    by_uid = placer(BY_UID, tmp_path)
    occupied = [f"{tmp_path}/1.2", f"{tmp_path}/1.2.r2"]
    assert by_uid.open_directory("1.2", "", "", occupied) == (f"{tmp_path}/1.2.r3", True)
    by_time = placer(BY_TIME, tmp_path)
    assert by_time.open_directory("1.2", "", "", [f"{tmp_path}/20260102_030405998"])[0] == f"{tmp_path}/20260102_030405999"


def test_prefix_leads_into_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    policy = StudyPolicy(sorting=Sorting.STUDY_UID, prefix="a/b")
    assert placer(policy, tmp_path).open_directory("1.2", "", "") == (f"{tmp_path}/a/b_1.2", True)
    assert os.listdir(tmp_path / "a") == ["b_1.2"]


def test_paths_of_the_service_and_the_way_to_them_are_kept_free(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("1.4")
    own = OwnPaths([f"{tmp_path}/1.3/done", f"{tmp_path}/link", f"{tmp_path}/State"], [f"{tmp_path}/events"])
    by_uid = placer(BY_UID, tmp_path, own)
    for uid in ("1.3", "1.4", "state", "STATE", "events", "events.1", "events-2026"):
        with pytest.raises(InstanceError, match="unacceptable name"):
            by_uid.open_directory(uid, "", "")
    assert os.listdir(tmp_path) == ["link"]
    for uid in ("1.3.1", "state.1", "events_1", ".1.2"):
        assert by_uid.open_directory(uid, "", "")[1], uid


def test_symbolic_link_is_not_followed_but_the_output_directory_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    by_uid = placer(BY_UID, tmp_path / "out")
    (tmp_path / "real" / "1.2").symlink_to("../elsewhere")
    (tmp_path / "real" / "1.3").symlink_to("nowhere")
    for uid in ("1.2", "1.3"):
        with pytest.raises(StorageError, match="symbolic link, which is not followed") as refusal:
            by_uid.open_directory(uid, "", "")
        assert refusal.value.status == 0xA700
        with pytest.raises(StorageError, match="symbolic link"):
            by_uid.ensure(f"{tmp_path}/out/{uid}")
    assert by_uid.open_directory("1.4", "", "") == (f"{tmp_path}/out/1.4", True)
    assert os.listdir(tmp_path / "elsewhere") == []
