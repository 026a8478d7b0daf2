"""Documents by id and as tables, as the README's examples use a collection."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.testing.toys import HashEncoder

ON_BOTH = True

TEA = {"id": "tea", "title": "Tea", "text": "Green tea is brewed at seventy degrees.", "metadata": {"year": 2020}}
WHALE = {"id": "whale", "text": "The blue whale is the largest animal.", "metadata": {"year": 2024, "tags": ["sea"]}}
DIAL = {"id": "dial", "text": "The gnomon casts the shadow.\n\nIt stands on the sundial.", "source": "https://dial"}


@pytest.fixture
def small(opened: Callable[..., Collection]) -> Collection:
    kb = opened()
    kb.add([TEA, WHALE, DIAL])
    return kb


def test_documents_come_back_by_id(small: Collection) -> None:
    tea = small.get("tea")
    assert tea == gnomon.Document("tea", TEA["text"], "Tea", metadata={"year": 2020})  # type: ignore[arg-type]
    assert [document.id for document in small.get(["whale", "nothing", "tea", "whale"])] == ["whale", "tea", "whale"]
    assert small.get("nothing") is None
    assert small.get([]) == []
    (dial,) = small.get(["dial"])
    assert (dial.source, dial.media_type, dial.title) == ("https://dial", "text/plain", "")
    hit = small.search("shadow", k=1)[0]
    document = small.get(hit.document)
    assert document is not None
    assert document.text[hit.start : hit.end] == hit.text


def test_more_ids_than_one_statement_takes_come_back_in_order(small: Collection) -> None:
    small.add([{"id": str(number), "text": f"number {number}"} for number in range(1200)])
    wanted = [str(number) for number in reversed(range(1200))]
    assert [document.id for document in small.get(wanted)] == wanted


def test_ids_and_length_follow_what_is_written(small: Collection) -> None:
    assert (len(small), small.ids()) == (3, ["tea", "whale", "dial"])
    small.upsert({**TEA, "text": "Black tea takes boiling water."})
    assert (len(small), small.ids()) == (3, ["whale", "dial", "tea"])
    assert small.text("tea") == "Black tea takes boiling water."
    assert small.upsert(WHALE).documents == 0  # nothing of it changed
    assert small.ids("year > 2020") == small.ids({"year": {">": 2020}}) == ["whale"]
    small.remove(small.ids())
    assert (len(small), small.ids()) == (0, [])
    assert small, "an open collection without documents is still there"


def test_a_mapping_filters_wherever_a_text_does(small: Collection) -> None:
    where = {"year": {">=": 2020}, "or": [{"tags": None}, {"tags": {"not in": ["sea", "river"]}}]}
    said = "year >= 2020 and (tags is null or tags not in ('sea', 'river'))"
    assert small.ids(where) == ["tea"]
    assert {hit.document for hit in small.search("animal", where=where)} == {"tea"}
    assert [[h.document for h in hits] for hits in small.search_many(["animal"], where=where)] == [["tea"]]
    assert small.chunk_ids(where).tolist() == small.chunk_ids(said).tolist()
    run = small.run({"q": "animal"}, where=where)
    assert set(run.results["q"]) == {"tea"}
    assert run.about["where"] == str(where)
    with pytest.raises(InvalidInput, match=r"where\['year'\]: the operator '=>'"):
        small.search("animal", where={"year": {"=>": 2020}})
    with pytest.raises(InvalidInput, match="no document has a field 'yaer'"):
        small.search("animal", where={"yaer": 2020})


def test_a_vector_is_searched_by_similarity(small: Collection) -> None:
    vectors = small.encoder.encode(["largest animal", "green tea"], role="query")
    expected = [small.search(text, k=2, mode="dense") for text in ("largest animal", "green tea")]
    found = small.search_many(vectors, k=2)
    assert [[(h.chunk_id, h.stages) for h in hits] for hits in found] == [
        [(h.chunk_id, h.stages) for h in hits] for hits in expected
    ]
    (hit,) = small.search(vectors.take([0]), k=1, mode="dense", by="document", where={"year": 2020})
    assert (hit.document, hit.highlights) == ("tea", ())
    assert small.search_many(vectors.take([])) == []


def test_vectors_that_cannot_be_searched_are_refused(small: Collection) -> None:
    vectors = small.encoder.encode(["largest animal", "green tea"], role="query")
    with pytest.raises(InvalidInput, match="Vectors of 2 items"):
        small.search(vectors)
    for mode in ("hybrid", "lexical"):
        with pytest.raises(InvalidInput, match=f"mode '{mode}' for vectors"):
            small.search_many(vectors, mode=mode)  # type: ignore[arg-type]
    with pytest.raises(SpaceMismatch):
        small.search(HashEncoder(64, salt="other").encode(["tea"], role="query"))
    with pytest.raises(InvalidInput, match="query of type ndarray") as refused:
        small.search(vectors.data[0])  # type: ignore[arg-type]
    assert "gnomon.Vectors" in refused.value.expected
    with pytest.raises(InvalidInput, match="k is 0"):
        small.search(vectors.take([0]), k=0)


def test_documents_and_chunks_are_tables(small: Collection) -> None:
    table = small.to_arrow()
    assert table.column_names == ["id", "title", "text", "source", "media_type", "metadata"]
    assert table["id"].to_pylist() == ["tea", "whale", "dial"]
    assert [json.loads(row) for row in table["metadata"].to_pylist()] == [TEA["metadata"], WHALE["metadata"], {}]
    assert small.to_arrow(where={"year": 2024})["text"].to_pylist() == [WHALE["text"]]
    chunks = small.to_arrow("chunks", vectors=True)
    assert chunks["document"].to_pylist() == [chunk.document for chunk in small.chunk_texts()]
    for row in chunks.to_pylist():
        assert small.text(row["document"])[row["start"] : row["end"]] == row["text"]  # type: ignore[index]
    stored = np.array(chunks["vector"].to_pylist(), dtype=np.float32)
    np.testing.assert_array_equal(stored, small.internals.lookups().vectors_of(small.chunk_ids("id != ''"))[1].data)
    assert "vector" not in small.to_arrow("chunks").column_names
    assert small.to_arrow("chunks", where="id = 'tea'")["document"].to_pylist() == ["tea"]
    small.remove(small.ids())
    assert small.to_arrow().num_rows == small.to_arrow("chunks", vectors=True).num_rows == 0


def test_a_table_that_cannot_be_made_says_why(small: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="vectors of documents"):
        small.to_arrow(vectors=True)
    with pytest.raises(InvalidInput, match="rows 'passages'"):
        small.to_arrow("passages")  # type: ignore[arg-type]
    monkeypatch.setattr("gnomon.collection.export.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="pandas is not installed") as refused:
        small.to_pandas()
    assert "gnomon[data]" in refused.value.expected
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match="pyarrow is not installed"):
        small.to_arrow("chunks")


def test_a_pandas_frame_has_the_same_rows(small: Collection) -> None:
    pytest.importorskip("pandas")
    frame = small.to_pandas("chunks")
    assert frame["text"].tolist() == small.to_arrow("chunks")["text"].to_pylist()


def test_former_names_warn_and_work(small: Collection) -> None:
    with pytest.warns(DeprecationWarning, match="Collection.versions"):
        assert small.lineage is small.versions
    with pytest.warns(DeprecationWarning, match=r"versions\.list"):
        assert small.versions() == small.versions.list()
    with pytest.warns(DeprecationWarning, match=r"Collection\.ids"):
        assert small.documents() == {"tea", "whale", "dial"}
    with pytest.warns(DeprecationWarning, match=r"internals\.indexes"):
        assert len(small.view().dense) == 3
    with pytest.warns(DeprecationWarning, match=r"internals\.lookups"):
        assert small.lookups().texts_of(small.chunk_ids("id = 'tea'"))[1] == ["Tea"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        small.nothing  # noqa: B018
