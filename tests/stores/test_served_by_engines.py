"""Collections whose vectors are in LanceDB, Qdrant, Milvus and PostgreSQL: the same scores as with a local index."""

from __future__ import annotations

import pathlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.testing import HashEncoder
from gnomon.text.chunk import ChunkSettings
from support.qdrant_server import QdrantServer

pytestmark = pytest.mark.slow
WORDS = "tea kettle water whale sundial shadow key river stone otter".split()
ENCODER = HashEncoder(32)
QUERIES = ("tea kettle", "whale shadow river", "stone")
CONDITIONS = (None, "year > 2010", "lang in ('en', 'de') and not day >= '2020-06'", "id like 'd1%'", "tags is null")


def document(number: int, salt: int) -> dict[str, Any]:
    rng = random.Random(number * 1000 + salt)
    metadata: dict[str, Any] = {"year": 2000 + rng.randrange(20), "day": f"2020-{rng.randrange(1, 13):02d}-03"}
    if rng.random() < 0.7:
        metadata["lang"] = rng.choice(["en", "de", "it's", ["en", "fr"]])
    if rng.random() < 0.5:
        metadata["tags"] = rng.sample(WORDS, rng.randrange(4))
    return {"id": f"d{number}", "text": " ".join(rng.choices(WORDS, k=12)), "metadata": metadata}


@pytest.fixture(params=["lancedb", "qdrant-edge", "qdrant", "milvus", "pgvector"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[str]:
    folders = {
        "lancedb": f"lancedb://{tmp_path}/lance",
        "qdrant-edge": f"qdrant://{tmp_path}/qdrant",
        "milvus": f"milvus://{tmp_path}/lite.db",
    }
    if request.param in folders:
        yield folders[request.param]
        return
    if request.param == "pgvector":
        base, _, options = request.getfixturevalue("postgres").url("x", database="gnomon").partition("?")
        yield f"{base.removesuffix('/x')}?{options}"
        return
    server = QdrantServer()
    yield server.address
    server.close()


def found(kb: Collection, where: str | None) -> list[list[tuple[str, float]]]:
    hits = [kb.search(query, k=5, mode="dense", where=where) for query in QUERIES]
    return [[(hit.document, round(hit.score, 2)) for hit in each] for each in hits]


def test_a_history_finds_what_a_local_index_finds(tmp_path: pathlib.Path, place: str) -> None:
    rng = random.Random(7)
    with gnomon.open(tmp_path / "local", encoder=ENCODER) as local:
        kb = gnomon.open(tmp_path / "kb", encoder=ENCODER, store=place)
        try:
            for step in range(6):
                some = [document(number, step) for number in rng.sample(range(60), 25)]
                gone = [f"d{number}" for number in rng.sample(range(60), 5)]
                for each in (kb, local):
                    each.add(some)
                    each.remove([key for key in gone if key in each.ids()])
                if step % 2:
                    kb.close()
                    kb = gnomon.open(tmp_path / "kb", encoder=ENCODER)
                for where in CONDITIONS:
                    assert scores(found(kb, where)) == scores(found(local, where)), (step, where)
        finally:
            kb.close()


def scores(hits: list[list[tuple[str, float]]]) -> list[list[float]]:
    """Scores alone: documents of equal ones may come in another order in half precision."""
    return [[score for _, score in each] for each in hits]


def test_a_further_version_beside_the_live_one(tmp_path: pathlib.Path, place: str) -> None:
    with gnomon.open(tmp_path / "kb", encoder=ENCODER, store=place) as kb:
        kb.add([document(number, 0) for number in range(20)])
        before = scores(found(kb, None))
        kb.versions.add(ENCODER, chunking=ChunkSettings(max_tokens=9, overlap=0))  # the engine has the live one's alias
        kb.versions.backfill("v2")
        kb.versions.mark_ready("v2")
        kb.versions.build_indexes("v2")
        kb.versions.switch("v2")
        kb.add([document(30, 0)])
        assert kb.status().derived[0].rows == kb.status().chunks
        kb.versions.rollback()
        kb.remove(["d30"])
        assert scores(found(kb, None)) == before
        kb.versions.retire("v2")
        kb.versions.prune()
        assert scores(found(kb, None)) == before
