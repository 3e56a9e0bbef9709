"""``--log-json``: one JSON object a line, for programs that collect logs."""

from __future__ import annotations

import logging

from fastscp import jsontext
from fastscp.log import names
from fastscp.log.layouts import message, timestamp

#: Says in the same shape how many messages were lost.
NOTICE = b'{"level":"warn","logger":"root","message":"%d log messages were lost"}\n'


class JSONLayout:
    """Lays a record out as ``{"time", "level", "logger", "process", "message"}``; the time is UTC.

    The facts of a message come as fields of their own: those that the record carries in ``fields``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        entry = {
            "time": timestamp(record, "%Y-%m-%dT%H:%M:%S.%qZ", utc=True),
            "level": names.level_name(record.levelno).lower(),
            "logger": record.name,
            "process": record.process,
            "message": message(record).encode("utf-8", "replace").decode("utf-8"),
        }
        facts = getattr(record, "fields", {})
        return jsontext.dumps({**entry, **facts, **entry}).decode("utf-8") + "\n"
