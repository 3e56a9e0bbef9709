"""What the associations of one worker process share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fastscp.config import Config
from fastscp.dicom.rewrite import Shapes
from fastscp.proc.loop import Loop
from fastscp.proc.reporter import Reporter, new_incarnation
from fastscp.store.sink import OutputDirectory
from fastscp.study.policy import Sorting
from fastscp.ul.answers import Answers

_BUFFER_OCTETS = 1 << 20  #: a CT image in one or two reads: each costs as much as a few elements (perf/bench.py)


class Shared:
    """Made once per worker process and handed to every connection; raises StorageError."""

    def __init__(self, config: Config, loop: Loop, finished: Callable[[Any], None]) -> None:
        self.config = config
        self.loop = loop
        self.finished = finished  #: to be called with a connection that has closed
        #: everything is received here; nothing in it may be kept without a copy
        self.buffer = memoryview(bytearray(_BUFFER_OCTETS))
        self.directory = OutputDirectory(config.store.output_directory or "/")
        self.answers = Answers(config.negotiation)
        self.shapes = Shapes()
        self.incarnation = new_incarnation(time.time())
        self.reporter = Reporter(loop, self.incarnation)
        self.reports = config.needs_coordinator  #: objects are told of
        self.durable = config.keeps_studies  #: an answer waits until the coordinator has it in its state
        self.places = config.study.sorting is not Sorting.NONE and config.keeps_studies  #: it decides directories
