"""A version that is being built, searched by new vectors and by old ones through an adapter."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.ingest.writer import EmbedOptions
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.ranking import Query
from gnomon.migrate.adapter.fit import AdapterRefused, AdapterSettings, EmbeddingAdapter
from gnomon.migrate.adapter.retriever import dual_index_retriever, embed_in_order, fit_adapter_for
from gnomon.migrate.query_log import most_searched_first
from gnomon.text.chunk import ChunkSettings
from support.adapter_spaces import count_hits
from support.version_collections import WORDS, documents, one, opened, three, two

N = 260
ANY = AdapterSettings(kinds=("scores",), min_recall=0, min_pairs=200)
QUERIES = [Query(f"{WORDS[at]} {WORDS[at + 3]} {WORDS[at + 5]}") for at in range(12)]


def words(number: int) -> str:
    """A short text of drawn words."""
    return " ".join(np.random.default_rng(number).choice(WORDS, 8)) + f" n{number}"


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """One short passage a document; v2, of another model, has nothing embedded."""
    with opened(tmp_path / "kb", settings=CollectionSettings(chunk_tokens=20, chunk_overlap=0)) as collection:
        collection.add(documents({str(number): words(number) for number in range(N)}))
        collection.versions.add(two())
        yield collection


def passages(kb: Collection) -> np.ndarray:
    with kb.internals.catalog.read() as connection:
        rows = connection.exec_driver_sql("SELECT id FROM chunks ORDER BY id").all()
    return np.array([row[0] for row in rows], dtype=np.int64)


def first(found: list) -> list[list[int]]:  # type: ignore[type-arg]
    return [ranking.ids.tolist() for ranking in found]


def made(kb: Collection) -> EmbeddingAdapter:
    """As if it had been fitted before the version was created: no new vector is kept."""
    found = fit_adapter_for(kb, two(), settings=ANY)
    with kb.internals.catalog.write() as connection:
        connection.exec_driver_sql("DELETE FROM vectors WHERE space_id = 2")
    return found


def test_passages_an_adapter_was_fitted_on_are_not_embedded_again(kb: Collection) -> None:
    adapter = fit_adapter_for(kb, two(), pairs=220, settings=ANY)
    assert dual_index_retriever(kb, "v2", adapter).refresh().embedded == 220
    assert kb.versions.backfill("v2").embedding.embedded == N - 220


def test_results_move_from_the_adapter_to_the_new_version(kb: Collection) -> None:
    adapter = made(kb)
    retriever = dual_index_retriever(kb, "v2", adapter, mode="dense")
    assert (retriever.refresh().embedded, retriever.refresh().pending) == (0, N)
    vectors = two().encode([query.text for query in QUERIES], role="query")
    assert first(retriever(QUERIES, k=9)) == first(adapter.search(kb.internals.indexes.dense, vectors, k=9))

    hot = most_searched_first(count_hits(retriever, [query.text for query in QUERIES], k=5), passages(kb))
    done = [part.embedded for part in embed_in_order(kb, "v2", hot[:40], options=EmbedOptions(16))]
    assert done == [16, 16, 8]
    assert retriever.refresh().embedded == 40
    sides = retriever(QUERIES, k=5)
    assert any(not np.isnan(ranking.stages["dense"]).all() for ranking in sides)

    caught = kb.versions.backfill("v2")
    assert caught.embedding.embedded == N - 40
    assert retriever.refresh().pending == 0
    at_the_end = first(retriever(QUERIES, k=9))
    kb.versions.mark_ready("v2")
    kb.switch("v2")
    assert first(retriever(QUERIES, k=9)) == at_the_end
    with opened(Path(kb.status().path), version="v2") as alone:
        for query, ids in zip(QUERIES, at_the_end, strict=True):
            assert [hit.chunk_id for hit in alone.search(query.text, k=9, mode="dense", by="chunk")] == ids


def test_the_keyword_index_is_searched_too(kb: Collection) -> None:
    retriever = dual_index_retriever(kb, "v2", made(kb), mode="hybrid")
    found = retriever([Query("n17"), Query("n42")], k=3)
    named = [kb.search(f"n{number}", k=1, mode="lexical", by="chunk")[0].chunk_id for number in (17, 42)]
    assert [ranking.ids[0] for ranking in found] == named
    assert set(found[0].stages) >= {"adapter", "lexical"}
    lexical = dual_index_retriever(kb, "v2", made(kb), mode="lexical")
    assert lexical([Query("n17")], k=1)[0].ids.tolist() == named[:1]


def test_added_and_removed_documents_are_seen(kb: Collection) -> None:
    retriever = dual_index_retriever(kb, "v2", made(kb), mode="dense")
    list(embed_in_order(kb, "v2", passages(kb)[:100]))
    retriever.refresh()
    before = retriever([Query(words(3)), Query(words(200))], k=2)
    kb.remove(["3", "200"])  # one with a new vector, one without
    after = retriever([Query(words(3)), Query(words(200))], k=2)
    for a, b in zip(before, after, strict=True):
        assert a.ids[0] not in b.ids
    kb.add(documents({"new": "zephyr zephyr willow n999"}))
    found = retriever([Query("zephyr zephyr willow n999")], k=1)[0]
    assert found.ids.tolist() == [int(passages(kb)[-1])]
    assert retriever.refresh() == replace(retriever.refresh(), embedded=99, pending=N - 2 + 1 - 99)


def test_an_adapter_of_other_models_is_refused(kb: Collection) -> None:
    adapter = made(kb)
    with pytest.raises(SpaceMismatch):
        dual_index_retriever(kb, "v2", replace(adapter, old=adapter.new, new=adapter.old))
    with pytest.raises(SpaceMismatch):
        dual_index_retriever(kb, kb.versions.add(three()).name, adapter)
    with pytest.raises(InvalidInput, match="has no version v9"):
        dual_index_retriever(kb, "v9", adapter)


def test_versions_with_other_passages_are_refused(kb: Collection) -> None:
    other = kb.versions.add(two(), chunking=ChunkSettings(10, 0, True))
    with pytest.raises(InvalidInput, match=f"{other.name} has other passages than v1"):
        dual_index_retriever(kb, other.name, made(kb))


def test_a_switch_to_a_third_version_is_a_space_mismatch(kb: Collection) -> None:
    retriever = dual_index_retriever(kb, "v2", made(kb), mode="dense")
    third = kb.versions.add(three()).name
    kb.versions.backfill(third)
    kb.versions.mark_ready(third)
    kb.switch(third)
    with pytest.raises(SpaceMismatch):
        retriever(QUERIES, k=3)


def test_fitting_reports_progress_and_may_refuse(kb: Collection) -> None:
    heard: list[tuple[int, int]] = []
    queries = [words(number) for number in range(1000, 1040)]
    made = fit_adapter_for(
        kb,
        two(),
        pairs=220,
        queries=queries,
        settings=ANY,
        progress=lambda event: heard.append((event.done, event.total)),
    )
    assert heard[-1] == (220, 220)
    assert (made.quality.pairs, made.quality.queries, made.quality.of_passages) == (220, 20, False)
    with pytest.raises(AdapterRefused, match="fitted on 260 pairs"):
        fit_adapter_for(kb, two(), settings=AdapterSettings(min_recall=1.0, min_pairs=200))
    with pytest.raises(InvalidInput, match="120 pairs"):
        fit_adapter_for(kb, two(), pairs=120)
    with pytest.raises(InvalidInput, match="both sides are of"):
        fit_adapter_for(kb, one())
