"""What callbacks are told is what the event says."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from fastscp import CompletedStudy, Refusal, StoredObject, StudyFile
from fastscp.embedding import records
from fastscp.study import events

WHEN = datetime.datetime(2026, 11, 25, 17, 11, 45, 860918, datetime.timezone.utc)
CALLER = {"calling_aet": "CT1", "called_aet": "GW", "peer": "192.0.2.7", "peer_host": "ct1.example", "port": 44870, "sender": "ct"}
PACKET = {"association": "a-1", **CALLER, "directory": "/in/st_1", "file": "CT.1", "sop_class": "1.2.840.10008.5.1.4.1.1.2",
          "sop_instance": "1.2.3", "study": "1.2", "series": "1.2.1", "modality": "CT", "transfer_syntax": "1.2.840.10008.1.2.1",
          "size": 2500, "duration_s": 0.25, "replaced": True, "duplicate": "replace", "sha256": "ab", "status": 0xC000,
          "tag": "7FE0,0010", "offset": 156, "reason": "data set ends inside a value"}


def test_a_stored_object():
    found = records.stored_object(events.object_stored(WHEN.timestamp(), CALLER, PACKET))
    assert found == StoredObject(
        time=WHEN, path=Path("/in/st_1/CT.1"), sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.3", study_uid="1.2",
        series_uid="1.2.1", modality="CT", transfer_syntax_uid="1.2.840.10008.1.2.1", size=2500, duration_s=0.25, replaced=True,
        duplicate="replace", sha256="ab", association="a-1", calling_aet="CT1", called_aet="GW", peer="192.0.2.7",
        peer_host="ct1.example", port=44870, sender="ct")
    assert found.status == 0


def test_a_completed_study():
    end = {"study_uid": "1.2", "directory": "/done/st_1", "reason": "timeout", "revision": 2}
    files = [events.study_object("CT.000001", PACKET), events.study_object("CT.000002", {**PACKET, "sop_instance": "1.2.4"})]
    found = records.completed_study(events.study_completed(WHEN.timestamp(), end, CALLER, files))
    assert found == CompletedStudy(
        time=WHEN, study_uid="1.2", directory=Path("/done/st_1"), reason="timeout", revision=2, objects=tuple(
            StudyFile(path=Path("/done/st_1", name), series_uid="1.2.1", sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid=uid,
                      transfer_syntax_uid="1.2.840.10008.1.2.1") for name, uid in (("CT.000001", "1.2.3"), ("CT.000002", "1.2.4"))),
        **CALLER)


def test_refusals_of_every_kind():
    when = WHEN.timestamp()
    refused = records.refusal(events.object_refused(when, {**PACKET, "directory": None, "file": None}))
    assert (refused.kind, refused.status, refused.tag, refused.offset, refused.path) == ("object", 0xC000, "7FE0,0010", 156, None)
    assert refused.reason == "data set ends inside a value"
    assert (refused.sop_instance_uid, refused.calling_aet, refused.association, refused.time) == ("1.2.3", "CT1", "a-1", WHEN)
    kept = records.refusal(events.object_quarantined(when, PACKET))
    assert (kept.kind, kept.path) == ("quarantine", Path("/in/st_1/CT.1"))
    rejected = records.refusal(events.association_rejected(when, {**CALLER, "reason": "refused"}))
    assert rejected == Refusal(time=WHEN, kind="association", reason="refused", **CALLER)
    closed = records.refusal(events.connection_refused(when, {**CALLER, "reason": "access denied"}))
    assert closed == Refusal(time=WHEN, kind="connection", reason="access denied", peer="192.0.2.7", peer_host="ct1.example", port=44870)


def test_records_do_not_change():
    found = records.stored_object(events.object_stored(0, CALLER, PACKET))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.size = 3
    assert all(type(kind).__module__ and dataclasses.is_dataclass(kind) for kind in (StoredObject, CompletedStudy, StudyFile, Refusal))
