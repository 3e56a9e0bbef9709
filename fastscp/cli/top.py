"""fastscp-top: what a running fastscp does, in the terminal, as its live page shows it in the browser.

usage: fastscp-top [options] [URL]

It reads ``/status`` of a service with ``--metrics`` again and again. Exit status 0, or 1 with a message.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from fastscp import __date__, __version__
from fastscp.cli.output import write
from fastscp.errors import FastscpError, ProcessError, UsageError
from fastscp.log.text import printable

DEFAULT_URL: Final = "http://127.0.0.1:9100"
#: short flag, long flag, argument, help
OPTIONS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("-h", "--help", "", "print this help text and exit"),
    ("", "--version", "", "print version information and exit"),
    ("-n", "--interval", "seconds", "look again after so many seconds (default: 2)"),
    ("", "--once", "", "print it once and exit"),
)
_TIMEOUT_S = 10.0
_POINTS = 60
_BARS = " ▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for."""

    url: str = DEFAULT_URL
    interval_s: float = 2.0
    once: bool = False


@dataclass
class Rates:
    """What changes from look to look."""

    objects: deque[float] = field(default_factory=lambda: deque(maxlen=_POINTS))
    octets: deque[float] = field(default_factory=lambda: deque(maxlen=_POINTS))
    _last: tuple[float, float, float] | None = None

    def look(self, status: dict[str, Any]) -> None:
        """Take another look."""
        now, objects, octets = status["time"], stored(status)[0], total(status, "fastscp_object_bytes_total")
        if self._last is not None:
            seconds = max(0.001, now - self._last[0])
            self.objects.append(max(0.0, (objects - self._last[1]) / seconds))
            self.octets.append(max(0.0, (octets - self._last[2]) / seconds))
        self._last = now, objects, octets


def total(status: dict[str, Any], name: str) -> float:
    """Return the sum of a metric over its labels."""
    return float(sum(one["value"] for one in status["metrics"].get(name, ())))


def stored(status: dict[str, Any]) -> tuple[float, float]:
    """Return how many objects were stored, and how many were not."""
    ok = bad = 0.0
    for one in status["metrics"].get("fastscp_objects_total", ()):
        if one["status"] == "0000" or one["status"].startswith("B"):
            ok += one["value"]
        else:
            bad += one["value"]
    return ok, bad


def octets_text(octets: float) -> str:
    """Return a number of octets as one reads it."""
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1000:
            return f"{octets:.0f} {unit}" if unit == "B" or octets >= 100 else f"{octets:.1f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def seconds_text(seconds: float) -> str:
    """Return a time as one reads it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def spark(values: Iterable[float]) -> str:
    """Return a line of bars, the last value at the right."""
    points = list(values)
    most = max(points, default=0.0)
    return "".join(_BARS[round((len(_BARS) - 1) * value / most)] if most else _BARS[0] for value in points).rjust(_POINTS)


def view(status: dict[str, Any], rates: Rates, url: str, rich: Any) -> Any:
    """Return what is shown, as something that rich can print. Texts of peers are printed as they are, never as markup."""
    ok, bad = stored(status)
    metrics, ready = status["metrics"], status["ready"]
    broken = ", ".join(f"{name}: {check['detail']}" for name, check in ready["checks"].items() if not check["ok"])
    head = rich.Text.assemble(
        ("fastscp ", "bold"), status["version"], "  ", ("receiving" if ready["ok"] else f"not ready ({broken})",
                                                        "bold green" if ready["ok"] else "bold red"),
        f"  up {seconds_text(status['time'] - status['started'])}  {url}")
    figures = rich.Text.assemble(
        f"objects {ok:,.0f}   octets {octets_text(total(status, 'fastscp_object_bytes_total'))}   failures ",
        (f"{bad:,.0f}", "red" if bad else ""),
        f"   associations {metrics['fastscp_associations_open']:.0f}   studies {metrics['fastscp_studies_open']:.0f}"
        f"   hooks {metrics['fastscp_hooks_running']:.0f} run, {metrics['fastscp_hooks_queued']:.0f} wait"
        f"   workers {metrics['fastscp_workers_up']:.0f} of {metrics['fastscp_workers_wanted']:.0f}")
    plots = rich.Text.assemble(
        ("objects/s ", "bold"), (spark(rates.objects), "cyan"), f" {rates.objects[-1] if rates.objects else 0:,.0f}\n",
        ("octets/s  ", "bold"), (spark(rates.octets), "green"), f" {octets_text(rates.octets[-1] if rates.octets else 0)}")
    disks = rich.Text("   ".join(f"{one['directory']}: {octets_text(one['value'])} free"
                                 for one in metrics.get("fastscp_disk_free_bytes", ())))
    return rich.Group(head, figures, plots, disks, *_tables(status, rich))


def _tables(status: dict[str, Any], rich: Any) -> Iterable[Any]:
    yield _table(rich, "Associations", ("Peer", "Calling", "Called", "Current object", "Rate", "Stored", "Failures", "Open"), [
        (one["peer"], one["calling_aet"], one["called_aet"], one["object"] or "none", f"{octets_text(one['octets_per_second'])}/s",
         str(one["stored"]), str(one["refused"]), seconds_text(one["seconds"])) for one in status["associations"][:10]])
    yield _table(rich, "Studies", ("Study", "Objects", "State", "Directory"), [
        *((one["study_uid"], str(one["objects"]), "open", one["directory"]) for one in status["studies"]["open"][:4]),
        *((one["study_uid"], str(one["objects"]), one["reason"], one["directory"]) for one in status["studies"]["completed"][:4])])
    yield _table(rich, "Hooks", ("At", "Hook", "End", "Time", "Directory"), [
        (_clock(one["time"]), one["hook"], "ok" if one["status"] == 0 else str(one["status"]), seconds_text(one["seconds"]),
         one["directory"]) for one in status["hooks"]["ended"][:4]])
    yield _table(rich, "Last refusals", ("At", "Peer", "What", "Status", "Reason"), [
        (_clock(one["time"]), f"{one['calling_aet']} {one['peer']}".strip(), one["what"], one["status"], one["reason"])
        for one in status["refusals"][:5]])


def _table(rich: Any, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    table = rich.Table(title=title, title_justify="left", expand=True, box=None, header_style="dim", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*(rich.Text(printable(cell)) for cell in row))
    return table


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


def fetch(url: str) -> dict[str, Any]:
    """Return the status of the service at ``url``. Raises ProcessError."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/status", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - checked in parse
            found = orjson.loads(answer.read())
    except (OSError, ValueError) as error:
        raise ProcessError(f"no status at {url}: {error}") from error
    if not isinstance(found, dict) or "metrics" not in found:
        raise ProcessError(f"what answers at {url} is no fastscp")
    return found


def parse(arguments: Sequence[str]) -> Wanted | str:
    """Return what is wanted, or the text of help or version. Raises UsageError."""
    urls: list[str] = []
    interval_s, once, words = 2.0, False, list(arguments)
    while words:
        word = words.pop(0)
        if word in {"-h", "--help", "--version"}:
            return _version() if word == "--version" else _help()
        if word == "--once":
            once = True
        elif word in {"-n", "--interval"}:
            interval_s = _interval(words.pop(0) if words else "")
        elif word.startswith("-"):
            raise UsageError(f"Unknown option {word}")
        else:
            urls.append(word)
    if len(urls) > 1:
        raise UsageError("Too many parameters")
    return Wanted(_url(urls[0]) if urls else DEFAULT_URL, interval_s, once)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise UsageError(f"Invalid value for option --interval ({text})")
    return seconds


def _url(text: str) -> str:
    """Complete what was given: a port, an address and a port, or an address of the web."""
    if text.isdecimal():
        return f"http://127.0.0.1:{text}"
    url = text if "://" in text else f"http://{text}"
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise UsageError(f"not an address of the web: {text}")
    return url


def _help() -> str:
    lines = [_version(), "usage: fastscp-top [options] [URL]", "", "parameter:",
             f"  {'URL':36} of a service with --metrics: URL, [address:]port (default: {DEFAULT_URL})", "", "options:"]
    lines += [f"  {short:5} {f'{long} {argument}':30} {text}" for short, long, argument, text in OPTIONS]
    return "\n".join(lines) + "\n"


def _version() -> str:
    return f"$fastscp: fastscp-top v{__version__} {__date__} $\n"


class _Rich:
    """What is used of rich. Raises ProcessError where it is not installed."""

    def __init__(self) -> None:
        try:
            from rich.console import Console, Group  # noqa: PLC0415 - only here
            from rich.live import Live  # noqa: PLC0415
            from rich.table import Table  # noqa: PLC0415
            from rich.text import Text  # noqa: PLC0415
        except ImportError as error:
            raise ProcessError("fastscp-top needs the Python package rich: install fastscp[metrics]") from error
        self.Console, self.Group, self.Live, self.Table, self.Text = Console, Group, Live, Table, Text


def show(wanted: Wanted, rich: Any, sleep: Callable[[float], None] = time.sleep) -> int:
    """Show the service until interrupted, or once. Raises ProcessError when there is none at the start."""
    rates, console = Rates(), rich.Console()
    status = fetch(wanted.url)
    rates.look(status)
    if wanted.once:
        with console.capture() as printed:  # not printed by rich: whoever reads may have read enough
            console.print(view(status, rates, wanted.url, rich))
        return write(1, printed.get())
    with rich.Live(view(status, rates, wanted.url, rich), console=console, screen=True, auto_refresh=False) as live:
        while True:
            sleep(wanted.interval_s)
            try:
                status = fetch(wanted.url)
            except ProcessError as error:
                live.update(rich.Text(f"{error}\ntrying again", style="bold red"), refresh=True)
                continue
            rates.look(status)
            live.update(view(status, rates, wanted.url, rich), refresh=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fastscp-top`` with ``argv`` (default: ``sys.argv``) and return its exit status."""
    try:
        wanted = parse((sys.argv if argv is None else argv)[1:])
        return write(1, wanted) if isinstance(wanted, str) else show(wanted, _Rich())
    except KeyboardInterrupt:
        return 0
    except FastscpError as error:
        write(2, f"fastscp-top: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
