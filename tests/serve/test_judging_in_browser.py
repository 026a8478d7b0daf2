"""The page's judging view: begun, judged by keys alone, taken back, and read aloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import chromium, page
from support.judged_topics import TOPICS
from support.serve_app import make_collection, server

pytestmark = pytest.mark.slow
QUERIES = [f"where is the {topic} kept" for topic in TOPICS]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def base(tmp_path: Path) -> Iterator[str]:
    texts = [f"The {one} is kept beside the {two} 🧭. Ask its keeper." for one in TOPICS for two in TOPICS[:3]]
    documents = [{"id": f"notes/{number}.md", "text": text} for number, text in enumerate(texts)]
    with server({"kb": make_collection(tmp_path, documents)}) as address:
        yield address


def _begin(own: Any, name: str = "ada") -> None:
    own.goto("/?tab=judge")
    own.get_by_label("What users ask").fill("\n".join([*QUERIES, "", QUERIES[0]]))
    own.get_by_label("Your name").fill(name)
    own.get_by_role("button", name=f"Begin with {len(QUERIES)} queries").click()
    own.locator(".judge-task").wait_for()


def _press(own: Any, key: str) -> None:
    """Press a key and wait for what comes of it."""
    with own.expect_response(lambda answer: answer.request.method == "POST"):
        own.keyboard.press(key)


def test_passages_are_judged_by_keys_and_taken_back(browser: Any, base: str) -> None:
    with page(browser, base, allowed="404") as own:
        _begin(own)
        assert own.locator(".judge-task mark").first.is_visible()
        first = own.locator(".judge-task").text_content()
        _press(own, "2")
        own.get_by_text("1 judged").wait_for()
        second = own.locator(".judge-task").text_content()
        assert own.evaluate("document.activeElement.textContent") in QUERIES  # read aloud next
        assert own.get_by_role("status").first.text_content().startswith("Judged: relevant. 1 passage judged.")
        _press(own, "s")
        own.get_by_text("Judged: cannot be told.").wait_for(state="attached")
        _press(own, "u")
        own.get_by_text("The last judgment is taken back.").wait_for(state="attached")
        assert own.locator(".judge-task").text_content() == second != first
        own.keyboard.press("9")  # no such grade
        own.keyboard.press("5")  # nor a tab, here
        assert "tab=judge" in own.url
        own.reload()
        own.get_by_text("1 judged").wait_for()
        assert own.get_by_label("Judging as").input_value() == "ada"


def test_an_undo_without_a_judgment_and_a_passage_judged_elsewhere_are_explained(browser: Any, base: str) -> None:
    with page(browser, base, allowed="404|409") as own, page(browser, base, allowed="409") as other:
        _begin(own)
        assert own.get_by_role("button", name="undo").is_disabled()
        other.add_init_script("localStorage.setItem('gnomon.annotator', 'ada')")
        other.goto("/?tab=judge")
        other.locator(".judge-task").wait_for()
        _press(own, "0")
        own.get_by_text("1 judged").wait_for()
        _press(other, "0")
        other.get_by_role("alert").wait_for()
        assert "not the one that is to be judged now" in other.get_by_role("alert").text_content()
        other.get_by_role("button", name="Try again").click()
        other.get_by_role("alert").wait_for(state="detached")
        other.get_by_text("1 judged").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault_and_a_phone_shows_it_all(browser: Any, base: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with page(browser, base, width=390, height=844, color_scheme=scheme, bypass_csp=True, allowed="404") as own:
        own.goto("/?tab=judge")
        own.get_by_label("What users ask").wait_for()
        found = axe.run(own).response["violations"]
        _begin(own)
        found += axe.run(own).response["violations"]
        assert own.evaluate("document.documentElement.scrollWidth") <= 390

    serious = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []
