from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.cli import conv
from fastscp.dicom import filemeta
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.errors import UsageError
from tests.support import datasets as ds
from tests.support.rawscu import CT_IMAGE, split_file


def _file(path: Path) -> Path:
    path.write_bytes(filemeta.encode(CT_IMAGE.encode(), b"1.2.3.4.5", ds.EXPLICIT, b"SENDER") + ds.HEAD)
    return path


@pytest.mark.parametrize(("words", "changes"), [
    ("", {}), ("+B", {"bit_preserving": True}), ("-F", {"file_format": False}),
    ("+te +tb +ti", {"transfer_syntax": ds.IMPLICIT}), ("+ti +t=", {}), ("-u -g -e", {
        "new_vrs": False, "group_lengths": GroupLengths.REMOVE, "explicit_lengths": False}),
    ("+p 512 64", {"file_padding": 512, "item_padding": 64}), ("+p 4 4 -p", {}),
    ("+td +cl 9", {"transfer_syntax": ds.DEFLATED, "compression_level": 9}),
    ("--group-length-create --convert-un", {"group_lengths": GroupLengths.CREATE, "convert_un": True}),
])
def test_options(words: str, changes: dict[str, object]) -> None:
    options, names = conv.parse([*words.split(), "a", "b"], {}.get)
    assert options == dataclasses.replace(OutputOptions(max_inflated_octets=0), **changes)  # one's own files have no limit
    assert names == ["a", "b"]


def test_dictionaries_come_from_the_environment() -> None:
    options, _ = conv.parse(["a", "b"], {"DCMDICTPATH": "/x:/y"}.get)
    assert options.dictionary_paths == ("/x", "/y")


@pytest.mark.parametrize("words", ["a", "a b c", "+x a b", "+p 1 a b", "+p", "+cl 10 a b", "+cl -1 a b"])
def test_usage_errors(words: str) -> None:
    with pytest.raises(UsageError):
        conv.parse(words.split(), {}.get)


def test_meta_information_is_kept_and_rewritten(tmp_path: Path) -> None:
    target = tmp_path / "out.dcm"
    assert conv.main(["+ti", str(_file(tmp_path / "in.dcm")), str(target)]) == 0
    written = split_file(target.read_bytes())
    assert (written.sop_class, written.sop_instance, written.transfer_syntax) == (CT_IMAGE, "1.2.3.4.5", ds.IMPLICIT)
    assert written.dataset == ds.IMPLICIT_HEAD
    with target.open("rb") as file:
        assert filemeta.read(file).source_ae_title == b"SENDER"


def test_bare_data_set(tmp_path: Path) -> None:
    target = tmp_path / "out.dcm"
    assert conv.main(["-F", str(_file(tmp_path / "in.dcm")), str(target)]) == 0
    assert target.read_bytes() == ds.HEAD


def test_a_failure_leaves_the_target_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = _file(tmp_path / "in.dcm")
    source.write_bytes(source.read_bytes() + ds.implicit(0xFFFEE0DD, b""))
    target = tmp_path / "out.dcm"
    target.write_bytes(b"precious")
    assert conv.main([str(source), str(target)]) == 1
    told = capfd.readouterr().err
    assert "(FFFE,E0DD)" in told
    assert "offset 52" in told
    assert target.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.dcm", "out.dcm"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(tmp_path: Path, there: bool) -> None:
    target, link = tmp_path / "target.dcm", tmp_path / "link.dcm"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    assert conv.main(["-F", str(_file(tmp_path / "in.dcm")), str(link)]) == 0
    assert link.is_symlink()
    assert target.read_bytes() == ds.HEAD


def test_a_pipe_gets_the_octets_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert conv.main(["-F", str(_file(tmp_path / "in.dcm")), str(pipe)]) == 0
        assert os.read(reader, 1000) == ds.HEAD
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_permissions_are_the_users_wish(tmp_path: Path) -> None:
    source, target = str(_file(tmp_path / "in.dcm")), tmp_path / "out.dcm"
    mask = os.umask(0o027)
    try:
        assert conv.main([source, str(target)]) == 0
        assert target.stat().st_mode & 0o777 == 0o640
        target.chmod(0o600)
        assert conv.main([source, str(target)]) == 0
        assert target.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(mask)


def test_missing_file_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert conv.main([str(tmp_path / "absent"), str(tmp_path / "out")]) == 1
    assert "absent" in capfd.readouterr().err


@pytest.mark.parametrize("target", ["nowhere/out.dcm", "."])
def test_impossible_target_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], target: str) -> None:
    given = str(tmp_path / target)
    assert conv.main([str(_file(tmp_path / "in.dcm")), given]) == 1
    assert capfd.readouterr().err.startswith(f"fastscp-conv: {given}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["in.dcm"]


def test_help_and_version(capfd: pytest.CaptureFixture[str]) -> None:
    assert conv.main([]) == 0
    assert "+te" in capfd.readouterr().out
    assert conv.main(["+B", "in", "out", "--help"]) == 0
    assert "+te" in capfd.readouterr().out
    assert conv.main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("$fastscp: fastscp-conv v")


@pytest.mark.parametrize("flag", ["-h", "--version"])
def test_a_reader_that_is_satisfied_early_is_no_failure(flag: str) -> None:
    script = f"set -o pipefail; {shlex.quote(sys.executable)} -m fastscp.cli.conv {flag} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_mistyped_option_is_guessed(capfd: pytest.CaptureFixture[str]) -> None:
    assert conv.main(["--write-xfer-litle", "a", "b"]) == 1
    assert capfd.readouterr().err == (
        "fastscp-conv: unknown option --write-xfer-litle\nhint: did you mean --write-xfer-little?\n")
