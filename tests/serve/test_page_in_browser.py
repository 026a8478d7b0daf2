"""The page as people use it: in a real Chromium, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.browser import chromium, page
from support.page_collection import SYMBOLS, make_page_collection
from support.serve_app import server

pytestmark = pytest.mark.slow
QUESTION = "where is the teapot kept"
PHONE = {"width": 390, "height": 844, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def base(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = make_page_collection(tmp_path_factory.mktemp("page"))
    with server({"kb": folder}) as address:
        yield address


def first_title(own: Any) -> Any:
    return own.locator("[data-hit]").first


def parameters(own: Any) -> dict[str, str]:
    return own.evaluate("Object.fromEntries(new URLSearchParams(location.search))")


def test_results_come_while_typing_and_open_at_their_passage(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto("/")
        own.get_by_label("Query").press_sequentially(QUESTION, delay=20)
        own.locator("li:first-child > .hit", has_text="teapot").wait_for()
        marks = own.locator(".hit").first.locator("mark").all_text_contents()
        first_title(own).click()
        passage = own.locator(".panel mark")
        passage.wait_for()

        assert "teapot" in marks
        assert "The teapot is kept in the teapot room." in passage.text_content()
        assert not passage.text_content().startswith(SYMBOLS[-1])
        assert passage.is_visible()
        assert own.locator(".panel").text_content().count("<script>") == 1  # shown as the text that it is
        assert own.title().startswith(QUESTION)
        assert parameters(own)["q"] == QUESTION


def test_the_passage_is_the_one_that_was_found_though_symbols_stand_before_it(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto(f"/?q={QUESTION}&k=1")
        title = first_title(own)
        title.wait_for()
        start, end = map(int, re.search(r"at=(\d+)-(\d+)", title.get_attribute("href")).groups())  # type: ignore[union-attr]
        title.click()
        own.locator(".panel mark").wait_for()
        shown = own.locator(".panel-text").text_content()

        assert own.locator(".panel mark").text_content() == shown[start:end]


def test_filters_of_the_fields_and_conditions_are_in_the_address(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto(f"/?q={QUESTION}&by=document")
        own.get_by_role("checkbox", name="note").check()
        own.locator(".hit", has_text="guide").first.wait_for(state="detached")
        own.get_by_label("year, from").fill("2002")
        own.get_by_label("year, from").press("Enter")
        own.wait_for_url("**f.year=**")
        shared = own.url
        own.get_by_label("Condition").fill("id like 'notes/t%'")
        own.get_by_label("Condition").press("Enter")
        own.wait_for_url("**&where=**")
        own.locator(".hit").nth(2).wait_for(state="detached")
        places = own.locator(".hit-place").all_text_contents()
        own.go_back()

        assert {place.split(":")[0] for place in places} == {"notes/teapot.md", "notes/thimble.md"}
        assert own.url == shared

        own.goto(shared)
        own.locator(".chip").nth(1).wait_for()
        assert own.locator(".chip").all_text_contents() == ["kind: note", "year: from 2002"]
        own.get_by_role("button", name="Without kind: note").click()
        own.locator(".hit", has_text="guide").first.wait_for()


def test_a_field_of_many_values_is_filtered_by_a_part_of_them(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto(f"/?q={QUESTION}&by=document")
        own.get_by_label("place").fill("m 2 OF G")
        own.get_by_label("place").press("Enter")
        own.locator(".hit").nth(1).wait_for(state="detached")

        assert own.locator(".hit-place").all_text_contents() == ["guides/teapot.md"]
        assert own.locator(".chip").all_text_contents() == ["place: with m 2 OF G"]


def test_a_condition_that_is_not_understood_is_explained(browser: Any, base: str) -> None:
    with page(browser, base, allowed="status of 400") as own:
        own.goto(f"/?q={QUESTION}")
        own.get_by_label("Condition").fill("year >")
        own.get_by_label("Condition").press("Enter")
        own.get_by_role("alert").wait_for()

        assert "column" in own.get_by_role("alert").text_content()
        assert own.get_by_label("Condition").get_attribute("aria-invalid") == "true"


def test_why_these_results_shows_each_stage(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto(f"/?q={QUESTION}")
        own.get_by_role("checkbox", name="Why these").check()
        own.locator(".why").first.wait_for()

        stages = own.locator(".why").first.locator("dt").all_text_contents()
        widths = own.locator(".why").first.locator(".bar > span").evaluate_all("all => all.map(e => e.offsetWidth)")
        assert stages == ["Meaning", "Words"]
        assert all(width > 10 for width in widths)


def test_two_versions_side_by_side(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto(f"/?q={QUESTION}")
        own.get_by_label("Compare with").select_option("v2")
        own.locator(".versus section").nth(1).locator(".hit").first.wait_for()
        own.locator(".versus-lines path").first.wait_for(state="attached")
        columns = [
            own.get_by_role("region", name=name).locator("[data-hit]").all_text_contents() for name in ("v1", "v2")
        ]
        badges = own.locator(".versus .moved").all_text_contents()

        assert columns[0][0] in columns[1]
        assert columns[0] != columns[1]
        assert {"new", "gone"} & set(badges)
        assert re.search(r"\d+ results? in the same place", own.locator(".moved-summary").text_content())


def test_everything_is_reached_by_keys(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto("/?tab=versions")
        own.locator(".version").first.wait_for()
        own.keyboard.press("/")
        own.get_by_label("Query").wait_for()
        own.keyboard.type(QUESTION)
        first_title(own).wait_for()
        own.keyboard.press("ArrowDown")
        own.keyboard.press("ArrowDown")
        second = own.evaluate("document.activeElement.getAttribute('href')")
        own.keyboard.press("Enter")
        own.locator(".panel mark").wait_for()
        own.keyboard.press("Escape")
        own.locator(".panel").wait_for(state="detached")
        own.wait_for_function("href => document.activeElement.getAttribute('href') === href", arg=second)
        own.keyboard.press("w")
        own.locator(".why").first.wait_for()
        own.keyboard.press("Escape")
        assert own.evaluate("document.activeElement.getAttribute('aria-label')") == "Query"
        own.keyboard.press("Tab")
        own.keyboard.press("?")
        own.get_by_role("dialog", name="Keys").wait_for()
        own.keyboard.press("Escape")
        own.get_by_role("dialog").wait_for(state="detached")
        own.keyboard.press("5")
        own.get_by_role("heading", name="Health of kb").wait_for()


def test_an_answer_streams_in_and_its_citation_jumps_to_the_passage(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto("/?tab=ask")
        own.get_by_label("Question").fill("where is the violin kept?")
        own.get_by_role("button", name="Ask", exact=True).click()
        own.locator(".cite").first.wait_for()
        own.locator(".verdict").wait_for()
        own.locator(".cite").first.click()
        quoted = own.locator(".panel mark")
        quoted.wait_for()

        assert quoted.text_content() in own.locator(".answer-text").text_content()
        assert "violin" in quoted.text_content()
        assert parameters(own)["tab"] == "ask"


def test_a_switch_is_confirmed_and_rolled_back(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto("/?tab=versions")
        live = own.locator(".version.is-live h2")
        live.wait_for()
        own.get_by_role("button", name="Gate report").click()
        own.get_by_role("dialog", name="Gate report of v2").get_by_text("Quality, speed and size").first.wait_for()
        own.keyboard.press("Escape")
        own.get_by_role("button", name="Switch to v2…").click()
        own.get_by_role("button", name="Cancel").click()
        assert live.text_content() == "v1"

        own.get_by_role("button", name="Switch to v2…").click()
        own.get_by_role("dialog").get_by_role("button", name="Switch to v2", exact=True).click()
        own.locator(".version.is-live h2", has_text="v2").wait_for()
        assert "v2 answers now" in own.get_by_role("status").first.text_content()

        own.get_by_role("button", name="Roll back…").click()
        own.get_by_role("dialog").get_by_role("button", name="Roll back", exact=True).click()
        own.locator(".version.is-live h2", has_text="v1").wait_for()


def test_health_shows_charts_and_checks(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        own.goto("/?tab=health")
        chart = own.get_by_role("img", name=re.compile("^Golden queries"))
        chart.focus()
        own.keyboard.press("ArrowLeft")

        assert "mean" in own.locator(".tip").text_content()
        assert own.get_by_role("rowheader", name="canaries").count() == 1


@pytest.mark.parametrize("tab", ["search", "ask", "versions", "health"])
def test_a_phone_shows_it_all_without_scrolling_sideways(browser: Any, base: str, tab: str) -> None:
    with page(browser, base, **PHONE) as own:
        own.goto(f"/?tab={tab}&q={QUESTION}", wait_until="networkidle")
        widest = own.evaluate("document.documentElement.scrollWidth")
        if tab == "search":
            own.locator("summary", has_text="Filters").click()
            own.get_by_role("checkbox", name="guide").check()
            first_title(own).click()
            own.locator(".panel mark").wait_for()
            widest = max(widest, own.evaluate("document.documentElement.scrollWidth"))

        assert widest <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "address",
    [
        "",
        f"?q={QUESTION}&why=1&f.kind=guide",
        f"?q={QUESTION}&vs=v2",
        f"?q={QUESTION}&doc=guides/teapot.md&at=261-425",
        "?tab=ask&q=where+is+the+violin+kept",
        "?tab=versions",
        "?tab=health",
    ],
)
def test_axe_finds_no_serious_fault(browser: Any, base: str, address: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with page(browser, base, color_scheme=scheme, bypass_csp=True) as own:
        own.goto(f"/{address}", wait_until="networkidle")
        found = axe.run(own).response["violations"]

    serious = [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []


def test_the_first_load_is_small_and_the_map_is_not_part_of_it(browser: Any, base: str) -> None:
    with page(browser, base) as own:
        received: dict[str, int] = {}
        own.on("response", lambda answer: received.__setitem__(answer.url, len(answer.body())))
        own.goto("/", wait_until="networkidle")

        assert sum(received.values()) < 300_000
        assert not [url for url in received if "/map-" in url]
