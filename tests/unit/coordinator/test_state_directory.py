from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastscp.coordinator.state_directory import StateDirectory, is_waited_for, make_completed_directory
from fastscp.errors import ProcessError
from fastscp.store.hidden import is_own


@pytest.fixture
def other(tmp_path: Path) -> Iterator[int]:
    """The lock of another service on ``tmp_path``."""
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield lock
    os.close(lock)


def test_directory_is_hidden_in_the_output_directory_and_private(tmp_path: Path) -> None:
    path = StateDirectory(None, str(tmp_path)).path
    assert path == tmp_path / ".fastscp"
    assert path.stat().st_mode & 0o777 == 0o700
    assert is_own(path.name)


def test_configured_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    assert StateDirectory(f"{tmp_path}/a/b", "/nowhere").path == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


def test_directory_in_use_is_refused_when_patience_is_over(tmp_path: Path, other: int) -> None:
    assert other
    waited: list[float] = []
    with pytest.raises(ProcessError, match="in use by another service"):
        StateDirectory(str(tmp_path), "", pause=waited.append)
    assert sum(waited) == pytest.approx(2.0, abs=0.05)


def test_service_that_drains_is_waited_for_and_that_is_said_once(
        tmp_path: Path, other: int, caplog: pytest.LogCaptureFixture) -> None:
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) > 50:
            fcntl.flock(other, fcntl.LOCK_UN)

    StateDirectory(str(tmp_path), "", patience_s=62.0, pause=pause)
    assert caplog.messages == [
        f"state directory {tmp_path} is in use by another service, waiting up to 62 seconds for its end"]


def test_who_waits_is_seen_by_other_processes_until_it_has_what_it_waits_for(tmp_path: Path, other: int) -> None:
    """Seen from another process, as these locks belong to processes."""
    def seen() -> bool:
        script = f"from pathlib import Path; from fastscp.coordinator.state_directory import is_waited_for as f; print(f(Path({str(tmp_path)!r})))"
        return subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout == "True\n"

    waiting: list[bool] = []

    def pause(_seconds: float) -> None:
        waiting.append(seen())
        fcntl.flock(other, fcntl.LOCK_UN)

    assert not seen()
    directory = StateDirectory(str(tmp_path), "", pause=pause)
    assert waiting == [True]
    assert not seen()
    assert not is_waited_for(tmp_path / "nowhere")
    assert directory.path == tmp_path


def test_wait_that_is_of_no_use_any_more_leaves_no_descriptor(tmp_path: Path, other: int) -> None:
    assert other
    before = len(os.listdir("/proc/self/fd"))

    def pause(_seconds: float) -> None:
        raise ProcessError("told to end")

    with pytest.raises(ProcessError, match="told to end"):
        StateDirectory(str(tmp_path), "", pause=pause)
    assert len(os.listdir("/proc/self/fd")) == before


def test_predecessor_that_is_just_dying_is_waited_for(tmp_path: Path, other: int) -> None:
    StateDirectory(str(tmp_path), "", pause=lambda _s: fcntl.flock(other, fcntl.LOCK_UN))
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_directory_that_cannot_be_made_is_a_process_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProcessError, match="cannot be used"):
        StateDirectory(f"{tmp_path}/file/state", "")


def test_directory_for_completed_studies_is_made(tmp_path: Path) -> None:
    make_completed_directory(str(tmp_path / "a" / "b"), str(tmp_path))
    make_completed_directory(str(tmp_path / "a" / "b"), str(tmp_path))
    assert (tmp_path / "a" / "b").is_dir()


def test_directory_for_completed_studies_that_cannot_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for path, complaint in (("file", "cannot be used: File exists"), (".", "is the output directory")):
        with pytest.raises(ProcessError, match=complaint):
            make_completed_directory(str(tmp_path / path), str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ProcessError, match="is not writeable"):
        make_completed_directory(str(tmp_path / "a"), str(tmp_path))
