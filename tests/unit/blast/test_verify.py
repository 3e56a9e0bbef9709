from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastscp.blast.event_check import EventCheck
from fastscp.blast.kit import Ammunition
from fastscp.blast.numbering import INSTANCE, STUDY, Order
from fastscp.blast.plan import Plan, Target
from fastscp.blast.verify import DirectoryCheck, Findings, patiently
from fastscp.dicom import filemeta
from fastscp.errors import UsageError
from tests.support import datasets as ds
from tests.support.blast_peer import CLASS, RUN, TEMPLATE
from tests.support.fakes import Clock

AMMUNITION = Ammunition(Plan(Target("h", 1)), (TEMPLATE,), Order(2, 1, 4, 1), RUN)
SENT = set(range(8))


def octets(number: int) -> bytes:
    uids = AMMUNITION.uids(number)
    return filemeta.encode(CLASS.encode(), uids[INSTANCE], ds.EXPLICIT, b"") + bytes(TEMPLATE.patched(uids))


def uid(number: int) -> str:
    return AMMUNITION.uids(number)[INSTANCE].decode()


def kept(directory: Path, numbers: set[int]) -> DirectoryCheck:
    check = DirectoryCheck(str(directory))
    for number in numbers:
        (directory / f"{number}.dcm").write_bytes(octets(number))
    return check


def test_all_is_well(tmp_path: Path) -> None:
    check = kept(tmp_path, SENT)
    findings = check.look(AMMUNITION, SENT, SENT)
    assert (findings.good, findings.found) == (True, 8)


def test_what_was_not_acknowledged_may_be_there_or_not(tmp_path: Path) -> None:
    check = kept(tmp_path, {0, 1, 2})
    (tmp_path / "2.dcm").write_bytes(octets(2)[:-20])
    findings = check.look(AMMUNITION, {0, 1}, {0, 1, 2, 3})
    assert (findings.good, findings.found) == (True, 2)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(octets(6))
    check = kept(tmp_path, {0, 1, 2, 3, 7})
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "again").write_bytes(octets(1))
    (tmp_path / "2.dcm").write_bytes(octets(2)[:-1] + b"\1")
    (tmp_path / "other").write_bytes(octets(0).replace(uid(0).encode(), b"1.2.3".ljust(44, b"\0")))
    (tmp_path / ".hidden").write_bytes(octets(3))
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").write_bytes(b"")
    findings = check.look(AMMUNITION, SENT - {7}, SENT - {7})
    assert findings.lost == [uid(4), uid(5), uid(6)]
    assert findings.damaged == [f"{uid(2)} in 2.dcm: (7FE0,0010) differs at its octet 249"]
    assert findings.double == [f"{uid(1)} in 1.dcm and study/again"]
    assert findings.unasked == [f"{uid(7)} in 7.dcm: it was not sent", "1.2.3 in other"]
    assert (findings.good, findings.found) == (False, 3)


def test_a_file_under_another_study_is_damaged(tmp_path: Path) -> None:
    check = kept(tmp_path, {0})
    study, other = AMMUNITION.uids(0)[STUDY], AMMUNITION.uids(4)[STUDY]
    (tmp_path / "0.dcm").write_bytes(octets(0).replace(study, other))
    assert check.look(AMMUNITION, {0}, {0}).damaged[0].split(": ")[1].startswith("(0020,000D) differs")


def test_looks_again_until_all_is_well_or_the_time_is_up() -> None:
    clock = Clock(0.0)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        clock.now += seconds

    def look() -> Findings:
        looks.append(clock.now)
        return Findings(lost=[] if clock.now >= 3 else ["x"])

    assert patiently(look, 10, sleep, clock).good
    assert len(looks) > 2
    clock.now = 0.0
    assert not patiently(look, 2, sleep, clock).good
    assert clock.now == pytest.approx(2)
    clock.now, looks[:] = 0.0, []
    assert not patiently(look, 0, sleep, clock).good
    assert looks == [0.0]


def stored(number: int, **more: object) -> dict[str, object]:
    return {"event": "object.stored", "sop_instance_uid": uid(number), "calling_aet": "ME", **more}


def completed(study: int) -> dict[str, object]:
    return {"event": "study.completed", "study_uid": AMMUNITION.uids(study * 4)[STUDY].decode()}


def told(tmp_path: Path, *events: object, before: bytes = b"", behind: bytes = b"") -> Findings:
    path = tmp_path / "events"
    path.write_bytes(before)
    check = EventCheck(str(path), "ME")
    path.write_bytes(before + b"".join(json.dumps(event).encode() + b"\n" for event in events) + behind)
    return check.look(AMMUNITION, {0, 1, 4}, {0, 1, 2, 4})


def test_events_say_that_all_is_well(tmp_path: Path) -> None:
    findings = told(tmp_path, stored(0), stored(1), {"event": "association.closed"}, stored(4), completed(0), completed(1),
                    before=json.dumps(stored(7)).encode() + b"\n", behind=b'{"event":"obj')
    assert (findings.good, findings.found, findings.studies_ended) == (True, 3, 2)


def test_events_say_what_is_wrong(tmp_path: Path) -> None:
    findings = told(tmp_path, stored(0), stored(0), stored(2), stored(7), stored(4) | {"sop_instance_uid": "1.2.3"},
                    stored(4) | {"sop_instance_uid": "1.2.4", "calling_aet": "OTHER"}, completed(0), completed(0))
    assert findings.lost == [uid(1), uid(4)]
    assert findings.double == [f"{uid(0)}: 2 events"]
    assert findings.unasked == [f"{uid(7)}: it was not sent", "1.2.3: it was not sent"]
    assert [line.rpartition(": ")[2] for line in findings.studies] == ["ended 2 times", "ended 0 times"]
    assert (findings.found, findings.studies_ended) == (1, 0)


def test_events_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no event stream"):
        told(tmp_path, behind=b"what?\n")
    nowhere = EventCheck(str(tmp_path / "nowhere"), "ME")
    assert len(nowhere.look(AMMUNITION, {0}, {0}).lost) == 1
