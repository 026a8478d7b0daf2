"""Answers do not tell where files lie on the server."""

from pathlib import Path

import pytest

from support.serve_app import client, make_collection

AT = "/v1/collections/kb"
QUESTION = {"question": "What casts the shadow?", "abstain_below": 0}
MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
TOOLS = {
    "search": {"query": "shadow"},
    "fetch": {"id": "kb:a.md"},
    "ask": {"question": "What casts the shadow?"},
    "status": {},
}
REQUESTS = {
    "search": ("POST", f"{AT}/search", {"query": "shadow"}),
    "answer": ("POST", f"{AT}/answers", QUESTION),
    "streamed answer": ("POST", f"{AT}/answers", {**QUESTION, "stream": True}),
    "vector store": ("POST", "/v1/vector_stores/kb/search", {"query": "shadow"}),
    "document": ("GET", f"{AT}/documents/a.md", None),
    "export": ("GET", f"{AT}/documents?format=ndjson", None),
    "collection": ("GET", AT, None),
    "status": ("GET", f"{AT}/status", None),
    "versions": ("GET", f"{AT}/versions", None),
    "models": ("GET", "/v1/models", None),
    **{
        f"tool {name}": (
            "POST",
            "/mcp",
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": given}},
        )
        for name, given in TOOLS.items()
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("secret-place")
    source = str(base / "docs" / "a.md")
    return make_collection(base, [{"id": "a.md", "text": "The gnomon casts the shadow.", "source": source}])


@pytest.fixture(scope="module")
def http(folder):
    with client({"kb": folder}) as inside:
        yield inside


@pytest.mark.parametrize("name", REQUESTS)
def test_no_answer_tells_a_folder(name, http, folder):
    method, address, body = REQUESTS[name]
    answer = http.request(method, address, json=body, headers=MCP if body else None)
    assert answer.status_code == 200, answer.text
    assert str(Path(folder).parent) not in answer.text
