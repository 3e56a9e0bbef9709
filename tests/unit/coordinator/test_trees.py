"""Copies of directories: nobody waits for the disk but the study that is copied."""

import os
import threading

import pytest

from fastscp.coordinator import trees


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_disk_that_takes_its_time_holds_nobody_up(tmp_path, monkeypatch, call):
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"octets")
    written = threading.Event()
    monkeypatch.setattr(os, call, lambda fd: written.wait(30))
    steps = trees.copy_tree(str(source), str(tmp_path / "target"))
    for _ in range(20):
        assert next(steps) == 0.0
    written.set()
    assert set(steps) <= {0.0}
    assert (tmp_path / "target" / "file").read_bytes() == b"octets"


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_disk_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, call):
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"octets")

    def fails(fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="Input/output error"):
        list(trees.copy_tree(str(source), str(tmp_path / "target")))


def test_everything_is_synchronised_and_never_by_who_has_others_to_serve(tmp_path, monkeypatch):
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_bytes(b"octets")
    synchronised = []

    def note(fd):
        assert threading.current_thread() is not threading.main_thread()
        synchronised.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "fdatasync", note)
    assert set(trees.copy_tree(str(source), str(tmp_path / "target"))) <= {0.0}
    assert synchronised == ["target", *["target/inner/file"] * 2, "target/inner"]
    assert set(trees.synchronise(str(tmp_path))) <= {0.0}
    assert synchronised[-1] == "."
