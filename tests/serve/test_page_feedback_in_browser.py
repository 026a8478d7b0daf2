"""The page says what was opened and which results are right, where the server keeps a query log."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.collection import logged_searches
from support.browser import chromium, page
from support.page_collection import make_page_collection
from support.serve_app import server
from support.serve_process import until

pytestmark = pytest.mark.slow


def test_what_is_opened_and_thumbed_goes_to_the_log(tmp_path: Path) -> None:
    folder = make_page_collection(tmp_path)
    with chromium() as browser, server({"kb": folder}, query_log=True) as base, page(browser, base) as own:
        own.goto("/?q=where+is+the+teapot+kept")
        own.locator(".hit").first.wait_for()
        shown = own.locator("[data-hit]").first.get_attribute("data-opens")
        thumb = own.get_by_role("button", name="right:").nth(1)
        thumb.click()
        assert thumb.get_attribute("aria-pressed") == "true"
        own.locator("[data-hit]").first.click()
        own.locator(".panel mark").wait_for()
        until(lambda: sum(len(events) for _, events in logged_searches(folder)) == 2)
        events = [event for _, found in logged_searches(folder) for event in found]
        assert [(event.kind, event.position) for event in events] == [("up", 2), ("click", 1)]
        assert events[1].document == shown
        assert events[0].session == events[1].session != ""


def test_without_a_log_there_are_no_thumbs(tmp_path: Path) -> None:
    folder = make_page_collection(tmp_path)
    with chromium() as browser, server({"kb": folder}) as base, page(browser, base) as own:
        own.goto("/?q=where+is+the+teapot+kept")
        own.locator(".hit").first.wait_for()
        assert own.get_by_role("button", name="right:").count() == 0
