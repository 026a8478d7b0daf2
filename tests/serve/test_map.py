"""The map over HTTP: what there is to draw, bytes of points and colours, texts, queries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import gnomon
from gnomon.map import CollectionMap
from support.serve_app import client, make_collection


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_collection(tmp_path_factory.mktemp("map"))


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[TestClient]:
    with client({"kb": folder}) as opened:
        yield opened


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The layout as the route's documentation says it."""
    start = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:start])
    columns = {}
    for each in header["columns"]:
        size = header["points"] * each["width"]
        columns[each["name"]] = np.frombuffer(
            data, np.dtype(each["type"]).newbyteorder("<"), size, start + each["offset"]
        )
    return header, columns


def test_the_map_says_what_there_is_to_draw(served: TestClient) -> None:
    answer = served.get("/v1/collections/kb/map")
    found = answer.json()
    assert answer.headers["x-gnomon-version"] == found["version"] == "v1"
    assert answer.headers["x-gnomon-space"] == found["space"]
    assert [each["state"] for each in found["projections"]] == ["ready", "unavailable"]
    assert "at least 5" in found["projections"][1]["reason"]
    assert sum(each["size"] for each in found["clusters"]) == found["points"] == 3
    assert {"name": "year", "type": "number"} in found["fields"]


def test_points_and_colours_are_bytes_of_one_journal_position(served: TestClient, folder: Path) -> None:
    answer = served.get("/v1/collections/kb/map/positions")
    assert answer.headers["content-type"] == "application/octet-stream"
    header, columns = unpacked(answer.content)
    with gnomon.open(folder) as kb:
        points = CollectionMap(kb).points()
    at = columns["positions"].reshape(-1, 2) * header["scale"] + [header["left"], header["bottom"]]
    assert np.abs(at - points.positions).max() <= header["scale"]
    assert np.array_equal(columns["ids"], points.ids)
    coloured, values = unpacked(served.get("/v1/collections/kb/map/colours", params={"field": "year"}).content)
    assert (coloured["kind"], coloured["seq"]) == ("number", header["seq"])
    assert values["values"].tolist() == [2020, 2021, 2022]


def test_texts_of_points_open_their_documents(served: TestClient) -> None:
    found = served.get("/v1/collections/kb/map/points", params={"ids": "3,1,999"}).json()["texts"]
    assert [each["document"] for each in found] == ["rivers/rhine", "guides/sundial.md"]
    assert found[0]["snippet"] == "The Rhine is a river in Europe."
    assert (found[0]["start"], found[0]["end"]) == (0, 31)


def test_a_query_stands_among_its_neighbours(served: TestClient) -> None:
    body = {"query": "The Rhine is a river in Europe.", "k": 2}
    found = served.post("/v1/collections/kb/map/query", json=body).json()
    assert found["neighbours"][0]["document"] == "rivers/rhine"
    assert len(found["neighbours"]) == 2
    assert np.allclose(found["position"], found["neighbours"][0]["position"], atol=1e-3)


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "message"),
    [
        ("GET", "positions", {"params": {"projection": "umap"}}, 400, "not there yet"),
        ("GET", "positions", {"params": {"projection": "tsne"}}, 422, "projection"),
        ("GET", "colours", {"params": {"field": "nothing"}}, 400, "the field 'nothing'"),
        ("GET", "points", {"params": {"ids": "1,x"}}, 400, "the ids '1,x'"),
        ("GET", "points", {"params": {"ids": ",".join(["1"] * 501)}}, 400, "the ids"),
        ("GET", "points", {"params": {"ids": "9" * 30}}, 400, "the ids"),
        ("POST", "query", {"json": {"query": " "}}, 400, "an empty query"),
        ("GET", "", {"headers": {"x-gnomon-space": "another"}}, 409, "v1 answers by the space"),
    ],
)
def test_bad_requests_get_one_reason(
    served: TestClient, method: str, path: str, options: dict[str, Any], status: int, message: str
) -> None:
    answer = served.request(method, f"/v1/collections/kb/map/{path}".rstrip("/"), **options)
    assert answer.status_code in (status, 400)
    assert message in answer.json()["error"]["message"]
    assert served.get("/v1/collections/nothing/map").status_code == 404


def test_umap_is_not_started_for_too_few_points(served: TestClient) -> None:
    answer = served.post("/v1/collections/kb/map/umap")
    assert (answer.status_code, answer.json()) == (202, {"started": False})
