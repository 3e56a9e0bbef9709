"""The compiled core (``_core.pyx``), where it was built: what is hot and needs no decision.

``ACTIVE`` is False where it was not built, or is not wanted (``FASTSCP_PURE=1`` in the environment): everything works
the same then, octet for octet, and takes longer. ``Header``, ``Depot``, ``Lane``, ``Files`` and ``Walk`` are there only where it is True.
"""

from __future__ import annotations

import os
from typing import Final

_active = False
if not os.environ.get("FASTSCP_PURE"):
    try:
        from fastscp._core import Depot, Files, Header, Lane, Walk
    except ImportError:
        pass  # not built here
    else:
        _active = True

ACTIVE: Final = _active

__all__ = ["ACTIVE", "Depot", "Files", "Header", "Lane", "Walk"]
