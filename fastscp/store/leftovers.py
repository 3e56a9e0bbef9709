"""What a worker process left when it was killed."""

from __future__ import annotations

import contextlib
import os

from fastscp.store.sink import TEMPORARY_PREFIX


def remove_stale_temporaries(directory: str, pid: int) -> list[str]:
    """Remove what a dead worker process left under hidden names; return the names removed."""
    removed = []
    for name in os.listdir(directory):
        if name.startswith(f"{TEMPORARY_PREFIX}{pid}-") and name.endswith(".tmp"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))
                removed.append(name)
    return removed
