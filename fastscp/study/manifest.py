"""The manifest of a study: a JSON object with its series, instances and counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastscp.study.event_types import SCHEMA_VERSION
from fastscp.study.events import instance

FILE_NAME = "manifest.json"


def build(uid: str, directory: str, completed: str, revision: int,
          objects: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the manifest of (file name now, ``stored`` packet) pairs in order of arrival."""
    series: dict[str, dict[str, Any]] = {}
    octets = count = 0
    for name, stored in objects:
        entry = series.setdefault(stored["series"], {
            "series_uid": stored["series"], "modality": stored["modality"], "instances": []})
        entry["instances"].append({
            **instance(stored), "file": name, "size": stored["size"], "sha256": stored["sha256"]})
        octets += stored["size"]
        count += 1
    return {
        "schema": SCHEMA_VERSION, "study_uid": uid, "directory": directory, "completed": completed,
        "revision": revision,
        "counts": {"series": len(series), "instances": count, "octets": octets}, "series": list(series.values()),
    }
