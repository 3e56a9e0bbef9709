"""The manifest of a study: a JSON object with its series, instances and counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastscp.study.event_types import SCHEMA_VERSION
from fastscp.study.events import instance

FILE_NAME = "manifest.json"


class Manifest:
    """The objects of a study so far, in order of arrival."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, Any]] = {}
        self._octets = self._count = 0

    def add(self, name: str, stored: Mapping[str, Any]) -> None:
        """Take the object of a ``stored`` packet, by the name that its file has now."""
        entry = self._series.setdefault(stored["series"], {
            "series_uid": stored["series"], "modality": stored["modality"], "instances": []})
        entry["instances"].append({
            **instance(stored), "file": name, "size": stored["size"], "sha256": stored["sha256"]})
        self._octets += stored["size"]
        self._count += 1

    def content(self, uid: str, directory: str, completed: str, revision: int) -> dict[str, Any]:
        """Return what the manifest says of a study."""
        return {
            "schema": SCHEMA_VERSION, "study_uid": uid, "directory": directory, "completed": completed,
            "revision": revision,
            "counts": {"series": len(self._series), "instances": self._count, "octets": self._octets},
            "series": list(self._series.values()),
        }
