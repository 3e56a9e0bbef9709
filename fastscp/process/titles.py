"""Process titles that tell the roles apart in ``ps``."""

from __future__ import annotations

from setproctitle import setproctitle


def set_title(role: str) -> None:
    """Show ``fastscp: <role>`` as this process's command line."""
    setproctitle(f"fastscp: {role}")
