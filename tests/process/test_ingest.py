"""fastscp-ingest as a program: what it reads, what it says, what becomes of sources."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.ingest import Run, ingest, made, tree


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "in"
    (directory / "b").mkdir(parents=True)
    (directory / "a.dcm").write_bytes(made(1))
    (directory / "b" / "c").write_bytes(made(2, meta=False))
    (directory / "b" / "readme").write_text("nothing of interest")
    return directory


def run(out: Path, *arguments: str | Path, **others: object) -> Run:
    return ingest(["-od", out, *arguments], report=out.parent / "report", **others)  # type: ignore[arg-type]


def test_a_directory(out: Path, source: Path) -> None:
    done = run(out, source)
    assert done.status == 0
    assert sorted(tree(out)) == ["CT.1.2.3.1", "CT.1.2.3.2"]
    assert done.report == [
        {"source": str(source / "a.dcm"), "result": "stored", "target": str(out / "CT.1.2.3.1"), "reason": None},
        {"source": str(source / "b" / "c"), "result": "stored", "target": str(out / "CT.1.2.3.2"), "reason": None},
        {"source": str(source / "b" / "readme"), "result": "not-dicom", "target": None, "reason": "not DICOM"}]
    assert f"W: not DICOM: {source}/b/readme\n" in done.errors
    assert "2 stored, 1 not DICOM; " in done.errors


def test_strict(out: Path, source: Path) -> None:
    assert run(out, "--strict", source).status == 1


def test_quiet(out: Path, source: Path) -> None:
    assert run(out, "-q", source).errors == ""


@pytest.mark.parametrize("arguments", [[], ["--nonsense", "x"], ["--workers", "0", "x"], ["-ss"], ["-od", "/nowhere", "x"]])
def test_usage(arguments: list[str], tmp_path: Path) -> None:
    done = ingest(arguments, cwd=tmp_path)
    assert done.status == (2 if arguments else 0)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_refused(out: Path) -> None:
    done = run(out, "gone")
    assert (done.status, done.results()) == (1, {"gone": "refused"})


def test_patterns_are_expanded(out: Path, source: Path) -> None:
    assert run(out, f"{source}/**/[ac]*").status == 0
    assert sorted(tree(out)) == ["CT.1.2.3.1", "CT.1.2.3.2"]


@pytest.mark.parametrize(("option", "end"), [([], b"\n"), (["-0"], b"\0"), (["--null"], b"\0")])
def test_lists_on_standard_input(out: Path, source: Path, option: list[str], end: bytes) -> None:
    names = [bytes(source / "a.dcm"), bytes(source / "b")]
    assert run(out, *option, "-", stdin=end.join(names) + end * (len(option) % 2)).status == 0
    assert sorted(tree(out)) == ["CT.1.2.3.1", "CT.1.2.3.2"]


def test_a_name_that_is_no_text(out: Path, source: Path) -> None:
    path = os.fsencode(source) + b"/\xff\n"
    with open(path, "wb") as file:
        file.write(made(7))
    done = run(out, source)
    assert done.status == 0
    assert done.report[-1]["source"] == f"{source}/\\xff\n" or done.report[1]["source"] == f"{source}/\\xff\n"


def test_links_are_followed_when_asked_and_loops_end(out: Path, source: Path) -> None:
    (source / "b" / "up").symlink_to(source)
    (source / "z").symlink_to(source / "a.dcm")
    done = run(out, source)
    assert done.status == 0
    assert [line["reason"] for line in done.report if line["result"] == "skipped"] == ["a symbolic link"] * 2
    done = run(out, "--follow-links", source)
    assert done.status == 0
    assert [os.path.basename(str(line["source"])) for line in done.report] == ["a.dcm", "z", "c", "readme"]


def test_what_it_writes_is_no_source(source: Path) -> None:
    out = source / "out"
    out.mkdir()
    (out / "own").write_bytes(made(9))
    done = ingest(["-od", out, source], report=source.parent / "report")
    assert done.status == 0
    assert "own" not in done.results()


def test_dry_run_says_and_does_nothing(out: Path, source: Path) -> None:
    (source / "bad").write_bytes(made(3)[:-40])
    done = run(out, "--dry-run", "-su", "S", source)
    assert done.status == 1
    assert list(out.iterdir()) == []
    assert done.output.splitlines() == [
        f"would store {source}/a.dcm as {out}/S_1.2.9/CT.1.2.3.1",
        f"refused {source}/bad: (7FE0,0010) data set ends inside a value, offset 302",
        f"would store {source}/b/c as {out}/S_1.2.9/CT.1.2.3.2",
        f"not-dicom {source}/b/readme: not DICOM"]
    assert done.results() == {"a.dcm": "would-store", "bad": "refused", "c": "would-store", "readme": "not-dicom"}


def test_link(out: Path, source: Path) -> None:
    """Only a file that is what would be written becomes the object: one that fastscp wrote for the same title."""
    assert run(out, "-aet", "ONE", source).status == 0
    second = out.parent / "second"
    second.mkdir()
    assert ingest(["-od", second, "-aet", "ONE", "--link", out]).status == 0
    assert {path.name: path.stat().st_ino for path in second.glob("CT*")} == {
        path.name: path.stat().st_ino for path in out.glob("CT*")}
    third = out.parent / "third"
    third.mkdir()
    assert ingest(["-od", third, "-aet", "OTHER", "--link", out]).status == 0
    assert sorted(tree(third)) == sorted(tree(second))
    assert all(path.stat().st_nlink == 1 for path in third.glob("CT*"))


@pytest.mark.parametrize("title", ["ONE", "OTHER"])
def test_move(out: Path, source: Path, title: str) -> None:
    large = made(4, pixels=300_000)
    (source / "large").write_bytes(large)
    assert run(out, "-aet", "ONE", source).status == 0
    inodes = {path.name: path.stat().st_ino for path in out.glob("CT*")}
    (out / "bad").write_bytes(made(3)[:-40])
    second = out.parent / "second"
    second.mkdir()
    assert ingest(["-od", second, "-aet", title, "--move", out]).status == 1
    assert list(tree(out)) == ["bad"]
    assert {path.name: path.stat().st_ino for path in second.glob("CT*")} == inodes or title == "OTHER"
    assert large[-300_000:] == (second / "CT.1.2.3.4").read_bytes()[-300_000:]


def test_a_file_that_has_its_name_already_is_not_removed(out: Path, source: Path) -> None:
    assert run(out, "-aet", "ONE", source).status == 0
    before = tree(out)
    for title in ("ONE", "OTHER"):
        for placement in ("--move", "--link", "--copy"):
            assert ingest(["-od", out, "-aet", title, placement, *out.glob("CT*")]).status == 0
    assert ingest(["-od", out, "-aet", "ONE", "--move", *out.glob("CT*")]).status == 0
    assert tree(out) == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".fastscp-")] == []


@pytest.mark.parametrize(("rule", "left", "there"), [
    ("keep", True, b"\x01"), ("compare", True, b"\x01"), ("refuse", True, b"\x01"), ("replace", False, b"\x02"), ("rename", False, b"\x01")])
def test_duplicates_follow_the_rule_and_nothing_is_lost(out: Path, source: Path, rule: str, left: bool, there: bytes) -> None:
    assert run(out, source / "a.dcm").status == 0
    (source / "a.dcm").write_bytes(made(1)[:-64] + b"\x02" * 64)
    done = run(out, "--on-duplicate", rule, "--move", source / "a.dcm")
    assert done.status == (1 if rule == "refuse" else 0)
    octets = {octets[-1:] for octets in tree(out).values()} | {path.read_bytes()[-1:] for path in source.glob("a.dcm")}
    assert b"\x02" in octets
    assert (out / "CT.1.2.3.1").read_bytes()[-1:] == there
    assert (source / "a.dcm").exists() == left or rule == "compare"


def test_another_name_of_what_is_there_is_removed(out: Path, source: Path) -> None:
    assert run(out, "-aet", "ONE", source / "a.dcm").status == 0
    os.link(out / "CT.1.2.3.1", source / "again")
    assert ingest(["-od", out, "-aet", "ONE", "--move", source / "again"]).status == 0
    assert not (source / "again").exists()
    assert (out / "CT.1.2.3.1").stat().st_nlink == 1


def test_a_damaged_archive_gives_what_stands_before_the_damage(out: Path, source: Path) -> None:
    whole = out.parent / "x.tar.gz"
    for number in range(3, 60):
        (source / f"x{number}").write_bytes(made(number) + os.urandom(3000))
    with tarfile.open(whole, "w:gz") as packed:
        packed.add(source, "in")
    whole.write_bytes(whole.read_bytes()[:100_000])
    done = run(out, "+B", whole)
    assert done.status == 1
    assert 20 < len(tree(out)) < 58
    assert done.report[-1]["result"] == "refused"
    assert str(done.report[-1]["reason"]).startswith("archive cannot be read")


def test_a_zip_with_an_odd_member(out: Path, source: Path) -> None:
    with zipfile.ZipFile(out.parent / "x.zip", "w") as packed:
        packed.write(source / "a.dcm", "../../evil/a.dcm")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        packed.writestr(link, "/etc/passwd")
    done = run(out, out.parent / "x.zip")
    assert done.results() == {"a.dcm": "stored", "link": "skipped"}
    assert sorted(tree(out.parent)) == ["in/a.dcm", "in/b/c", "in/b/readme", "out/CT.1.2.3.1", "report", "x.zip"]


def test_archives_in_directories_are_opened_and_others_are_not_dicom(out: Path, source: Path) -> None:
    with tarfile.open(source / "x.tar", "w") as packed:
        packed.add(source / "a.dcm", "m1")
        packed.add(source / "b" / "readme", "m2.tar")
    (source / "a.dcm").unlink()
    done = run(out, source)
    assert done.results() == {"m1": "stored", "m2.tar": "not-dicom", "c": "stored", "readme": "not-dicom"}


def test_quarantine(out: Path, source: Path) -> None:
    odd = out.parent / "odd"
    odd.mkdir()
    (source / "bad").write_bytes(made(3)[:-40])
    done = run(out, "--quarantine", odd, source)
    assert done.status == 1
    assert done.results()["bad"] == "quarantined"
    assert len(list(odd.glob("*.json"))) == 1


def test_files_get_titles_and_hooks_run(out: Path, source: Path) -> None:
    done = run(out, "-aet", "THERE", "-aec", "HERE", "-xcr", "echo #a #c #r #f >>#p/../calls", source)
    assert done.status == 0
    # hooks run side by side, in the order of their starts, which need not be that of their ends
    assert sorted((out.parent / "calls").read_text().splitlines()) == [
        "THERE HERE localhost CT.1.2.3.1", "THERE HERE localhost CT.1.2.3.2"]


def test_events_of_one_association(out: Path, source: Path) -> None:
    import json

    (source / "bad").write_bytes(made(3)[:-40])
    log = out.parent / "events"
    assert run(out, "--event-log", log, "--event-digest", "-su", "S", source).status == 1
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "association.opened", "study.opened", "object.stored", "object.refused", "object.stored", "association.closed",
        "series.completed", "study.completed"]
    assert (events[-3]["stored"], events[-3]["refused"], events[-3]["how"]) == (2, 1, "released")


def test_synchronous_hooks_come_one_after_another(out: Path, source: Path) -> None:
    assert run(out, "-xs", "-xcr", "test ! -e #p/lock && touch #p/lock && ls #p | wc -l >>#p/../calls; rm #p/lock", source).status == 0
    assert len((out.parent / "calls").read_text().splitlines()) == 2


def test_umask_and_workers(out: Path, source: Path) -> None:
    assert run(out, "--umask", "077", "--workers", "1", source).status == 0
    assert (out / "CT.1.2.3.1").stat().st_mode & 0o777 == 0o600


def test_two_at_once_do_not_share_a_state_directory(out: Path, source: Path) -> None:
    from fastscp.ingest.journal import Lock

    lock = Lock(out / ".fastscp")
    try:
        done = ingest(["-od", out, "--state-dir", out.parent / "state", source])
        assert done.status == 0
    finally:
        lock.close()


def test_a_report_that_cannot_be_written_ends_the_run(out: Path, source: Path) -> None:
    done = ingest(["-od", out, "--report", "/dev/full", source])
    assert done.status == 3
    assert "report /dev/full cannot be written: No space left on device, giving up" in done.errors


def test_a_report_on_standard_output(out: Path, source: Path) -> None:
    done = ingest(["-od", out, "--report", "/dev/stdout", source])
    assert (done.status, len(done.output.splitlines())) == (0, 3)
