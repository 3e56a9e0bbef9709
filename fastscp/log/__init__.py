"""Logging: storescp's lines by default, DCMTK's configuration files, or JSON.

Loggers are those of the standard ``logging``; ask for them by the names in ``fastscp.log.names``.
"""

from fastscp.log.setup import configure
from fastscp.log.text import printable

__all__ = ["configure", "printable"]
