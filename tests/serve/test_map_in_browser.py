"""The Map tab in a real Chromium: drawn, coloured, hovered, lassoed, a query dropped in; with keys alone too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from support.browser import chromium, page
from support.page_collection import make_page_collection
from support.serve_app import server

pytestmark = pytest.mark.slow
SHOW_OVERLAY = """display => {
  for (const each of document.querySelectorAll(".map-labels, .map-canvas svg")) each.style.display = display;
}"""
TURNED = "before => document.querySelector('.map-query-at').getAttribute('transform') !== before"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def base(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server({"kb": make_page_collection(tmp_path_factory.mktemp("map"))}) as address:
        yield address


@pytest.fixture
def own(browser: Any, base: str) -> Iterator[Any]:
    """The Map tab, drawn by principal components."""
    with page(browser, base) as opened:
        opened.set_default_timeout(30_000)
        opened.goto("/?tab=map&projection=pca")
        opened.locator(".map-labels span").first.wait_for(state="attached")
        opened.wait_for_timeout(300)
        yield opened


def pixels(own: Any) -> np.ndarray:
    """The picture without what lies over it, [height, width, 3]."""
    from PIL import Image

    own.evaluate(SHOW_OVERLAY, "none")
    own.wait_for_timeout(300)
    shot = own.locator(".map-canvas").screenshot()
    own.evaluate(SHOW_OVERLAY, "")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))[4:-4, 4:-4]


def coloured(picture: np.ndarray) -> np.ndarray:
    """Where points are: pixels that are not grey."""
    return np.ptp(picture.astype(int), axis=2) > 25


def lasso_everything(own: Any) -> None:
    own.get_by_text("Lasso", exact=True).click()
    box = own.locator(".map-canvas").bounding_box()
    corners = [(5, 5), (box["width"] - 5, 5), (box["width"] - 5, box["height"] - 5), (5, box["height"] - 5)]
    own.mouse.move(box["x"] + 5, box["y"] + 5)
    own.mouse.down()
    for x, y in corners[1:]:
        own.mouse.move(box["x"] + x, box["y"] + y, steps=3)
    own.mouse.up()


def test_points_are_drawn_and_coloured_by_cluster_or_field(own: Any) -> None:
    first = coloured(pixels(own))
    assert first.sum() > 300
    own.get_by_role("combobox").select_option("kind")
    own.get_by_role("heading", name="kind").wait_for()
    assert coloured(pixels(own)).sum() > 300
    for kind in ("note", "guide"):
        own.get_by_role("checkbox", name=f"Show {kind}").uncheck()
    assert coloured(pixels(own)).sum() == 0
    own.get_by_role("button", name="Show all").click()
    own.get_by_role("combobox").select_option("year")
    own.locator(".map-ramp").wait_for()
    assert own.locator(".map-ramp").text_content().startswith("2000")


def test_hovering_shows_a_passage_and_a_click_opens_it(own: Any) -> None:
    rows, columns = np.nonzero(coloured(pixels(own)))
    at, box = len(rows) // 2, own.locator(".map-canvas").bounding_box()
    x, y = box["x"] + 4 + float(columns[at]), box["y"] + 4 + float(rows[at])
    own.mouse.move(x, y)
    tip = own.locator(".map-tip p")
    tip.wait_for()
    title = own.locator(".map-tip strong").text_content()
    assert title.startswith("The ")
    assert tip.text_content()
    own.mouse.click(x, y)
    own.locator(".panel", has_text=title).wait_for()


def test_a_lasso_lists_what_is_in_it_and_the_list_opens_documents(own: Any) -> None:
    lasso_everything(own)
    listed = own.locator(".map-listed")
    listed.wait_for()
    total = int(own.evaluate("fetch('v1/collections/kb/map').then(r => r.json()).then(m => m.points)"))
    assert f"{total} passages" in listed.text_content()
    button = listed.locator("button.map-passage:not(:disabled)").first
    document = button.get_attribute("data-opens")
    button.click()
    own.locator(".panel").wait_for()
    assert document in own.url.replace("%2F", "/")


def test_the_query_stands_among_its_neighbours_and_moves_with_the_map(own: Any) -> None:
    own.get_by_label("Query to place on the map").fill("where is the teapot kept")
    own.keyboard.press("Enter")
    own.locator(".map-listed li").nth(9).wait_for()
    own.locator(".map-listed li:first-child", has_text="teapot").wait_for()
    star = own.locator(".map-query-at")
    before = star.get_attribute("transform")
    assert own.locator(".map-query circle").count() == 10
    own.locator(".map-canvas").focus()
    own.keyboard.press("ArrowRight")
    own.wait_for_function(TURNED, arg=before)


def test_clusters_are_listed_by_keys_alone(own: Any) -> None:
    own.locator("button.map-entry").first.focus()
    own.keyboard.press("Enter")
    own.locator(".map-listed button.map-passage:not(:disabled)").first.focus()
    own.keyboard.press("Enter")
    own.locator(".panel").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Any, base: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with page(browser, base, color_scheme=scheme) as own:
        own.goto("/?tab=map&q=teapot&projection=pca")
        own.locator(".map-listed li").first.wait_for(timeout=30_000)
        own.wait_for_timeout(300)
        found = axe.Axe().run(own).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
