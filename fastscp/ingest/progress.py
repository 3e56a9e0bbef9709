"""What is shown of a run while it goes on: a bar on a terminal, else a line now and then.

The bar is rich's, where it is installed (``fastscp[ingest]``), and is loaded only when it is shown. How many files there
are is found out by a process of its own beside the run, so that nothing waits for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from fastscp.ingest.tally import Tally


class Progress(Protocol):
    """Somewhere to show it."""

    every_s: float  #: between two calls of ``show``
    wants_total: bool  #: it is worth counting

    def show(self, tally: Tally, total: int | None) -> None:
        """Show how far the run is; ``total`` sources, as far as they are known."""

    def end(self, tally: Tally) -> None:
        """Show the result."""


class Silent:
    """Nowhere."""

    every_s = 3600.0
    wants_total = False

    def show(self, tally: Tally, total: int | None) -> None:
        """Show nothing."""

    def end(self, tally: Tally) -> None:
        """Show nothing."""


class Lines:
    """Lines on standard error."""

    every_s = 10.0
    wants_total = False

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._began = clock()

    def show(self, tally: Tally, total: int | None) -> None:
        """Write a line."""
        del total
        self._write(self._line(tally) + "\n")

    def end(self, tally: Tally) -> None:
        """Write the last line."""
        self._write(self._line(tally) + "\n")

    def _line(self, tally: Tally) -> str:
        elapsed_s = max(self._clock() - self._began, 1e-6)
        return f"{tally}; {size_text(tally.octets)} in {elapsed_s:.1f} s ({tally.stored / elapsed_s:.0f} objects/s)"


class Bar(Lines):
    """A bar on a terminal."""

    every_s = 0.2
    wants_total = True

    def __init__(self, rich: Any, write: Callable[[str], object]) -> None:
        super().__init__(write)
        self._bar = rich.Progress(
            rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(),
            rich.TextColumn("{task.fields[rate]}"), rich.TimeRemainingColumn(), transient=True, console=rich.console)
        self._task = self._bar.add_task("ingest", total=None, rate="")
        self._bar.start()

    def show(self, tally: Tally, total: int | None) -> None:
        """Move the bar."""
        elapsed_s = max(self._clock() - self._began, 1e-6)
        failed = tally.refused + tally.quarantined
        rate = (f"{tally.stored / elapsed_s:.0f} objects/s  {size_text(tally.octets)}  "
                f"{size_text(tally.octets / elapsed_s)}/s  {failed} failed")
        self._bar.update(self._task, completed=tally.seen, total=None if total is None else max(total, tally.seen), rate=rate)

    def end(self, tally: Tally) -> None:
        """Take the bar away, and write the last line."""
        self._bar.stop()
        super().end(tally)


def progress(*, quiet: bool, write: Callable[[str], object]) -> Progress:
    """Return what suits standard error."""
    if quiet:
        return Silent()
    if os.isatty(2):
        bar = _rich()
        if bar is not None:
            return Bar(bar, write)
    return Lines(write)


def _rich() -> Any | None:
    """Load rich; None where it is not installed."""
    try:
        from rich import progress as bars  # noqa: PLC0415 - an extra, and only for a terminal
        from rich.console import Console  # noqa: PLC0415 - likewise
    except ImportError:
        return None
    bars.console = Console(file=sys.stderr)
    return bars


def size_text(octets: float) -> str:
    """Return a number of octets as one reads it."""
    for unit in ("octets", "kB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "octets" else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"
