"""Turns a :class:`LogPolicy` into handlers of the standard ``logging``."""

from __future__ import annotations

import logging
import sys

from fastscp.log import names
from fastscp.log.policy import LogPolicy


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = names.level_name(record.levelno)[0] + ": "
        return "\n".join(prefix + line for line in super().format(record).split("\n"))


def configure(policy: LogPolicy) -> None:
    """Replace whatever logging is set up with what ``policy`` says."""
    logging.addLevelName(names.TRACE, "TRACE")
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    root.addHandler(handler)
    root.setLevel(names.LEVELS[policy.level])
