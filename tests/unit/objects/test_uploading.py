"""One file on its way: right in the end, never over something right, whatever the store and the disk do."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from fastscp.objects import parts
from fastscp.objects.store import AwayError, DamagedError, TakenError
from fastscp.objects.uploading import UnreadableError, Wanted, identity_of, upload
from tests.support.fake_store import FakeStore

KEY = "p/objects/k"
LONG = 40 << 20


def wanted(path: Path, octets: bytes) -> Wanted:
    return Wanted(1, str(path), hashlib.sha256(octets).hexdigest(), len(octets), KEY)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "CT.1"
    path.write_bytes(b"octets")
    return path


@pytest.fixture
def long(tmp_path: Path) -> Path:
    path = tmp_path / "CT.2"
    path.write_bytes(os.urandom(1 << 20) * 40)
    return path


def test_the_file_is_there_and_its_identity_is_told(file: Path) -> None:
    store = FakeStore()
    assert upload(store, wanted(file, b"octets")) == identity_of(os.stat(file))
    assert store.held == {KEY: b"octets"}


def test_what_is_there_already_is_not_written_again(file: Path) -> None:
    store = FakeStore()
    for _ in range(2):
        upload(store, wanted(file, b"octets"))
    assert store.writes == [KEY]


@pytest.mark.parametrize("says", [True, False])
def test_what_is_wrong_under_a_key_is_replaced(file: Path, says: bool) -> None:
    store = FakeStore(says=says)
    store.held[KEY] = b"wrong!"
    upload(store, wanted(file, b"octets"))
    assert store.held[KEY] == b"octets"


@pytest.mark.parametrize("says", [True, False])
def test_damage_that_the_store_does_not_see_is_found(file: Path, says: bool) -> None:
    store = FakeStore(says=says, verifies=False)
    store.way = lambda octets: octets[:-1] + b"x"
    with pytest.raises(DamagedError):
        upload(store, wanted(file, b"octets"))
    store.way = lambda octets: octets
    upload(store, wanted(file, b"octets"))
    assert store.held[KEY] == b"octets"


def test_another_file_of_the_name_is_never_sent(file: Path) -> None:
    store = FakeStore()
    for octets in (b"other!", b"longer than that"):
        with pytest.raises(UnreadableError):
            upload(store, wanted(file, octets))
    assert store.held == {}


def test_what_is_no_file_keeps_nobody_waiting(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(file)
    for name in ("fifo", "link", "nothing"):
        with pytest.raises(UnreadableError):
            upload(FakeStore(), wanted(tmp_path / name, b"octets"))


@pytest.mark.parametrize("says", [True, False])
def test_a_long_file_goes_in_parts(long: Path, says: bool) -> None:
    store = FakeStore(says=says)
    upload(store, wanted(long, long.read_bytes()))
    assert store.held[KEY] == long.read_bytes()
    assert store.uploads == {}
    upload(store, wanted(long, long.read_bytes()))
    assert store.writes == [KEY]


@pytest.mark.parametrize("what", ["part", "complete"])
def test_of_an_upload_that_fails_nothing_is_left(long: Path, what: str) -> None:
    store = FakeStore()

    def fail(step: str, _key: str) -> None:
        if step == what:
            raise AwayError("reset")

    store.before = fail
    with pytest.raises(AwayError):
        upload(store, wanted(long, long.read_bytes()))
    assert store.uploads == {}


def test_what_a_killed_upload_has_left_goes_first(long: Path) -> None:
    store = FakeStore()
    store.begin(KEY)
    store.begin("p/objects/k2")  # somebody else's
    upload(store, wanted(long, long.read_bytes()))
    assert [key for key, _ in store.uploads.values()] == ["p/objects/k2"]


def test_parts_of_another_length_are_compared_by_their_octets(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    upload(store, wanted(long, long.read_bytes()))
    monkeypatch.setattr(parts, "PART_OCTETS", 8 << 20)
    upload(store, wanted(long, long.read_bytes()))
    assert store.writes == [KEY]


def test_somebody_who_was_faster_is_found_by_the_next_try(long: Path) -> None:
    store = FakeStore()

    def meanwhile(step: str, key: str) -> None:
        if step == "complete":
            store.held[key] = long.read_bytes()

    store.before = meanwhile
    with pytest.raises(TakenError):
        upload(store, wanted(long, long.read_bytes()))
    store.before = lambda _step, _key: None
    upload(store, wanted(long, long.read_bytes()))
    assert store.writes == []


def test_a_long_file_with_other_octets_is_not_begun(long: Path) -> None:
    store = FakeStore()
    with pytest.raises(UnreadableError):
        upload(store, wanted(long, bytes(LONG)))
    assert store.uploads == {}
