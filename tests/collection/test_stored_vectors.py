"""Each vector is kept once: in the catalog, in half precision; of few there are none in the index's files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from gnomon.collection import Collection
from gnomon.collection.catalog import vector_cache
from gnomon.collection.catalog.schema import vector_checksum
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

DIM = 64
Found = list[tuple[str, float]]


def rows(folder: Path, query: str = "SELECT role, data FROM vectors ORDER BY id") -> list[tuple]:
    connection = sqlite3.connect(folder / "collection.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def make_whole(folder: Path, every: int = 1) -> None:
    """Document vectors as an older gnomon kept them: float32."""
    connection = sqlite3.connect(folder / "collection.db")
    for row_id, space, role, key, data in connection.execute(
        "SELECT id, space_id, role, text_hash, data FROM vectors WHERE role = 'document'"
    ).fetchall()[::every]:
        whole = np.frombuffer(data, "<f2").astype("<f4").tobytes()
        changed = (whole, vector_checksum(space, role, key, whole), row_id)
        connection.execute("UPDATE vectors SET data = ?, checksum = ? WHERE id = ?", changed)
    connection.commit()
    connection.close()


def dense(kb: Collection) -> Found:
    return [(hit.document, hit.score) for hit in kb.search("the shadow of a sundial", mode="dense", k=3)]


def test_documents_are_kept_in_half_precision_and_queries_are_not(kb: Collection, tmp_path: Path) -> None:
    key = [vector_cache.hash_of("a query")]
    space = kb.version.space
    with kb.internals.catalog.write() as connection:
        vectors = HashEncoder(DIM, max_tokens=48).encode(["a query"], role="query")
        vector_cache.put(connection, kb.version.space_id, "query", hashes=key, vectors=Vectors(vectors.data, space))
    sizes = {(role, len(data)) for role, data in rows(tmp_path / "kb")}
    assert sizes == {("document", 2 * DIM), ("query", 4 * DIM)}
    assert kb.version.space.vector_type == "float32"


def test_scores_are_the_same_before_and_after_opening_again(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    first = dense(kb)
    kb.close()
    assert dense(opened()) == first


def test_distances_are_kept_whole() -> None:
    space = HashEncoder(DIM, max_tokens=48).space
    types = {kind: vector_cache.stored_type(replace(space, similarity=kind), "document") for kind in KINDS}
    assert types == {"cosine": "float16", "dot": "float16", "euclidean": "float32", "maxsim": "int8"}


KINDS = ("cosine", "dot", "euclidean", "maxsim")


@pytest.mark.parametrize("every", [1, 2])
def test_whole_vectors_of_an_older_gnomon_are_read_beside_short_ones(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path, every: int
) -> None:
    first = dense(kb)
    kb.close()
    make_whole(tmp_path / "kb", every)
    assert {len(data) for _, data in rows(tmp_path / "kb")} == {4 * DIM, 2 * DIM} - ({2 * DIM} if every == 1 else set())
    again = opened()
    assert dense(again) == first
    assert again.status().vectors == len(rows(tmp_path / "kb"))


def test_few_vectors_have_no_files(kb: Collection, opened: Callable[..., Collection], tmp_path: Path) -> None:
    dense(kb)
    status = kb.status().derived[0]
    assert (status.name, status.state, status.bytes) == ("dense", "current", 0)
    kb.close()
    assert not list((tmp_path / "kb").glob("derived/*/dense-*"))
    state = (tmp_path / "kb" / "derived" / "v0001" / "state.json").read_bytes()
    assert dense(opened())
    assert (tmp_path / "kb" / "derived" / "v0001" / "state.json").read_bytes() == state, "opening changes nothing"


def test_files_that_an_older_gnomon_left_go_when_it_is_opened(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("derived", "state"):
            patch.setattr(f"gnomon.collection.indexes.{module}.is_saved", lambda _: True)
        older = opened()
        first = dense(older)
        older.close()
    assert len(list((tmp_path / "kb").glob("derived/*/dense-*/vectors-*.bin"))) == 1
    again = opened()
    assert dense(again) == first
    assert not list((tmp_path / "kb").glob("derived/*/dense-*"))
    assert dense(again) == first


def test_a_search_reads_them_while_another_process_has_the_files_locked(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    first = dense(kb)
    kb.close()
    again = opened()
    with FileLock(tmp_path / "kb" / "derived" / "v0001" / "lock"):
        assert dense(again) == first
