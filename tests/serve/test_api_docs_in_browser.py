"""The documentation of the API in Chromium, under the content security policy and with a key."""

import pytest

from gnomon.serve.security.keys import KeyFile
from support.browser import chromium, page
from support.serve_app import make_collection, server


@pytest.mark.slow
def test_swagger_ui_runs_offline_and_sends_a_request_with_a_key(tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.create("laptop")
    serving = server({"kb": make_collection(tmp_path)}, keys=keys.path)
    with serving as address, chromium() as browser, page(browser, address) as docs:
        docs.goto("/docs")
        docs.click("button.authorize")
        docs.fill(".auth-container input", token)
        docs.click(".auth-btn-wrapper button.authorize")
        docs.click(".auth-btn-wrapper button.btn-done")
        route = docs.locator(".opblock", has=docs.locator('[data-path="/v1/collections"]'))
        route.locator(".opblock-summary-control").click()
        route.locator("button.execute").click()
        answer = route.locator(".live-responses-table .response-col_description pre").first.inner_text()
    assert '"name": "kb"' in answer
