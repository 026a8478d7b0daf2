"""The documentation of the API in Chromium, under the content security policy and with a key."""

import pytest

from gnomon.serve.security.keys import KeyFile
from support.serve_app import make_collection, server


@pytest.mark.slow
def test_swagger_ui_runs_offline_and_sends_a_request_with_a_key(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.create("laptop")
    said, requested = [], []
    with server({"kb": make_collection(tmp_path)}, keys=keys.path) as address, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(f"{address}/docs")
        page.click("button.authorize")
        page.fill(".auth-container input", token)
        page.click(".auth-btn-wrapper button.authorize")
        page.click(".auth-btn-wrapper button.btn-done")
        route = page.locator(".opblock", has=page.locator('[data-path="/v1/collections"]'))
        route.locator(".opblock-summary-control").click()
        route.locator("button.execute").click()
        answer = route.locator(".live-responses-table .response-col_description pre").first.inner_text(timeout=10_000)
        browser.close()
    assert '"name": "kb"' in answer
    assert said == []
    assert {url.startswith((address, "data:")) for url in requested} == {True}
