"""A real headless Chromium, and pages that hear of every error and of every request elsewhere."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The browser of the system. Skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium on this system: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Heard:
    """What a page should never give rise to."""

    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


@contextlib.contextmanager
def page(
    browser: Any, base: str, *, width: int = 1280, height: int = 900, allowed: str = "$.", **context: Any
) -> Iterator[Any]:
    """A page of a fresh context, whose addresses are relative to `base`.

    At its end it must have raised no error, logged none but those that `allowed` fits, and asked no other server for
    anything.
    """
    heard = Heard()

    def hear(said: Any) -> None:
        if not re.search(allowed, said.text):
            heard.errors.append(said.text)

    options = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce", **context}
    inside = browser.new_context(base_url=base, **options)
    try:
        own = inside.new_page()
        own.set_default_timeout(10_000)
        own.on("pageerror", lambda error: heard.errors.append(str(error)))
        own.on("console", lambda said: hear(said) if said.type in ("error", "warning") else None)
        own.on("request", lambda request: request.url.startswith(base) or heard.elsewhere.append(request.url))
        yield own
        assert heard == Heard()
    finally:
        inside.close()
