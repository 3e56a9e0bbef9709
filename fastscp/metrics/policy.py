"""Where the metrics are served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricsPolicy:
    """``--metrics``."""

    port: int
    address: str = "127.0.0.1"
