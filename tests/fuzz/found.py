"""What fuzzing found, made small; each is run with the seeds for ever. name of the target -> (why it was wrong, octets)."""

from __future__ import annotations

FOUND: dict[str, list[tuple[str, bytes]]] = {
    "pdus": [],
    "negotiation": [],
    "commands": [],
    "datasets": [],
    "lane": [],
}
