"""Packets as workers send them, with everything that a test does not care about filled in."""

from __future__ import annotations

from typing import Any


def hello(incarnation: str, unacknowledged: int = 0) -> dict[str, Any]:
    return {"kind": "hello", "incarnation": incarnation, "unacknowledged": unacknowledged}


def opened(association: str, calling: str = "SCU", peer: str = "127.0.0.1") -> dict[str, Any]:
    return {"kind": "opened", "association": association, "calling_aet": calling, "called_aet": "SCP", "peer": peer,
            "peer_host": peer, "port": 1024, "max_pdu": 16384}


def closed(association: str, how: str = "released") -> dict[str, Any]:
    return {"kind": "closed", "association": association, "how": how, "stored": 0, "refused": 0, "octets": 0}


def place(request: int, study: str, association: str = "a", patient: str = "A^B") -> dict[str, Any]:
    return {"kind": "place", "request": request, "association": association, "study": study, "patient": patient,
            "charset": ""}


def abandoned(request: int) -> dict[str, Any]:
    return {"kind": "abandoned", "request": request}


def stored(event: int, study: str, directory: str, file: str = "CT.1", **fields: Any) -> dict[str, Any]:
    return {"kind": "stored", "event": event, "request": None, "keeps": False, "association": "a", "directory": directory,
            "file": file, "sop_class": "1.2.840.10008.5.1.4.1.1.2", "sop_instance": f"{study}.{file}", "study": study,
            "series": f"{study}.1", "modality": "CT", "prefix": file[:2], "transfer_syntax": "1.2.840.10008.1.2",
            "size": 100, "duration_s": 0.01, "replaced": False, "unchanged": False, "duplicate": None, "sha256": None, **fields}


def refused(association: str, status: int | None = 0xC000, **fields: Any) -> dict[str, Any]:
    return {"kind": "refused", "association": association, "calling_aet": "SCU", "called_aet": "SCP", "peer": "127.0.0.1",
            "peer_host": "localhost", "port": 1024, "directory": None, "file": None,
            "sop_class": "1.2.840.10008.5.1.4.1.1.2", "sop_instance": "1.2.3", "study": "1.2", "series": "", "modality": "",
            "transfer_syntax": "1.2.840.10008.1.2", "duration_s": 0.01, "status": status, "tag": "0010,0010",
            "offset": 236, "reason": "data set ends inside a value", **fields}


def rejected(reason: str = "no") -> dict[str, Any]:
    return {"kind": "rejected", "calling_aet": "SCU", "called_aet": "SCP", "peer": "127.0.0.1", "peer_host": "localhost",
            "port": 1024, "reason": reason}
