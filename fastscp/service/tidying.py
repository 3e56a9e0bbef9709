"""Removes what processes that are gone left behind: at the start, and when a worker takes the place of one that died."""

from __future__ import annotations

import logging

from fastscp.log.names import APPLICATION
from fastscp.log.text import printable
from fastscp.store.leftovers import tidy
from fastscp.store.policy import StorePolicy

_log = logging.getLogger(APPLICATION)


def remove_leftovers(store: StorePolicy) -> None:
    """Remove what processes that are gone left in the output directory and in the quarantine."""
    if store.ignore:
        return
    for directory in filter(None, (store.output_directory, store.quarantine)):
        try:
            removed = tidy(directory)
        except OSError as error:
            _log.warning("cannot look for what was left in %s: %s", printable(directory), error.strerror)
        else:
            if removed:
                _log.info("removed %d files from %s that dead processes left", len(removed), printable(directory))
