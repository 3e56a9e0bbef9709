"""The live page in headless Chromium, with a service that receives."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.metrics import Scraper
from tests.support.objects import CT, CT_CONTEXT, EXPLICIT_LE, data_set, fresh_uid
from tests.support.rawscu import RawSCU, c_store_rq, p_data, pdv
from tests.support.servers import FastscpServer, free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<img src=x>"
LIMIT_MS = 30_000

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="needs Chromium (apt-get install chromium)")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[FastscpServer, str]]:
    (tmp_path / "in").mkdir()
    port = free_port()
    with FastscpServer(["--workers", "2", "-dhl", "--metrics", str(port), "-od", tmp_path / "in", "-su", "study", "-tos", "2",
                        "--exec-on-eostudy", "exit 3"]) as server:
        yield server, Scraper(port).base


def opened(browser: Any, url: str, **options: Any) -> tuple[Any, list[str]]:
    """Open the page; return it, and what went wrong in it or was asked of anybody else."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(LIMIT_MS)
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith((url, "data:")) else trouble.append(request.url))
    page.goto(url + "/")
    return page, trouble


def text_of(page: Any, selector: str, wanted: str) -> str:
    """Wait until an element has a text; return all of it."""
    page.wait_for_function("([selector, wanted]) => document.querySelector(selector).textContent.includes(wanted)",
                           arg=[selector, wanted])
    return str(page.text_content(selector))


def test_everything_of_the_service_is_seen(browser: Any, service: tuple[FastscpServer, str]) -> None:
    server, url = service
    page, trouble = opened(browser, url)
    text_of(page, "#state", "receiving")
    text_of(page, "#associations", "No association is open.")
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate(CT_CONTEXT, calling=EVIL)
        for _ in range(5):
            uid = fresh_uid()
            assert scu.store(1, CT, uid, data_set(uid, study="1.2.3")) == 0
        uid = fresh_uid()
        assert scu.store(1, CT, uid, data_set(fresh_uid(), study="1.2.3")) != 0
        uid = fresh_uid()
        content = data_set(uid, study="1.2.3", pixels=30_000)
        scu.send(p_data(pdv(1, 3, c_store_rq(CT, uid))) + p_data(pdv(1, 0, content[:16_000])))
        shown = text_of(page, "#associations", "CTImageStorage")
        assert EVIL in shown
        assert "127.0.0.1" in shown
        text_of(page, "#studies", "1.2.3")
        refusals = text_of(page, "#refusals", "A900")
        assert EVIL in refusals
        scu.send(p_data(pdv(1, 2, content[16_000:])))
        assert scu.read_status() == 0
        scu.release()
    text_of(page, "#associations", "No association is open.")
    text_of(page, "#completed", "timeout")
    text_of(page, "#hooks", "status 3")
    text_of(page, "#disk", "free")
    figures = text_of(page, "#figures", "Objects stored6")
    assert "Failures1" in figures
    page.wait_for_selector("#rate path.first", state="attached")
    assert "at most" in page.text_content("#rate-text")
    assert page.locator("img").count() == 0  # what a peer calls itself is text
    assert trouble == []


def test_it_follows_the_scheme_and_fits_a_phone(browser: Any, service: tuple[FastscpServer, str]) -> None:
    server, url = service
    with RawSCU("127.0.0.1", server.port) as scu:
        scu.associate([(1, CT, [EXPLICIT_LE])], calling="A" * 16)
        background = {}
        for scheme in ("light", "dark"):
            page, trouble = opened(browser, url, viewport={"width": 360, "height": 780}, color_scheme=scheme)
            text_of(page, "#associations", "A" * 16)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            background[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert trouble == []
        assert background["light"] != background["dark"]
        scu.release()


def test_it_can_be_used_by_keyboard_and_screen_reader(browser: Any, service: tuple[FastscpServer, str]) -> None:
    _, url = service
    page, _ = opened(browser, url)
    text_of(page, "#state", "receiving")
    assert page.get_by_role("status").text_content() == "receiving"
    headings = [heading.text_content() for heading in page.get_by_role("heading", level=2).all()]
    assert len(headings) == 10
    for title in ("Associations", "Studies open", "Hooks", "Last refusals", "Processes"):
        page.get_by_role("region", name=title).first.wait_for()
    plot = page.get_by_role("img").first
    assert plot.get_attribute("aria-labelledby") == "rate-text"
    reached = set()
    for _number in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-labelledby')"))
    assert {"associations-title", "studies-title", "refusals-title", "processes-title"} <= reached
    assert page.get_by_role("columnheader", name="Memory").count() == 1
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_service_that_goes_is_told_and_one_that_comes_back_is_shown(browser: Any, service: tuple[FastscpServer, str]) -> None:
    server, url = service
    page, _ = opened(browser, url)
    text_of(page, "#state", "receiving")
    (monitor,) = server.role("monitor")
    monitor.suspend()
    monitor.kill()
    text_of(page, "#link", "connection lost")
    page.wait_for_function("wanted => document.querySelector('#link').textContent === wanted", arg="")
    text_of(page, "#state", "receiving")
