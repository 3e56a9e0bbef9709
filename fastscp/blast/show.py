"""What is shown of a run: a live line on a terminal, lines elsewhere, and the tables at its end.

Both are rich's on a terminal where it is installed (``fastscp[blast]``), and plain text otherwise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Protocol

from fastscp.blast.result import Result
from fastscp.blast.tally import SLICE_S, Book

_RECENT_SLICES = 4


class Show(Protocol):
    """Somewhere to show it."""

    every_s: float  #: between two calls of ``update``

    def update(self, book: Book, elapsed_s: float) -> None:
        """Show how far the run is."""

    def say(self, text: str) -> None:
        """Show one line."""

    def done(self) -> None:
        """Take away what moves."""


class Silent:
    """Nowhere."""

    every_s = 1.0

    def update(self, book: Book, elapsed_s: float) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Show nothing."""

    def done(self) -> None:
        """Show nothing."""


class Lines:
    """Lines on standard error."""

    every_s = 5.0

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def update(self, book: Book, elapsed_s: float) -> None:
        """Write a line."""
        self.say(progress_line(book, elapsed_s))

    def say(self, text: str) -> None:
        """Write one line."""
        self._write(f"{text}\n")

    def done(self) -> None:
        """Nothing moves."""


class Live(Lines):
    """A line that moves, on a terminal."""

    every_s = 0.25

    def __init__(self, rich: Any, write: Callable[[str], object]) -> None:
        super().__init__(write)
        self._status = rich.status.Status("connecting ...", console=rich.console.Console(file=sys.stderr))
        self._started = False

    def update(self, book: Book, elapsed_s: float) -> None:
        """Move the line."""
        if not self._started:  # not before the processes are forked: it has a thread
            self._started = True
            self._status.start()
        self._status.update(progress_line(book, elapsed_s))

    def done(self) -> None:
        """Take the line away."""
        if self._started:
            self._status.stop()


def progress_line(book: Book, elapsed_s: float) -> str:
    """Return how far the run is, in one line."""
    recent = [book.slices[number] for number in sorted(book.slices)[-_RECENT_SLICES:]]
    seconds = max(len(recent) * SLICE_S, SLICE_S)
    p99 = max((part.latency.quantile_ms(0.99) for part in recent), default=0.0)
    return (f"{elapsed_s:.0f} s: {book.objects} objects, {sum(part.objects for part in recent) / seconds:.0f}/s, "
            f"{sum(part.octets for part in recent) / seconds / 1e6:.1f} MB/s, p99 {p99:.1f} ms, "
            f"{sum(book.open.values())} associations open, {book.failures} failed")


def show(*, quiet: bool, write: Callable[[str], object]) -> Show:
    """Return what suits standard error."""
    if quiet:
        return Silent()
    if os.isatty(2):
        rich = _rich()
        if rich is not None:
            return Live(rich, write)
    return Lines(write)


def _rich() -> Any | None:
    """Load rich; None where it is not installed."""
    try:
        import rich.console  # noqa: PLC0415 - an extra, and only for a terminal
        import rich.status  # noqa: PLC0415 - likewise
        import rich.table  # noqa: PLC0415 - likewise
    except ImportError:
        return None
    return rich


def report(result: Result, write: Callable[[str], object]) -> None:
    """Show the tables on standard output."""
    rich = _rich() if os.isatty(1) else None
    if rich is None:
        write(plain(result))
        return
    console = rich.console.Console()
    table = rich.table.Table(show_header=False)
    for row in result.rates():
        table.add_row(*row)
    console.print(table)
    head, *rows = result.latencies()
    table = rich.table.Table(*head)
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    for line in result.remarks():
        console.print(line, style="red" if line.startswith("WARNING") else None, markup=False, highlight=False)


def plain(result: Result) -> str:
    """Return the tables as text."""
    lines = [f"{name:<14}{value}" for name, value in result.rates()]
    lines.append("")
    lines += [f"{row[0]:<14}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in result.latencies()]
    remarks = list(result.remarks())
    return "\n".join([*lines, *([""] if remarks else []), *remarks]) + "\n"
