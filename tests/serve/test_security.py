"""Who is let in: keys, scopes, other web sites; and what the answers' headers forbid."""

import logging
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

from gnomon.core.errors import InvalidInput, StorageError
from gnomon.serve.app import create_app
from gnomon.serve.errors import Conflict
from gnomon.serve.json_body import DirectRoute, JsonRoute
from gnomon.serve.security.access import COLLECTION_PARAMETERS, PUBLIC_FOLDERS, PUBLIC_PATHS, requires
from gnomon.serve.security.exposure import check_keys, is_exposed
from gnomon.serve.security.keys import KeyFile
from gnomon.serve.settings import ServeSettings
from support.serve_app import client, make_collection


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("kb"))


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    keys = KeyFile(tmp_path_factory.mktemp("keys") / "keys.json")
    return {
        "file": str(keys.path),
        "reader": keys.create("reader")[1],
        "admin": keys.create("admin", scope="admin")[1],
        "other": keys.create("other", scope="admin", collections=["elsewhere"])[1],
        "expired": keys.create("expired", days=1e-9)[1],
    }


@pytest.fixture(scope="module")
def guarded(kb, tokens):
    with client({"kb": kb, "elsewhere": kb}, keys=Path(tokens["file"])) as http:
        http.app.include_router(_writing)
        yield http


@pytest.fixture(scope="module")
def unguarded(kb):
    with client({"kb": kb}) as http:
        http.app.include_router(_writing)
        yield http


_writing = APIRouter()


@_writing.post("/v1/collections/{collection}/change", dependencies=[Depends(requires("admin"))])
async def change(collection: str) -> dict[str, str]:
    """Stands for every route that changes something."""
    return {"changed": collection}


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def test_without_a_key_only_public_pages_are_seen(guarded):
    answer = guarded.get("/v1/collections")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["code"] == "Unauthorized"
    assert guarded.get("/docs").status_code == 200
    assert guarded.get("/v1/nothing/here").status_code == 401  # not even which addresses there are
    assert guarded.get("/docs/%2e%2e/v1/collections").status_code in (401, 404)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic {reader}", "{reader}", "Bearer x{reader}"])
def test_what_is_no_key_is_refused(guarded, tokens, header):
    assert guarded.get("/v1/collections", headers={"authorization": header.format(**tokens)}).status_code == 401


def test_an_expired_key_is_refused_and_says_so(guarded, tokens):
    answer = guarded.get("/v1/collections", headers=bearer(tokens["expired"]))
    assert (answer.status_code, "has expired" in answer.json()["error"]["message"]) == (401, True)


def test_a_reader_reads_and_does_not_change(guarded, tokens):
    assert guarded.get("/v1/collections/kb", headers=bearer(tokens["reader"])).status_code == 200
    assert guarded.post("/v1/collections/kb/change", headers=bearer(tokens["reader"])).status_code == 403
    assert guarded.post("/v1/collections/kb/change", headers=bearer(tokens["admin"])).status_code == 200


def test_a_key_of_another_collection_learns_nothing(guarded, tokens):
    here, nowhere = (guarded.get(f"/v1/collections/{name}", headers=bearer(tokens["other"])) for name in ("kb", "kc"))
    assert here.status_code == nowhere.status_code == 403
    assert here.text.replace("'kb'", "") == nowhere.text.replace("'kc'", "")
    assert guarded.post("/v1/collections/kb/change", headers=bearer(tokens["other"])).status_code == 403
    listed = guarded.get("/v1/collections", headers=bearer(tokens["other"])).json()["collections"]
    assert [each["name"] for each in listed] == ["elsewhere"]


def test_no_route_of_a_collection_answers_a_key_of_another(guarded, tokens):
    for path, operations in guarded.get("/openapi.json").json()["paths"].items():
        address = path.replace("{collection}", "kb").replace("{document}", "x").replace("{version}", "v1")
        for method in operations if "{collection}" in path else ():
            answer = guarded.request(method, address, headers=bearer(tokens["other"]), json={})
            assert answer.status_code == 403, (method, path)


def test_no_route_that_changes_something_answers_a_reader(guarded, tokens):
    asking = ("/search", "/answers", "/map/query", "/map/umap", "/embeddings", "/embed", "/rerank", "/plan")
    # What readers are asked for in turn: it is kept under their key's name, and changes nothing that is searched.
    asking += ("/feedback", "/judging/undo")
    for path, operations in guarded.get("/openapi.json").json()["paths"].items():
        address = path.replace("{collection}", "kb").replace("{document}", "x").replace("{version}", "v1")
        for method in set(operations) - {"get"} if not path.endswith(asking) else ():
            answer = guarded.request(method, address, headers=bearer(tokens["reader"]), json={})
            assert answer.status_code == 403, (method, path)


def test_a_revoked_key_ends_at_once(kb, tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.create("laptop")
    with client({"kb": kb}, keys=keys.path) as http:
        assert http.get("/v1/collections", headers=bearer(token)).status_code == 200
        keys.revoke("laptop")
        assert http.get("/v1/collections", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"keys": [{"name": "a", "scope": "admin", "sha256": "' + "ä".encode() + b'", "created": ""}]}',
        b'{"keys": [{"name": "a", "scope": "admin", "sha256": "'
        + b"0" * 64
        + b'", "created": "", "expires": "soon"}]}',
    ],
)
def test_a_file_of_keys_that_is_damaged_lets_nobody_in(kb, tmp_path, caplog, damage):
    keys = KeyFile(tmp_path / "keys.json")
    _, token = keys.create("laptop")
    with client({"kb": kb}, keys=keys.path) as http:
        keys.path.write_bytes(damage)
        answer = http.get("/v1/collections", headers=bearer(token))
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "KeysUnreadable")
        assert http.get("/health").status_code == 200
    assert str(tmp_path) not in answer.text
    assert str(keys.path) in caplog.text or "keys[0]" in caplog.text


def test_what_is_of_the_whole_server_is_for_a_key_of_all_collections(guarded, tokens):
    guarded.post("/v1/embeddings", json={"input": "sun", "model": "model"}, headers=bearer(tokens["reader"]))
    everything = guarded.get("/metrics", headers=bearer(tokens["reader"])).text
    own = guarded.get("/metrics", headers=bearer(tokens["other"])).text
    assert 'queue="model model"' in everything
    assert 'collection="elsewhere"' in own
    assert "kb" not in own
    assert "queue=" not in own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarded.app.state.gnomon, "reason_against", lambda: "the collection 'kb' cannot be searched")
        said = [guarded.get("/ready", headers=headers).text for headers in ({}, bearer(tokens["reader"]))]
    assert ["'kb'" in each for each in said] == [False, True]


def test_each_route_says_what_it_requires(kb):
    """A new route is found here when it forgets `requires`, or names its collection in a way that no key is held to."""
    app = create_app(ServeSettings(collections={"kb": kb}))
    unprotected = []
    for context in iter_route_contexts(app.routes):
        route, path = context.original_route, context.path or ""
        if not isinstance(route, APIRoute) or path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS):
            continue
        named = [f"{{{name}}}" in path for name in COLLECTION_PARAMETERS]
        of_one = path.startswith(("/v1/collections/", "/v1/vector_stores/"))
        if not any(hasattr(each.call, "scope") for each in route.dependant.dependencies) or any(named) != of_one:
            unprotected.append(path)
    assert unprotected == []


def test_each_route_reads_json_strictly(kb):
    app = create_app(ServeSettings(collections={"kb": kb}))
    routes = [context.original_route for context in iter_route_contexts(app.routes)]
    assert [
        route.path
        for route in routes
        if isinstance(route, APIRoute) and route.body_field and not isinstance(route, JsonRoute | DirectRoute)
    ] == []


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost:80@evil"])
def test_another_name_for_this_address_is_refused(unguarded, host):
    answer = unguarded.get("/v1/collections", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "UnknownHost")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"])
def test_the_names_of_this_machine_are_taken(unguarded, host):
    assert unguarded.get("/v1/collections", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(unguarded, headers):
    answer = unguarded.post("/v1/collections/kb/change", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ForeignSite")


def test_the_own_page_may(unguarded):
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert unguarded.post("/v1/collections/kb/change", headers=own).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; x=y", None])
def test_bodies_of_forms_are_refused(unguarded, kind):
    headers = {"content-type": kind} if kind else {}
    answer = unguarded.post("/v1/collections/kb/change", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "UnsupportedContentType")


def test_other_sites_are_let_in_by_name(kb):
    with client({"kb": kb}, cors_origins=("https://good.example",), allowed_hosts=("kb.example",)) as http:
        asked = {"origin": "https://good.example", "access-control-request-method": "GET", "host": "kb.example"}
        assert http.options("/v1/collections", headers=asked).status_code == 200
        answer = http.get("/v1/collections", headers={"origin": "https://good.example"})
        assert answer.headers["access-control-allow-origin"] == "https://good.example"
        foreign = http.get("/v1/collections", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in foreign.headers
    with pytest.raises(InvalidInput, match="every web site"):
        ServeSettings(collections={"kb": kb}, cors_origins=("*",))


def test_beyond_this_machine_keys_are_demanded(kb, tmp_path):
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""):
        assert is_exposed(host)
    for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
        assert not is_exposed(host)
    with pytest.raises(InvalidInput, match="can be reached from other machines") as caught:
        create_app(ServeSettings(collections={"kb": kb}, host="0.0.0.0"))
    assert "gnomon keys create NAME" in caught.value.hint
    keys = KeyFile(tmp_path / "keys.json")
    for days in (None, 1e-9):
        with pytest.raises(InvalidInput, match="no API key that is still good"):
            check_keys("0.0.0.0", keys.path)
        keys.create(f"days-{days}", days=1e-9)
    keys.create("good")
    check_keys("0.0.0.0", keys.path)


def test_headers_keep_the_browser_to_this_server(unguarded):
    for path in ("/docs", "/v1/collections", "/v1/collections/none", "/nothing"):
        headers = unguarded.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_the_documentation_needs_no_other_server(unguarded):
    page = unguarded.get("/docs").text
    for linked in ("docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"):
        assert f'"{linked}"' in page
        assert unguarded.get(f"/{linked}").status_code == 200
    assert "//" not in page.replace("<!doctype", "")
    assert "validatorUrl: null" in unguarded.get("/docs/start.js").text
    assert unguarded.get("/redoc").status_code == 404


def test_the_log_says_who_and_what_and_no_text(guarded, tokens, caplog):
    with caplog.at_level(logging.INFO, "gnomon.serve.requests"):
        headers = {**bearer(tokens["reader"]), "x-request-id": "abc-1"}
        answer = guarded.get("/v1/collections/kb?query=secret", headers=headers)
        guarded.get("/v1/private-words", headers=bearer(tokens["reader"]))
    assert answer.headers["x-request-id"] == "abc-1"
    first, second = (record.request for record in caplog.records)
    assert (first["id"], first["key"], first["status"], first["method"]) == ("abc-1", "reader", 200, "GET")
    assert first["route"] == "/v1/collections/{collection}"
    assert first["bytes"] == len(answer.content)
    assert (second["route"], second["status"]) == (None, 404)
    assert caplog.messages[0].startswith("GET /v1/collections/{collection} 200 ")
    assert not any(word in caplog.text for word in ("secret", "private", tokens["reader"]))


@pytest.mark.parametrize(
    ("path", "route"),
    [("/openapi.json", "/openapi.json"), ("/assets/none.js", "/assets/{path}"), ("/docs", "/docs"), ("/assets", None)],
)
def test_addresses_without_parameters_are_logged_as_routes(unguarded, caplog, path, route):
    with caplog.at_level(logging.INFO, "gnomon.serve.requests"):
        unguarded.get(path, follow_redirects=False)
    assert caplog.records[0].request["route"] == route


def test_head_is_get_without_a_body(unguarded):
    for path in ("/", "/health", "/docs/swagger-ui.css", "/v1/collections/kb", "/openapi.json"):
        head, get = unguarded.head(path), unguarded.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == str(len(get.content))
    assert unguarded.head("/v1/collections/none").status_code == 404
    assert unguarded.head("/v1/collections/kb/search").status_code == 405


@pytest.mark.parametrize("given", [b"a\x1b[2Jb", b"x" * 200, b'{"a":1}', "ä".encode(), b""])
def test_no_id_forges_a_line(unguarded, given):
    answer = unguarded.get("/docs", headers=[(b"x-request-id", given)])
    assert len(answer.headers["x-request-id"]) == 16


def test_no_answer_tells_where_files_lie(kb, caplog):
    app = create_app(ServeSettings(collections={"kb": kb}))

    @app.get("/v1/full")
    async def full() -> None:
        raise StorageError("/srv/home/kb/collection.db cannot be written", hint="gnomon doctor '/srv/home/kb'")

    with TestClient(app, base_url="http://127.0.0.1") as http:
        error = http.get("/v1/full").json()["error"]
    assert (error["message"], error["hint"]) == ("collection.db cannot be written", "gnomon doctor 'kb'")
    assert "/srv/home/kb/collection.db" in caplog.text


def test_no_refusal_tells_where_a_collection_lies(kb):
    app = create_app(ServeSettings(collections={"docs": kb}))

    @app.get("/v1/busy")
    async def busy() -> None:
        raise Conflict(f"a migration of {kb} is running", hint=f"gnomon status {kb}")

    with TestClient(app, base_url="http://127.0.0.1") as http:
        answer = http.get("/v1/busy")
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["hint"]) == (
        409,
        "a migration of docs is running",
        "gnomon status docs",
    )


def test_a_defect_is_logged_and_only_its_id_is_told(kb, caplog):
    app = create_app(ServeSettings(collections={"kb": kb}))

    @app.get("/v1/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a private detail")

    with TestClient(app, base_url="http://127.0.0.1") as http:
        answer = http.get("/v1/broken", headers={"x-request-id": "r-7"})
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "an unexpected error in request r-7"
    assert "private" not in answer.text
    assert "r-7" in caplog.text
    assert "a private detail" in caplog.text
    assert answer.headers["content-security-policy"]
