"""Random histories: what is served of a store is what the catalog says, or an error; a store that lags says so."""

from __future__ import annotations

import pathlib
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.catalog import queries
from gnomon.collection.indexes import store_filling, store_index
from gnomon.collection.indexes.store_index import StoreIndex
from gnomon.core.errors import GnomonError, LaggingStore, ServerUnreachable, WordsOnly
from gnomon.stores.engine import EngineStore
from gnomon.stores.faiss import FaissStore
from gnomon.testing import HashEncoder
from support.postgres import PostgresServer

WORDS = "tea kettle water whale sundial shadow key river stone otter".split()
ENCODER = HashEncoder(16)
LOSING = ("upsert", "delete", "stamp", "position", "search", "create", "count", "ids")


class History:
    """A writer and a server on one catalog, and an engine whose requests get lost before or after they were done."""

    def __init__(self, folder: str, store: str, seed: int) -> None:
        self.rng, self.folder, self.store = random.Random(seed), folder, store
        self.loss = 0.0
        self.writer, self.server = self.open(), self.open()
        self.count = 0
        self.told_lag = self.failed = self.compared = 0

    def open(self) -> Collection:
        return gnomon.open(self.folder, encoder=ENCODER, store=self.store)

    def maybe_lose(self, when: str) -> None:
        if self.rng.random() < self.loss / 2:
            raise ServerUnreachable(f"lost {when}", expected="an answer", hint="again")

    def step(self) -> None:
        action = self.rng.choice(["add", "add", "remove", "replace", "reopen", "switch", "lose", "lose"])
        with warnings.catch_warnings(action="ignore"):
            getattr(self, action)()
        self.search()

    def add(self) -> None:
        self.writer.add([self.document(self.count + at) for at in range(self.rng.randrange(1, 30))])
        self.count += 30

    def replace(self) -> None:
        self.writer.add([self.document(self.rng.randrange(self.count + 1)) for _ in range(5)])

    def remove(self) -> None:
        ids = self.writer.ids()
        self.writer.remove(self.rng.sample(ids, min(len(ids), 8)))

    def reopen(self) -> None:
        if self.rng.random() < 0.5:
            self.writer.close()
            self.writer = self.open()
        else:
            self.server.close()
            self.server = self.open()

    def lose(self) -> None:
        self.loss = self.rng.choice([0.0, 0.0, 0.05, 0.3])

    def switch(self) -> None:
        """To a version of its own chunks' vectors in another engine collection, or back."""
        try:
            names = [each.name for each in self.writer.versions.list() if each.state == "ready"]
            if names:
                self.writer.versions.switch(self.rng.choice(names))
            elif len(self.writer.versions.list()) < 3:
                mode = gnomon.RetrievalSettings(store=self.store, language="none")
                name = self.writer.versions.add(ENCODER, retrieval=mode).name
                self.writer.versions.backfill(name)
                self.writer.versions.mark_ready(name)
                self.writer.versions.switch(name)
        except GnomonError:
            self.failed += 1

    def document(self, number: int) -> dict[str, Any]:
        return {"id": f"d{number}", "text": " ".join(self.rng.choices(WORDS, k=8))}

    def search(self) -> None:
        """Everything that is found is in the catalog as it is served, and all is there where no lag was told."""
        for kb in (self.writer, self.server):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                try:
                    hits = kb.search("tea kettle", mode="dense", k=2000, collapse=False)
                except GnomonError:
                    self.failed += 1
                    continue
            told = {each.category for each in said}
            assert WordsOnly not in told
            with kb.internals.catalog.read() as connection:
                ids = queries.all_ids(connection, kb.internals.serving.active.version.chunking_id)
                version = kb.internals.serving.active.version
                _, vectors = queries.vectors_of(connection, version.space_id, version.space, ids=ids)
            exact = dict(
                zip(ids.tolist(), ENCODER.encode(["tea kettle"], role="query").similarity(vectors)[0], strict=True)
            )
            found = {hit.chunk_id: hit.score for hit in hits}
            assert set(found) <= set(exact)
            for one, score in found.items():
                assert abs(score - exact[one]) < 5e-3
            if LaggingStore in told:
                self.told_lag += 1
            else:
                assert set(found) == set(exact), "passages lack, and no lag was told"
                self.compared += 1

    def close(self) -> None:
        self.writer.close()
        self.server.close()


def losing(kind: type, history: list[History], monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to stores of a class get lost before or after the engine did them."""
    for name in LOSING:
        right: Callable[..., Any] = getattr(kind, name)

        def lossy(self: Any, *arguments: Any, right: Callable[..., Any] = right, **options: Any) -> Any:
            for each in history:
                each.maybe_lose("before")
            done = right(self, *arguments, **options)
            for each in history:
                each.maybe_lose("after")
            return done

        monkeypatch.setattr(kind, name, lossy)


def run(folder: str, store: str, kind: type, *, seeds: range, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_filling, "BATCH", 16)
    monkeypatch.setattr(store_index, "_UNREACHABLE_S", 0.0)
    monkeypatch.setattr(store_index, "_AGAIN_S", 0.0)
    current: list[History] = []
    losing(kind, current, monkeypatch)
    told = failed = compared = 0
    for seed in seeds:
        history = History(f"{folder}{seed}", store, seed)
        current[:] = [history]
        history.loss = 0.0
        for _ in range(steps):
            history.step()
        history.loss = 0.0
        with warnings.catch_warnings(action="ignore"):
            live = next(each.name for each in history.writer.versions.list() if each.state == "live")
            history.writer.versions.build_indexes(live)
        index = history.writer.internals.indexes.dense
        assert isinstance(index, StoreIndex)
        with history.writer.internals.catalog.read() as connection:
            ids = queries.all_ids(connection, history.writer.version.chunking_id)
        assert np.array_equal(index.store.ids(), ids)
        told, failed, compared = told + history.told_lag, failed + history.failed, compared + history.compared
        current.clear()
        history.close()
    assert min(compared, failed, told) > 0, "histories in which nothing is lost show nothing"


def test_histories_with_faiss(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(f"{tmp_path}/kb", f"faiss://{tmp_path}/s", FaissStore, seeds=range(2), steps=25, monkeypatch=monkeypatch)


@pytest.mark.slow
def test_many_histories_with_faiss(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(f"{tmp_path}/kb", f"faiss://{tmp_path}/s", FaissStore, seeds=range(10, 25), steps=40, monkeypatch=monkeypatch)


@pytest.mark.slow
def test_histories_with_pgvector(
    postgres: PostgresServer, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _, own = postgres.url("x").partition("?")
    place = f"{base.removesuffix('/x')}?{own}"
    run(f"{tmp_path}/kb", place, EngineStore, seeds=range(3), steps=30, monkeypatch=monkeypatch)
