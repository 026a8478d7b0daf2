"""The page where something is wrong, or under way: keys, errors, a server that is gone, a version being built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gnomon.migrate import Migration
from gnomon.serve.security.keys import KeyFile
from gnomon.serve.settings import ChatSettings
from support.browser import chromium, page
from support.endpoint_server import endpoint_server, says
from support.page_collection import make_page_collection
from support.serve_app import server

pytestmark = pytest.mark.slow
QUESTION = "where is the teapot kept"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_page_collection(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    with server({"kb": folder, "more": folder}) as address:
        yield address


def test_a_key_is_asked_for_and_kept_out_of_the_address(browser: Any, folder: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.create("reader")
    with server({"kb": folder}, keys=keys.path) as base, page(browser, base, allowed="status of 40[13]") as own:
        own.goto(f"/?q={QUESTION}")
        prompt = own.get_by_role("dialog", name="API key")
        prompt.get_by_label("Key", exact=True).fill("gnomon_wrong")
        prompt.get_by_role("button", name="Use this key").click()
        prompt.get_by_text("does not accept this key").wait_for()
        prompt.get_by_label("Key", exact=True).fill(token)
        own.keyboard.press("Enter")
        own.locator(".hit").first.wait_for()

        assert token not in own.url
        assert own.evaluate("localStorage.length") == 0

        own.goto("/?tab=versions")
        own.get_by_role("button", name="Switch to v2…").click()
        own.get_by_role("dialog").get_by_role("button", name="Switch to v2", exact=True).click()
        assert "admin" in own.get_by_role("dialog").get_by_role("alert").text_content()


def test_a_server_that_is_busy_is_asked_again(browser: Any, base: str) -> None:
    busy = {"error": {"message": "more work is waiting than the server takes on", "hint": "try again later"}}
    with page(browser, base, allowed="status of 429") as own:
        own.route(
            "**/search",
            lambda route: route.fulfill(status=429, headers={"retry-after": "2"}, body=json.dumps(busy)),
            times=1,
        )
        own.goto(f"/?q={QUESTION}")
        said = own.get_by_role("alert").text_content()
        own.locator(".hit").first.wait_for()

    assert "more work is waiting" in said
    assert "Trying again in" in said


def test_a_server_that_is_gone_is_said_and_tried_again(browser: Any, base: str) -> None:
    with page(browser, base, allowed="ERR_CONNECTION_REFUSED") as own:
        own.goto("/")
        own.route("**/search", lambda route: route.abort("connectionrefused"), times=1)
        own.get_by_label("Query").fill(QUESTION)
        own.get_by_role("alert").get_by_text("The server does not answer").wait_for()
        own.get_by_role("button", name="Try again").click()
        own.locator(".hit").first.wait_for()


def test_the_collections_that_are_served_are_offered(browser: Any, base: str) -> None:
    with page(browser, base, allowed="status of 404") as own:
        own.goto(f"/?c=gone&q={QUESTION}")
        own.get_by_role("link", name="more", exact=True).click()
        own.get_by_label("Collection", exact=True).wait_for()
        own.get_by_label("Query").fill(QUESTION)
        own.locator(".hit").first.wait_for()
        own.get_by_label("Collection", exact=True).select_option("kb")
        own.wait_for_url("**c=kb**")
        own.go_back()

        assert own.get_by_label("Collection", exact=True).input_value() == "more"


def test_a_version_that_is_built_shows_how_far_it_is(browser: Any, base: str) -> None:
    migration = Migration(
        "kb", version="v2", stage="building", running=True, texts=200, texts_done=84, tokens=1000, tokens_done=420
    )

    def building(route: Any) -> None:
        route.fulfill(response=route.fetch(), json={"migrations": [migration.to_json()]})

    with page(browser, base) as own:
        own.route("**/migrations", building)
        own.goto("/?tab=versions")
        bar = own.get_by_role("progressbar", name="Embedding passages")
        bar.wait_for()

        assert bar.get_attribute("aria-valuenow") == "42"
        assert "84 of 200 passages" in own.locator(".progress").text_content()


def test_an_answer_that_a_language_model_writes_is_shown_as_it_is_written(browser: Any, folder: Path) -> None:
    reply = "The violin is kept in the violin room. [1] It is made of cheese. [1]"
    with endpoint_server(says(reply, pause_s=0.02)) as endpoint:
        settings = ChatSettings(url=endpoint.url, model="toy")
        with server({"kb": folder}, chat=settings) as base, page(browser, base) as own:
            own.goto("/?tab=ask&q=where+is+the+violin+kept")
            own.locator(".verdict").wait_for()
            sentences = own.locator(".answer-text > span").all_text_contents()

            assert "The violin is kept in the violin room." in " ".join(sentences)
            assert own.locator(".answer-text .unsupported").text_content() == "It is made of cheese."
            assert "Written by toy" in own.locator(".verdict").text_content()
            assert own.locator(".cite").first.get_attribute("href").startswith("?")


def test_the_colours_that_were_chosen_stay(browser: Any, base: str) -> None:
    with page(browser, base, color_scheme="light") as own:
        own.goto("/")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = own.evaluate(ground)
        own.get_by_role("button", name="Colours: as the system").click()
        own.get_by_role("button", name="Colours: light").click()
        # The page sets its colours after it has drawn itself, so the button says so a moment earlier.
        own.wait_for_function(f"light => {ground} != light", arg=light)
        dark = own.evaluate(ground)
        own.reload()
        own.get_by_role("button", name="Colours: dark").wait_for()
        own.wait_for_function(f"dark => {ground} == dark", arg=dark)

        assert own.evaluate(ground) == dark
