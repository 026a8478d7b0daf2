"""One store over any vector engine: what engines differ in is an `Engine`, all else of the contract is here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.conditions import Condition, FieldType
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities, StoreItems, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.stores.fields import EngineFilter, IndexedFields, bound_columns, indexed, negates, translated
from gnomon.stores.label import StoreLabel, collection_gone, require_label, require_space, unreadable
from gnomon.stores.requests import Failure, batches, check_space, id_blocks, no_words, prepared, ranking, request

_FRESH_S = 1.0
"""How long a server's label is trusted before searches; writes always look at it."""
_SPARE = 8
"""Hits asked for beyond k, so that those of equal scores come in order of id."""
_MOST_TIED = 5_000
"""Hits of equal scores that are put in order of id."""

Hits = list[tuple[int, float]]
Where = EngineFilter | list[int] | None
Result = TypeVar("Result")

_OF_PROGRAMS = (TypeError, AttributeError, LookupError, NameError, ArithmeticError, AssertionError, ImportError)


@dataclass(frozen=True)
class EngineLimits:
    """What an engine takes in one request: chunks and bytes put in, allowed ids, hits.

    `negation`: it has filters that say which terms are not there.
    """

    rows: int = 1000
    bytes: int = 4 << 20
    bytes_per_number: int = 4
    ids: int = 50_000
    hits: int | None = None
    negation: bool = True


@dataclass(frozen=True)
class EngineRows:
    """Chunks as an engine keeps them: vectors of length 1 for cosine, and texts that begin with their titles."""

    ids: list[int]
    vectors: Float[np.ndarray, "rows dim"]
    fields: list[IndexedFields]
    texts: list[str]


class Engine(Protocol):
    """The requests of one engine about one of its collections. Each may be sent twice, and does the same then.

    Exceptions are the client library's own; `failure_of` says what they mean.
    """

    capabilities: StoreCapabilities
    similarities: tuple[Similarity, ...]
    limits: EngineLimits

    def failure_of(self, error: Exception) -> Failure | None:
        """What a library's exception means, None for a fault of this program."""
        ...

    def read_label(self, name: str) -> str | None:
        """The label of the collection of a name (or alias), "" where it has none, None where there is none such."""
        ...

    def write_label(self, name: str, label: str) -> None:
        """Keep a label with the collection."""
        ...

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a collection with its label; one that is there already is left as it is."""
        ...

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Prepare columns of numbers for filters, where the engine wants that."""
        ...

    def put(self, name: str, rows: EngineRows) -> None:
        """Put chunks in, in place of those of the same ids, durably and to be found at once."""
        ...

    def remove(self, name: str, ids: list[int]) -> None:
        """Take chunks out."""
        ...

    def settle(self, name: str) -> None:
        """After a batch of changes: build or extend indexes where that is due."""
        ...

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The `k` nearest with the similarity of the space, in any order."""
        ...

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The `k` best by BM25, in any order."""
        ...

    def count(self, name: str) -> int:
        """How many chunks there are, exactly."""
        ...

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids, in any order."""
        ...

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """The vectors of those ids that are there."""
        ...

    def set_alias(self, name: str, alias: str) -> None:
        """Give the collection a further name, taken from whichever has it."""
        ...

    def drop(self, name: str) -> None:
        """Delete the collection; nothing happens where there is none."""
        ...

    def close(self) -> None:
        """Close connections; twice is fine."""
        ...


class EngineStore:
    """A `gnomon.core.stores.Store` over an engine."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name
        self._label: StoreLabel | None = None
        self._seen_at = 0.0

    @property
    def capabilities(self) -> StoreCapabilities:
        """What the engine can do."""
        return self._engine.capabilities

    @property
    def name(self) -> str:
        """The engine collection's name."""
        return self._name

    def create(self, space: Space, fields: Mapping[str, FieldType]) -> None:
        """Make the engine's collection, or prepare one that is there for further fields."""
        check_space(space, self.capabilities, self._engine.similarities)
        if self._find() is None:
            made = StoreLabel(space)
            self._request(lambda: self._engine.make(self._name, space, label=made.to_text()))
            self._label = None
        require_space(self._present(), space, name=self._name)
        columns = [each for field, of in fields.items() for each in bound_columns(field, of)]
        if columns:
            self._request(lambda: self._engine.index_columns(self._name, columns))

    def upsert(self, items: StoreItems) -> None:
        """Put chunks in, in place of any of the same ids."""
        self._present().space.require(items.vectors.space)
        limits = self._engine.limits
        parts = batches(items, longest=limits.rows, most_bytes=limits.bytes, bytes_per_number=limits.bytes_per_number)
        for part in parts:
            fields = [indexed(fields, own) for fields, own in zip(part.fields, part.own, strict=True)]
            ids = [int(each) for each in part.ids]
            texts = [f"{title}\n{text}" if title else text for title, text in zip(part.titles, part.texts, strict=True)]
            rows = EngineRows(ids, prepared(part.vectors), fields, texts)
            self._request(partial(self._engine.put, self._name, rows))

    def delete(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out."""
        self._present()
        for block in id_blocks(ids, self._engine.limits.ids):
            self._request(partial(self._engine.remove, self._name, block))

    def can_filter(self, condition: Condition) -> bool:
        """Whether every engine finds exactly what the catalog would: see `gnomon.stores.fields.translated`."""
        return self._filter_of(condition) is not None

    def search(
        self, queries: Vectors, *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` most similar chunks for each query."""
        space = self._fresh().space
        space.require(queries.space)

        def one(query: Float[np.ndarray, " dim"], wanted: int, within: Where) -> Hits:
            return self._engine.search(self._name, query, k=wanted, where=within, space=space)

        return self._ranked(list(prepared(queries)), one, k=k, where=where)

    def search_words(
        self, queries: Sequence[str], *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` best chunks by BM25 for each query."""
        if not self.capabilities.words:
            raise no_words(self.capabilities.engine)
        self._fresh()

        def one(query: str, wanted: int, within: Where) -> Hits:
            return self._engine.search_words(self._name, query, k=wanted, where=within)

        return self._ranked(queries, one, k=k, where=where)

    def count(self) -> int:
        """How many chunks the engine holds now, exactly."""
        self._present()
        return self._request(lambda: self._engine.count(self._name))

    def ids(self) -> Int[np.ndarray, " items"]:
        """The ids of all chunks, rising."""
        self._present()
        return np.sort(np.asarray(self._request(lambda: self._engine.ids(self._name)), dtype=np.int64))

    def vectors_of(self, ids: Int[np.ndarray, " some"]) -> tuple[Int[np.ndarray, " found"], Vectors]:
        """Ids that are there, rising, with their vectors; for cosine of length 1."""
        space = self._present().space
        found: dict[int, Float[np.ndarray, " dim"]] = {}
        for block in id_blocks(ids, self._engine.limits.rows):
            found |= self._request(partial(self._engine.vectors, self._name, block))
        there = sorted(found)
        rows = [np.asarray(found[each], dtype=np.float32) for each in there]
        return np.array(there, dtype=np.int64), Vectors.of_items(rows, space)

    def position(self) -> StorePosition | None:
        """What it was last stamped with."""
        found = self._find()
        return None if found is None else found.position

    def stamp(self, position: StorePosition) -> None:
        """Keep a position in the engine."""
        label = replace(self._present(), position=position)
        self._request(lambda: self._engine.settle(self._name))
        self._request(lambda: self._engine.write_label(self._name, label.to_text()))
        self._label = label

    def set_alias(self, alias: str) -> None:
        """Give the engine's collection a further name."""
        self._present()
        self._request(lambda: self._engine.set_alias(self._name, alias))

    def drop(self) -> None:
        """Delete the engine's collection."""
        self._request(lambda: self._engine.drop(self._name))
        self._label = None

    def close(self) -> None:
        """Close connections."""
        self._engine.close()

    def _find(self) -> StoreLabel | None:
        """The label as it is now, None where there is no collection. Raises StoreChanged for another one's."""
        text = self._request(lambda: self._engine.read_label(self._name))
        if text is None:
            return None
        self._label = require_label(StoreLabel.from_text(text, name=self._name), self._label, name=self._name)
        self._seen_at = time.monotonic()
        return self._label

    def _present(self) -> StoreLabel:
        found = self._find()
        if found is None:
            raise collection_gone(self._name, self.capabilities.engine)
        return found

    def _fresh(self) -> StoreLabel:
        """The label, looked at anew where looking is cheap or the last look is long ago."""
        if self._label is None or not self.capabilities.remote or time.monotonic() - self._seen_at > _FRESH_S:
            return self._present()
        return self._label

    def _ranked(
        self,
        queries: Sequence[Any],
        one: Callable[[Any, int, Where], Hits],
        *,
        k: int,
        where: Condition | Int[np.ndarray, " allowed"] | None,
    ) -> list[Ranking]:
        most = self._engine.limits.hits
        if most is not None and k > most:
            raise InvalidInput(f"{k:,} hits from {self.capabilities.engine}", expected=f"at most {most:,}")
        wanted = k + _SPARE if most is None else min(k + _SPARE, most)
        within = self._within(where)

        def ranked(query: Any) -> Ranking:
            hits = [hit for part in within for hit in self._hits(query, one, k=k, wanted=wanted, within=part)]
            return ranking(hits, k)

        return [ranked(query) for query in queries]

    def _hits(self, query: Any, one: Callable[[Any, int, Where], Hits], *, k: int, wanted: int, within: Where) -> Hits:
        """The best hits, and all that score as the last of them does, whose order is by id: engines have another."""
        most = min(self._engine.limits.hits or _MOST_TIED, max(_MOST_TIED, wanted))
        while True:
            hits = self._request(partial(one, query, wanted, within))
            if len(hits) < wanted or wanted >= most:
                return hits
            scores = sorted((score for _, score in hits), reverse=True)
            if scores[k - 1] > scores[-1]:
                return hits
            wanted = min(4 * wanted, most)

    def _within(self, where: Condition | Int[np.ndarray, " allowed"] | None) -> list[Where]:
        """The filter of a search; many ids are several, whose hits are put together."""
        if where is None:
            return [None]
        if isinstance(where, np.ndarray):
            return list(id_blocks(where, self._engine.limits.ids))
        filtered = self._filter_of(where)
        if filtered is None:
            raise InvalidInput(
                f"a condition that {self.capabilities.engine} cannot compare as the catalog does",
                expected="one that can_filter says yes to",
                hint="give the ids of the chunks that meet it",
            )
        return [filtered]

    def _filter_of(self, condition: Condition) -> EngineFilter | None:
        """A condition as the engine's filter, None where it has none that finds the same."""
        filtered = translated(condition)
        return None if filtered is not None and not self._engine.limits.negation and negates(filtered) else filtered

    def _request(self, call: Callable[[], Result]) -> Result:
        return request(call, failure_of=self._failure_of)

    def _failure_of(self, error: Exception) -> Failure | None:
        """What an engine's exception means. Of an engine in this process, one without a name is of its files."""
        known = self._engine.failure_of(error)
        if known is not None or self.capabilities.remote or isinstance(error, _OF_PROGRAMS):
            return known
        return Failure(unreadable(self._name, self.capabilities.engine, error))
