"""A collection that is exported and imported is the same: documents, passages, hits, scores; nothing is embedded."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.collection import Collection
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.errors import CollectionDamaged, CollectionTooNew, InvalidInput, SpaceMismatch
from gnomon.encode.stored import stored_as
from gnomon.exchange import ImportSettings, export_collection, import_collection
from gnomon.retrieve import SpaceSettings
from gnomon.testing.toys import HashEncoder, LateHashEncoder, SparseHashEncoder

encoder = partial(HashEncoder, 32, max_tokens=24)
QUERIES = ("gnomon shadow", "sundial hours", "tea", "42")


def rows(kb: Collection) -> dict[str, Any]:
    """All that a collection holds, and what it finds."""
    documents = kb.get(kb.ids())
    chunks = [[(c.ordinal, c.start, c.end, c.text, c.tokens, c.heading) for c in kb.chunks(d.id)] for d in documents]
    modes = ("hybrid", "dense", "lexical")
    hits = [kb.search(query, k=5, mode=mode) for query in QUERIES for mode in modes]
    found = [[(hit.document, hit.start, hit.score, hit.location, hit.metadata) for hit in each] for each in hits]
    vectors = np.array(kb.to_arrow("chunks", vectors=True)["vector"].to_pylist())
    return {
        "documents": documents,
        "chunks": chunks,
        "hits": found,
        "vectors": vectors.tobytes(),
        "fields": kb.fields.all(),
    }


class Silent(HashEncoder):
    """Encodes queries and canaries only: an import embeds nothing."""

    def encode(self, texts: Any, *, role: Any) -> Any:
        assert role == "query" or len(texts) == 1 or "sundial that casts" in texts[0] or len(texts) < 6
        return super().encode(texts, role=role)


def returned(folder: Path, kind: str, **options: Any) -> Collection:
    """The collection at folder/kb, exported and imported as folder/back."""
    with gnomon.open(folder / "kb", **options) as kb:
        export_collection(kb, folder / f"out.{kind}")
    import_collection(folder / f"out.{kind}", folder / "back", encoder=options.get("encoder"))
    return gnomon.open(folder / "back", **options, create=False)


@pytest.mark.parametrize("kind", ["parquet", pytest.param("lance", marks=pytest.mark.slow)])
def test_files_with_headings_fields_and_locations(tmp_path: Path, kind: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(6):
        head = f"---\nyear: {2000 + n}\ntags: [a, b{n}]\n---\n"
        (docs / f"d{n}.md").write_text(f"{head}# Sundials {n}\n\n## Hours\n\n" + "The gnomon casts a shadow. " * 20)
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as kb:
        kb.index([docs])
        kb.add([{"id": "by hand", "text": "Green tea.", "metadata": {"year": 1999}}])
        before = rows(kb)
    with returned(tmp_path, kind, encoder=Silent(32, max_tokens=24)) as back:
        assert rows(back) == before
        assert [hit.document for hit in back.search("gnomon", where="year >= 2004")]
        # The files are known: an index run has nothing to do.
        report = back.index([docs])
        assert (report.documents, len(back)) == (0, 7)
        # And documents know theirs: a file that changed has its document replaced.
        (docs / "d0.md").write_text("# Another sundial\n\nOf another text.\n")
        assert (back.index([docs]).documents, len(back)) == (1, 7)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)
METADATA = st.dictionaries(st.text("abcé ", min_size=1, max_size=3), VALUES | st.lists(VALUES, max_size=3), max_size=4)
DOCUMENTS = st.lists(st.tuples(TEXTS, TEXTS, METADATA), min_size=1, max_size=5)


@pytest.mark.slow
@settings(max_examples=15)
@given(documents=DOCUMENTS)
def test_odd_texts_and_metadata_of_all_types(
    tmp_path_factory: pytest.TempPathFactory, documents: list[tuple[str, str, dict[str, Any]]]
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    given_ones = [
        {"id": f"d{n}", "text": text, "title": title, "metadata": metadata}
        for n, (text, title, metadata) in enumerate(documents)
    ]
    with gnomon.open(folder / "kb", encoder=encoder()) as kb:
        kb.add(given_ones, strict=False)
        before = rows(kb)
    with returned(folder, "parquet", encoder=encoder()) as back:
        assert rows(back) == before
    shutil.rmtree(folder)


def test_several_vectors_a_passage_and_sparse_ones(tmp_path: Path) -> None:
    texts = [f"the gnomon number {n} casts a shadow of tea" for n in range(5)]
    with gnomon.open(tmp_path / "kb", encoder=LateHashEncoder(16)) as kb:
        kb.add(texts)
        before = [(hit.document, hit.score) for hit in kb.search("gnomon 3", mode="dense")]
    with returned(tmp_path, "lance", encoder=LateHashEncoder(16)) as back:
        assert [(hit.document, hit.score) for hit in back.search("gnomon 3", mode="dense")] == before


def test_sparse_vectors(tmp_path: Path) -> None:
    options: dict[str, Any] = {"encoder": encoder(), "sparse_encoder": SparseHashEncoder()}
    with gnomon.open(tmp_path / "kb", **options) as kb:
        kb.add([f"the gnomon number {n} casts a shadow of tea" for n in range(5)])
        before = [(hit.document, hit.score) for hit in kb.search("gnomon 3", mode="sparse")]
    assert before
    with returned(tmp_path, "parquet", **options) as back:
        assert [(hit.document, hit.score) for hit in back.search("gnomon 3", mode="sparse")] == before


def test_the_vectors_of_several_spaces(tmp_path: Path) -> None:
    other, late = HashEncoder(48, salt="other"), HashEncoder(24, salt="late")
    spaces = (SpaceSettings(late.space.name, "second-stage"), SpaceSettings(other.space.name))
    every, settings = [encoder(), other, late], gnomon.CollectionSettings(spaces=spaces)
    with gnomon.open(tmp_path / "kb", encoder=every, settings=settings) as kb:
        kb.add([f"the gnomon number {n} casts a shadow of tea" for n in range(5)])
        before = [(hit.document, hit.stages) for hit in kb.search("gnomon 3")]
        export_collection(kb, tmp_path / "kb.parquet")
    import_collection(tmp_path / "kb.parquet", tmp_path / "back", encoder=every[0])
    with gnomon.open(tmp_path / "back", encoder=every) as back:
        assert [space.vectors for space in back.status().spaces] == [0, 5], "a second stage makes its own anew"
        for mine, (document, stages) in zip(back.search("gnomon 3"), before, strict=True):
            assert mine.document == document
            assert mine.stages == pytest.approx(stages, abs=2e-3)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported collection of three documents."""
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as kb:
        kb.add([f"a gnomon of the number {n}" for n in range(3)])
        export_collection(kb, tmp_path / "kb.parquet")
    return tmp_path / "kb.parquet"


def test_other_programs_read_it(exported: Path, tmp_path: Path) -> None:
    table = pq.read_table(exported / "chunks.parquet")
    assert table.num_rows == 3
    assert table.schema.field("vector").type.list_size == 32
    assert json.loads(table.schema.metadata[b"gnomon.space"])["dim"] == 32
    lancedb = pytest.importorskip("lancedb")
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as kb:
        export_collection(kb, tmp_path / "kb.lance")
        query = kb.encoder.encode(["a gnomon of the number 2"], role="query").data[0]
    database = lancedb.connect(str(tmp_path / "kb.lance"))
    found = database.open_table("chunks").search(query, vector_column_name="vector").limit(1).to_list()
    assert found[0]["text"].endswith("number 2")


def test_half_precision_where_it_keeps_every_number(tmp_path: Path) -> None:
    half = stored_as(encoder(), "float16")
    with gnomon.open(tmp_path / "kb", encoder=half) as kb:
        kb.add(["one gnomon", "another sundial"])
        before = rows(kb)
        assert export_collection(kb, tmp_path / "kb.parquet").vectors == "float16"
    import_collection(tmp_path / "kb.parquet", tmp_path / "back", encoder=half)
    with gnomon.open(tmp_path / "back", encoder=half, create=False) as back:
        assert rows(back) == before


def test_what_the_export_refuses(tmp_path: Path, exported: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=encoder()) as kb:
        with pytest.raises(InvalidInput, match="there already"):
            export_collection(kb, exported)
        with pytest.raises(InvalidInput, match="ends in"):
            export_collection(kb, tmp_path / "kb.csv")
        with pytest.raises(InvalidInput, match="no version v7"):
            export_collection(kb, tmp_path / "v7.parquet", version="v7")
    assert not (tmp_path / "v7.parquet").exists()


def refused(source: Path, into: Path, error: type[Exception], said: str, **options: Any) -> None:
    with pytest.raises(error, match=said):
        import_collection(source, into, **{"encoder": encoder(), **options})
    assert not into.exists()


def test_damaged_and_newer_folders_import_nothing(exported: Path, tmp_path: Path) -> None:
    chunks, manifest = exported / "chunks.parquet", exported / "manifest.json"
    data, plain = chunks.read_bytes(), json.loads(manifest.read_text())
    chunks.write_bytes(data[:-10])
    refused(exported, tmp_path / "new", CollectionDamaged, "bytes of")
    chunks.write_bytes(data[:-1] + b"!")
    refused(exported, tmp_path / "new", CollectionDamaged, "not what was written")
    chunks.write_bytes(data)
    manifest.write_text(json.dumps({**plain, "format_version": 2}))
    refused(exported, tmp_path / "new", CollectionTooNew, "version 2")
    manifest.write_text(json.dumps({**plain, "counts": {**plain["counts"], "documents": 4}}))
    refused(exported, tmp_path / "new", CollectionDamaged, "3 documents of the 4")
    manifest.write_text("{}")
    refused(exported, tmp_path / "new", CollectionDamaged, "format_version")


def test_another_model_is_refused(exported: Path, tmp_path: Path) -> None:
    refused(exported, tmp_path / "new", SpaceMismatch, "this collection holds", encoder=encoder(salt="other"))

    class Changed(HashEncoder):
        def encode(self, texts: Any, *, role: Any) -> Any:
            return super().encode([text[::-1] for text in texts], role=role)

    refused(exported, tmp_path / "new", SpaceMismatch, "canary", encoder=Changed(32, max_tokens=24))


def test_a_model_that_is_not_here_is_told(exported: Path, tmp_path: Path) -> None:
    report = import_collection(exported, tmp_path / "new")
    assert not report.is_checked
    assert "not on this machine" in report.notes[0]
    with gnomon.open(tmp_path / "new", encoder=encoder(), create=False) as kb:
        assert kb.search("gnomon", mode="dense")


def test_an_import_that_was_killed_is_done_again(exported: Path, tmp_path: Path) -> None:
    Catalog(tmp_path / "new", create=True).close()  # all that is left of one: everything else is one transaction
    assert import_collection(exported, tmp_path / "new", encoder=encoder()).documents == 3


def test_a_check_writes_nothing(exported: Path, tmp_path: Path) -> None:
    report = import_collection(exported, tmp_path / "new", ImportSettings(check=True), encoder=encoder())
    assert (report.documents, report.is_checked) == (3, True)
    assert not (tmp_path / "new").exists()


def test_a_collection_with_documents_is_left_alone(exported: Path, tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=encoder(), create=False) as kb:
        ids = kb.ids()
    with pytest.raises(InvalidInput, match="holds 3 documents"):
        import_collection(exported, tmp_path / "kb", encoder=encoder())
    with gnomon.open(tmp_path / "kb", encoder=encoder(), create=False) as kb:
        assert kb.ids() == ids
