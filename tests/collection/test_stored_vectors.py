"""Each vector and each text is kept once, in the catalog; few vectors are in no other file."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import gnomon
from gnomon.collection import Collection, version_manager
from gnomon.collection.catalog import chunk_texts, vector_cache
from gnomon.collection.catalog.schema import vector_checksum
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder
from gnomon.text.chunk import ChunkSettings

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


def test_pruning_stores_what_an_older_gnomon_wrote_in_its_short_form(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    first = dense(kb)
    before = rows(tmp_path / "kb", EVERYTHING)
    kb.close()
    make_whole(tmp_path / "kb")
    make_own_texts(kb, tmp_path / "kb")
    again = opened()
    assert dense(again) == first
    freed = again.prune()
    assert freed.rewritten == 2 * len(before)
    assert rows(tmp_path / "kb", EVERYTHING) == before
    assert again.prune().rewritten == 0
    assert dense(again) == first


EVERYTHING = (
    "SELECT v.id, v.text_hash, v.data, v.checksum, c.id, c.text FROM vectors v JOIN chunks c USING (text_hash) "
    "ORDER BY v.id"
)


def make_own_texts(kb: Collection, folder: Path) -> None:
    """Chunks with texts of their own, as an older gnomon kept them."""
    connection = sqlite3.connect(folder / "collection.db")
    for row_id, start, end, body in connection.execute(
        'SELECT c.id, c.start, c."end", d.body FROM chunks c JOIN documents d ON d.id = c.document_id'
    ).fetchall():
        text = zlib.decompress(body).decode()[start:end]
        connection.execute("UPDATE chunks SET text = ? WHERE id = ?", (text, row_id))
    connection.commit()
    connection.close()


def test_pruning_that_is_killed_goes_on_where_it_was(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, before = dense(kb), rows(tmp_path / "kb", EVERYTHING)
    kb.close()
    make_whole(tmp_path / "kb")
    monkeypatch.setattr(version_manager, "_BATCH", 1)
    put, left = vector_cache.to_short_bytes, [2]

    def cut_off(given: np.ndarray) -> list[bytes]:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return put(given)

    again = opened()
    with monkeypatch.context() as patch:
        patch.setattr(vector_cache, "to_short_bytes", cut_off)
        with pytest.raises(KeyboardInterrupt):
            again.prune()
    assert sorted({len(data) for _, data in rows(tmp_path / "kb")}) == [2 * DIM, 4 * DIM]
    assert dense(again) == first
    assert again.prune().rewritten == len(before) - 2
    assert rows(tmp_path / "kb", EVERYTHING) == before


def test_a_changed_vector_keeps_its_damage_for_the_doctor_to_find(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    kb.close()
    make_whole(tmp_path / "kb")
    connection = sqlite3.connect(tmp_path / "kb" / "collection.db")
    connection.execute("UPDATE vectors SET checksum = checksum + 1 WHERE id = 2")
    connection.commit()
    connection.close()
    assert opened().prune().rewritten == len(rows(tmp_path / "kb")) - 1


def test_a_short_document_is_kept_once_and_a_long_one_has_its_passages_beside(
    opened: Callable[..., Collection], tmp_path: Path
) -> None:
    kb = opened()
    long = " ".join(f"word{number} of a long story" for number in range(900))
    kb.add([{"id": "short", "text": "The gnomon casts a shadow."}, {"id": "long", "text": long}])
    assert len(long) > chunk_texts.SPAN_CHARACTERS
    held = rows(tmp_path / "kb", "SELECT d.key, c.text FROM chunks c JOIN documents d ON d.id = c.document_id")
    assert {(key, bool(text)) for key, text in held} == {("short", False), ("long", True)}
    (hit,) = kb.search("shadow", k=1, mode="lexical")
    assert hit.text == "The gnomon casts a shadow."
    assert kb.search("word899", k=1, mode="lexical")[0].text in long


def test_a_new_version_and_a_new_index_read_the_texts_of_documents(
    kb: Collection, opened: Callable[..., Collection], tmp_path: Path
) -> None:
    expected = [hit.text for hit in kb.search("shadow tea", k=3)]
    kb.versions.add(kb.encoder, chunking=ChunkSettings(max_tokens=24, overlap=4))
    kb.versions.backfill("v2")
    assert {text for (text,) in rows(tmp_path / "kb", "SELECT text FROM chunks")} == {""}
    kb.close()
    shutil.rmtree(tmp_path / "kb" / "derived")
    assert [hit.text for hit in opened().search("shadow tea", k=3)] == expected


def test_a_collection_made_before_half_precision_opens_and_is_converted(tmp_path: Path) -> None:
    """`fixtures/whole-vectors.tar.gz` was made by commit 2e7a83e: float32, passages' own texts, vectors in derived."""
    with tarfile.open(Path(__file__).parents[1] / "fixtures" / "whole-vectors.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder, expected = tmp_path / "whole" / "kb", json.loads((tmp_path / "whole" / "expected.json").read_text())
    assert {len(data) for _, data in rows(folder)} == {4 * DIM}
    for converted in (False, True):
        with gnomon.open(folder, encoder=HashEncoder(DIM, max_tokens=48)) as kb:
            if converted:
                assert kb.prune(vacuum=True).rewritten == 60
            for query, hits in expected.items():
                found = [[hit.document, pytest.approx(hit.score, abs=1e-3), hit.text] for hit in kb.search(query, k=3)]
                assert found == hits
    assert {len(data) for _, data in rows(folder)} == {2 * DIM}
    assert {text for (text,) in rows(folder, "SELECT text FROM chunks")} == {""}
    assert not list(folder.glob("derived/*/dense-*"))
