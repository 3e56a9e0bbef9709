"""Make docs/images/live.png, a picture of the live page under traffic: ``python -m tests.support.picture [SECONDS]`` (90).

A service sorts studies and runs hooks; senders with different titles bring images and reports at a rate that any machine can bear, and
one of them brings what is refused. Headless Chromium takes the picture while they do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.metrics import Scraper
from tests.support.objects import CT, CT_CONTEXT, data_set, fresh_uid
from tests.support.rawscu import RawSCU
from tests.support.servers import FastscpServer, free_port, wait_until

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "live.png"
SENDERS = (("CT1", "ct", "4", "3"), ("MR_NORTH", "mr", "25", "3"), ("MR_SOUTH", "mr", "14", "1"), ("REPORTS", "sr", "9", "2"))


@contextmanager
def traffic(port: int, seconds: int) -> Iterator[None]:
    """Have every sender send for so many seconds."""
    loads = [subprocess.Popen(
        [sys.executable, "-m", "fastscp.cli.blast", "-q", "-aet", title, "-aec", "GATEWAY", "--load", load, "--rate", rate, "--associations", number,
         "--objects-per-association", "60", "--objects", "40", "--ramp", "20", "--bandwidth", "900K", "--duration", str(seconds), "127.0.0.1", str(port)])
        for title, load, rate, number in SENDERS]
    try:
        yield
    finally:
        for load in loads:
            load.terminate()
            load.wait()


def refuse_something(port: int) -> None:
    """Send an object that is not the one its request speaks of, and one that ends too early."""
    with RawSCU("127.0.0.1", port) as scu:
        scu.associate(CT_CONTEXT, calling="OLD_CR")
        scu.store(1, CT, fresh_uid(), data_set(fresh_uid()))
        uid = fresh_uid()
        scu.store(1, CT, uid, data_set(uid)[:-100])
        scu.release()


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    with tempfile.TemporaryDirectory() as name:
        metrics = free_port()
        options = ["-dhl", "-aet", "GATEWAY", "--workers", "2", "-od", name, "-su", "STUDY", "-tos", "5", "-xcs", "sleep 2", "--metrics", str(metrics)]
        with FastscpServer(options) as server, traffic(server.port, seconds + 30), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1100, "height": 1180}, color_scheme="light")
            page.goto(Scraper(metrics).base)
            end = time.monotonic() + seconds
            wait_until(lambda: time.monotonic() > end - 10, "the plot has something to show", seconds + 30.0)
            refuse_something(server.port)
            wait_until(lambda: time.monotonic() > end, "the refusals are seen", 60.0)
            page.screenshot(path=str(PICTURE))
            browser.close()


if __name__ == "__main__":
    main()
