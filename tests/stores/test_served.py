"""Collections whose vectors are in a store: the same hits, switched, lost, changed by others, out of reach."""

from __future__ import annotations

import pathlib
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.indexes.store_index import StoreIndex, store_name
from gnomon.core.errors import InvalidInput, LaggingStore, ServerUnreachable, StoreChanged, WordsOnly
from gnomon.core.stores import StoreItems
from gnomon.doctor import examine
from gnomon.stores import faiss
from gnomon.stores.faiss import FaissStore
from gnomon.testing import HashEncoder, LateHashEncoder
from support.odd_stores import FilteringStore

WORDS = "tea kettle water whale sundial shadow key river stone otter".split()
ENCODER = HashEncoder(32)
QUERIES = ("tea kettle", "whale shadow river", "stone")


def documents(count: int, *, first: int = 0) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(first, first + count):
        rng = random.Random(number)
        text = " ".join(rng.choices(WORDS, k=12))
        made.append({"id": f"d{number}", "text": text, "metadata": {"year": 2000 + number % 20}})
    return made


@pytest.fixture
def place(tmp_path: pathlib.Path) -> str:
    return f"faiss://{tmp_path}/stores"


@pytest.fixture
def kb(tmp_path: pathlib.Path, place: str) -> Iterator[Collection]:
    with gnomon.open(tmp_path / "kb", encoder=ENCODER, store=place) as kb:
        kb.add(documents(60))
        yield kb


def store_of(kb: Collection) -> StoreIndex:
    index = kb.internals.indexes.dense
    assert isinstance(index, StoreIndex)
    return index


def found(kb: Collection, *, mode: str = "dense", where: str | None = None) -> list[list[tuple[str, float]]]:
    hits = [kb.search(query, k=5, mode=mode, where=where) for query in QUERIES]  # type: ignore[arg-type]
    return [[(hit.document, round(hit.score, 4)) for hit in each] for each in hits]


def test_it_finds_what_a_local_index_finds(tmp_path: pathlib.Path, kb: Collection) -> None:
    with gnomon.open(tmp_path / "local", encoder=ENCODER) as local:
        local.add(documents(60))
        for each in (kb, local):
            each.add(documents(10, first=60))
            each.remove(["d3", "d61"])
        for mode in ("dense", "hybrid"):
            assert found(kb, mode=mode) == found(local, mode=mode)
            assert found(kb, mode=mode, where="year > 2010") == found(local, mode=mode, where="year > 2010")
    (dense, lexical) = kb.status().derived
    assert (dense.kind, dense.state, dense.rows, dense.recall) == ("faiss", "current", 68, 1.0)
    assert dense.place.endswith(store_name(kb.internals.catalog, kb.version))
    assert lexical.state == "current"


def test_another_process_finds_what_was_put_in(tmp_path: pathlib.Path, kb: Collection) -> None:
    with gnomon.open(tmp_path / "kb", encoder=ENCODER) as other:
        assert found(other) == found(kb)
        kb.add(documents(20, first=60))
        assert found(other) == found(kb)
        other.remove([hit.document for hit in kb.search("tea kettle", mode="dense")])
        assert found(other) == found(kb)


def test_conditions_are_left_to_an_engine_that_filters(
    tmp_path: pathlib.Path, kb: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = found(kb, where="year > 2010")
    asked = []
    search = FilteringStore.search

    def noted(self: FilteringStore, queries: object, **options: object) -> object:
        asked.append(options["where"])
        return search(self, queries, **options)

    monkeypatch.setattr(FilteringStore, "search", noted)
    monkeypatch.setattr(faiss, "FaissStore", FilteringStore)
    with gnomon.open(tmp_path / "other", encoder=ENCODER, store=f"faiss://{tmp_path}/filtering") as other:
        other.add(documents(60))
        assert found(other, where="year > 2010") == wanted
        assert asked
        assert not any(isinstance(each, np.ndarray) or each is None for each in asked[-3:])
        found(other, where="source like '%'")
        assert isinstance(asked[-1], np.ndarray), "a moved file's source changes without an entry in the journal"
        other.fields.set_type("year", "text")
        assert found(other, where="year > '2010'") == wanted
        assert isinstance(asked[-1], np.ndarray), "the store's fields were written with other types"
        other.versions.build_indexes("v1")
        assert found(other, where="year > '2010'") == wanted
        assert not isinstance(asked[-1], np.ndarray), "written anew"


def test_versions_are_switched_rolled_back_and_dropped(tmp_path: pathlib.Path, kb: Collection, place: str) -> None:
    before = found(kb)
    retrieval = gnomon.RetrievalSettings(store=f"{place}-other")
    kb.versions.add(ENCODER, retrieval=retrieval)
    kb.versions.backfill("v2")
    kb.versions.mark_ready("v2")
    kb.versions.build_indexes("v2")
    kb.versions.switch("v2")
    assert found(kb) == before
    kb.add(documents(5, first=60))
    after = found(kb)
    kb.versions.rollback()
    assert found(kb) == after
    kb.versions.retire("v2")
    assert list((tmp_path / "stores-other").iterdir())
    kb.versions.prune()
    assert list((tmp_path / "stores-other").iterdir()) == []
    assert found(kb) == after


def test_a_store_that_was_deleted_is_an_error_until_it_is_filled_anew(kb: Collection, tmp_path: pathlib.Path) -> None:
    right = found(kb)
    store_of(kb).store.drop()
    with pytest.raises(StoreChanged):
        kb.search("tea", mode="dense")
    report = kb.add(documents(1, first=60))
    assert [problem.kind for problem in report.problems] == ["problem"]
    assert "gone" in report.problems[0].reason
    with gnomon.open(tmp_path / "kb", encoder=ENCODER) as other, pytest.raises(StoreChanged, match="gone"):
        other.search("tea")
    kb.remove("d60")
    store_of(kb).drop()
    kb.versions.build_indexes("v1")
    assert found(kb) == right


@pytest.mark.parametrize("change", ["more", "less", "other"])
def test_a_store_that_others_changed_is_an_error(tmp_path: pathlib.Path, kb: Collection, change: str) -> None:
    store = store_of(kb).store
    ids = store.ids()
    _, vectors = store.vectors_of(ids)
    kb.close()
    assert isinstance(store, FaissStore)
    if change == "less":
        store.delete(ids[:1])
    else:
        rows = gnomon.Vectors(-vectors.data, vectors.space)
        others = ids + (1000 if change == "more" else 0)
        nothing = [""] * len(ids)
        store.upsert(StoreItems(others, rows, nothing, nothing, [{}] * len(ids), [{}] * len(ids)))
    store.close()
    with gnomon.open(tmp_path / "kb", encoder=ENCODER) as other, pytest.raises(StoreChanged, match="changed"):
        other.search("tea", mode="dense")


def lost(*arguments: object, **options: object) -> object:
    raise ServerUnreachable("no answer", expected="an answer", hint="start it")


def test_an_engine_out_of_reach_leaves_the_words(kb: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("search", "position", "upsert", "count"):
        monkeypatch.setattr(FaissStore, name, lost)
    report = kb.add(documents(1, first=60))
    assert "no answer" in report.problems[0].reason
    assert report.documents == 1
    with pytest.warns((WordsOnly, LaggingStore)) as said:
        assert kb.search("tea kettle")
    assert {each.category for each in said} == {WordsOnly, LaggingStore}
    with pytest.raises(ServerUnreachable), warnings.catch_warnings(action="ignore"):
        kb.search("tea", mode="dense")
    assert [each.state for each in kb.status().derived] == ["unreachable", "current"]


def test_a_restored_catalog_fills_its_store_anew(tmp_path: pathlib.Path, kb: Collection, place: str) -> None:
    kb.close()
    shutil.copytree(tmp_path / "kb", tmp_path / "copy")
    with gnomon.open(tmp_path / "kb", encoder=ENCODER) as later:
        later.add(documents(30, first=100))
    shutil.rmtree(tmp_path / "kb")
    shutil.copytree(tmp_path / "copy", tmp_path / "kb")
    with gnomon.open(tmp_path / "kb", encoder=ENCODER) as restored:
        restored.add([{"id": "new", "text": "tea kettle tea kettle"}])
        assert restored.search("tea kettle", mode="dense")[0].document == "new"
        assert store_of(restored).count() == 61


def test_a_fill_that_was_cut_off_goes_on(tmp_path: pathlib.Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon.collection.indexes.store_filling.BATCH", 16)
    put: list[int] = []
    upsert: Callable[..., None] = FaissStore.upsert

    def failing(self: FaissStore, items: StoreItems) -> None:
        if len(put) == 2:
            put.append(0)
            lost()
        put.append(len(items))
        upsert(self, items)

    monkeypatch.setattr(FaissStore, "upsert", failing)
    with gnomon.open(tmp_path / "kb", encoder=ENCODER, store=place) as kb:
        report = kb.add(documents(60))
        assert "no answer" in report.problems[0].reason
        kb.versions.build_indexes("v1")
        assert put == [16, 16, 0, 16, 12]
        assert len(kb.search("tea", k=60, mode="dense", collapse=False)) == 60
        del put[:]
        assert "no answer" in kb.add(documents(40, first=60)).problems[0].reason
        kb.versions.build_indexes("v1")
        assert (put, store_of(kb).count()) == ([16, 16, 0, 8], 100), "what was stamped is not put in again"


def test_what_no_store_takes_is_refused_before_anything_is_built(tmp_path: pathlib.Path, kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="password"):
        gnomon.open(tmp_path / "other", encoder=ENCODER, store="qdrant://me:secret@host")
    with pytest.raises(InvalidInput, match="nosuch"):
        gnomon.open(tmp_path / "other", encoder=ENCODER, store="nosuch://host")
    with pytest.raises(InvalidInput, match="several vectors"):
        gnomon.open(tmp_path / "late", encoder=LateHashEncoder(16), store=f"faiss://{tmp_path}/late")
    with pytest.raises(InvalidInput, match="made with"):
        gnomon.open(tmp_path / "kb", encoder=ENCODER, store="faiss:///elsewhere")


@pytest.mark.parametrize("change", ["more", "less", "other", "gone", "none"])
def test_the_doctor_names_what_is_wrong_and_fills_it_anew(kb: Collection, change: str) -> None:
    right, store = found(kb), store_of(kb).store
    ids = store.ids()
    _, vectors = store.vectors_of(ids)
    nothing = [""] * len(ids)
    others = StoreItems(
        ids + (1000 if change == "more" else 0), gnomon.Vectors(-vectors.data, vectors.space), nothing, nothing,
        [{}] * len(ids), [{}] * len(ids),
    )  # fmt: skip
    if change == "less":
        store.delete(ids[:7])
    elif change == "gone":
        store.drop()
    elif change != "none":
        store.upsert(others)
    findings = [each for each in examine(kb, sample=1).findings if each.check.startswith("store")]
    counts = {"more": [60], "less": [7], "other": [60], "gone": [1], "none": []}[change]
    assert [each.count for each in findings] == counts
    report = examine(kb, sample=1, fix=True)
    assert not [each for each in report.findings if each.check.startswith("store")]
    assert found(kb) == right
