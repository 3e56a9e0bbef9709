"""The manifests of studies that ended, written beside their files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import orjson

from fastscp import jsontext
from fastscp.coordinator import beneath
from fastscp.coordinator.progress import Progress
from fastscp.log.names import APPLICATION
from fastscp.study import manifest

_log = logging.getLogger(APPLICATION)


class Descriptions:
    """Writes manifests; ``wall`` is the time of day. With ``durable`` they are on the disk when they are written."""

    def __init__(self, wall: Callable[[], float], *, durable: bool) -> None:
        self._wall = wall
        self._durable = durable

    def write(self, progress: Progress, directory: str) -> Iterator[float]:
        """Write the manifest into ``directory``, in steps; it names the place to which that will have moved."""
        description = manifest.Manifest()
        for page, more in progress.pages():
            for row, stored in page:
                description.add(row.name, stored)
            if more:
                yield 0.0
        plan = progress.plan
        completed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._wall()))
        content = description.content(plan.uid, plan.final_directory, completed, plan.revision)
        octets = jsontext.dumps(content, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        try:
            beneath.write(directory, manifest.FILE_NAME, octets, durable=self._durable)
        except OSError as error:
            _log.error("cannot write %s: %s", manifest_path(directory), error.strerror)


def manifest_path(directory: str) -> str:
    """Return where the manifest of a study in ``directory`` is."""
    return f"{directory}/{manifest.FILE_NAME}"
