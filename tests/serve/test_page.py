"""The page is served as it was built, its files to be kept for good but for the one that names them."""

from __future__ import annotations

import re
from pathlib import Path

from support.serve_app import client, make_collection


def test_the_page_and_every_file_that_it_names(tmp_path: Path) -> None:
    with client({"kb": make_collection(tmp_path)}) as server:
        page = server.get("/")
        named = re.findall(r'(?:href|src)="(assets/[^"]+|favicon.svg)"', page.text)
        answers = {name: server.get(f"/{name}") for name in named}
        missing = server.get("/assets/app.js")

    assert page.headers["cache-control"] == "no-cache"
    assert len(named) >= 4
    assert {name for name, answer in answers.items() if answer.status_code != 200} == set()
    assert all("immutable" in answer.headers["cache-control"] for name, answer in answers.items() if "assets" in name)
    assert missing.status_code == 404
    assert "immutable" not in missing.headers["cache-control"]
