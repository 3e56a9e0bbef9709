"""Logging: storescp's lines by default, DCMTK's configuration files, or JSON."""

from fastscp.log.setup import configure

__all__ = ["configure"]
