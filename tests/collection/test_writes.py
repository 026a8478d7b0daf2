"""Batches against a slow twin: one document after the other into a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from gnomon.collection.address import collection_address
from gnomon.collection.catalog import mutations, queries, schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.documents import Chunk, Document
from gnomon.text.parts import ChunkedDocument, FilePart, SourceFile

ON_BOTH = True

CHUNKING = 1
FILES = ("/a.csv", "/b.csv", "/c.md")


@dataclass(frozen=True)
class Row:
    """A document as it stands: whose it is, and what it says."""

    path: str | None
    document: Document


@dataclass
class Twin:
    """What the catalog should hold, and what the writes should have told."""

    rows: dict[str, Row] = field(default_factory=dict)
    sources: dict[str, tuple[int, str]] = field(default_factory=dict)
    under_way: dict[str, set[str]] = field(default_factory=dict)

    def put(self, key: str, path: str | None, document: Document) -> None:
        old = self.rows.get(key)
        same = old and (old.document.text, old.document.metadata) == (document.text, document.metadata)
        if not same:
            self.rows.pop(key, None)
            self.rows[key] = Row(path, document)

    def write(self, part: FilePart) -> None:
        path = part.source.path
        if part.unchanged:
            if path in self.sources:
                self.sources[path] = (part.source.size, self.sources[path][1])
            return
        own = self.under_way.setdefault(path, set())
        for prepared in part.documents:
            key = prepared.document.id
            if key in self.rows and self.rows[key].path != path:
                key = f"{path}#{key}"
            self.put(key, path, prepared.document)
            own.add(key)
        self.sources[path] = (part.source.size, part.source.sha256 if part.last else "")
        if part.last:
            for key in [key for key, row in self.rows.items() if row.path == path and key not in own]:
                del self.rows[key]
            del self.under_way[path]

    def remove(self, keys: list[str]) -> None:
        gone = {row.path for key in keys if (row := self.rows.pop(key, None))}
        for path in gone - {row.path for row in self.rows.values()} - {None}:
            del self.sources[path]

    def remove_files(self, paths: list[str]) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row.path not in paths}
        self.sources = {path: seen for path, seen in self.sources.items() if path not in paths}


def prepared(document: Document) -> ChunkedDocument:
    """A chunk each word."""
    words = document.text.split()
    return ChunkedDocument(document, tuple(Chunk(document.id, n, n, n + 1, w, w, 1) for n, w in enumerate(words)))


documents = st.builds(
    lambda key, text, year: prepared(Document(key, text, metadata={"year": year})),
    st.sampled_from(["1", "2", "3", "/a.csv#1"]),  # the last as if a hand had taken a file's other name
    st.sampled_from(["", "tea", "tea kettle", "whale river otter"]),
    st.integers(0, 1),
)
parts = st.builds(
    lambda path, size, digest, some, last: FilePart(SourceFile(path, size, 0, digest), tuple(some), last=last),
    st.sampled_from(FILES),
    st.integers(1, 9),
    st.sampled_from(["x", "y"]),
    st.lists(documents, max_size=3),
    st.booleans(),
) | st.builds(
    lambda path, size: FilePart(SourceFile(path, size, 0, "x"), unchanged=True),
    st.sampled_from(FILES),
    st.integers(1, 9),
)
steps = st.one_of(
    st.tuples(st.just("files"), st.lists(parts, max_size=5)),
    st.tuples(st.just("hand"), st.lists(documents, max_size=5)),
    st.tuples(st.just("remove"), st.lists(st.sampled_from(["1", "2", "3", "/b.csv#1"]), max_size=3)),
    st.tuples(st.just("gone"), st.lists(st.sampled_from(FILES), max_size=2)),
)


def made(place: str) -> Catalog:
    catalog = Catalog(collection_address(place), create=True)
    with catalog.write() as connection:
        connection.execute(insert(schema.chunkings).values(id=CHUNKING, settings="{}"))
    return catalog


@pytest.fixture(scope="module")
def catalog(new_place: Callable[[], str]) -> Iterator[Catalog]:
    """An empty catalog with a chunking."""
    opened = made(new_place())
    yield opened
    opened.close()


@contextmanager
def undone(catalog: Catalog) -> Iterator[Connection]:
    """A write transaction that is taken back at its end: the catalog stays empty, no disk is waited for."""
    with catalog.write() as connection:
        yield connection
        transaction = connection.get_transaction()
        assert transaction is not None
        transaction.rollback()


def in_a_run(some: list[FilePart]) -> list[FilePart]:
    """Those of the parts that a run could bring: nothing follows a file's last part."""
    kept: list[FilePart] = []
    for part in some:
        own = [other for other in kept if other.source.path == part.source.path]
        if not any(other.last for other in own) and not (own and part.unchanged):
            kept.append(part)
    return kept


def step(connection: Any, twin: Twin, kind: str, given: list[Any]) -> mutations.CatalogChange:
    """The same to the catalog, in one batch, and to the twin, one by one."""
    if kind == "files":
        given = in_a_run(given)
        there = {part.source.path for part in given if not part.unchanged}
        earlier = {path: set(own) for path, own in twin.under_way.items()}
        change, keys = mutations.write_parts(connection, CHUNKING, given, written=twin.under_way)
        for part in given:
            twin.write(part)
        assert keys.keys() == there
        for path in there - {part.source.path for part in given if part.last}:
            assert keys[path] | earlier.get(path, set()) == twin.under_way[path]
        return change
    if kind == "hand":
        change = mutations.write_documents(connection, CHUNKING, given)
        for each in given:
            twin.put(each.document.id, None, each.document)
        return change
    if kind == "remove":
        change = mutations.remove_documents(connection, given)
        twin.remove(given)
        return change
    change = mutations.remove_sources(connection, given)
    twin.remove_files(given)
    return change


def held(connection: Any) -> dict[str, tuple[str | None, str, str, list[str]]]:
    """The catalog's documents with their files and chunks."""
    paths = {row.id: row.path for row in connection.execute(select(schema.sources))}
    texts: dict[int, list[str]] = {}
    for row in connection.execute(select(schema.chunks).order_by(schema.chunks.c.ordinal)):
        texts.setdefault(row.document_id, []).append(row.text)
    return {
        row.key: (paths.get(row.source_id), row.content_hash, row.metadata, texts.get(row.id, []))
        for row in connection.execute(select(schema.documents))
    }


def expected(twin: Twin) -> dict[str, tuple[str | None, str, str, list[str]]]:
    return {
        key: (row.path, row.document.content_hash, f'{{"year": {row.document.metadata["year"]}}}',
              row.document.text.split())
        for key, row in twin.rows.items()
    }  # fmt: skip


def whole(*names: str, last: bool = True) -> FilePart:
    """A part of a file with documents of these names."""
    some = tuple(prepared(Document(name, "tea kettle", metadata={"year": 0})) for name in names)
    return FilePart(SourceFile("/a.csv", 1, 0, "x"), some, last=last)


@example([("files", [whole("1", "2", last=False)]), ("files", [whole("3")])])  # in two batches
@example([("files", [whole("1", "2")]), ("files", [whole("2")])])  # one of its documents is gone
@example([("files", [whole("1", "2")]), ("remove", ["1"]), ("remove", ["2"])])  # it is kept, then forgotten
@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=6))
def test_a_batch_does_what_its_documents_do_one_by_one(catalog: Catalog, made_of: list[tuple[str, list[Any]]]) -> None:
    twin, most = Twin(), 0
    with undone(catalog) as connection:
        for kind, given_ in made_of:
            before = queries.all_ids(connection, CHUNKING)
            position = queries.head(connection).seq
            change = step(connection, twin, kind, given_)
            after = queries.all_ids(connection, CHUNKING)
            assert held(connection) == expected(twin)
            stored = queries.stored_sources(connection)
            assert {path: (row.size, row.sha256) for path, row in stored.items()} == twin.sources
            moved = queries.delta(connection, CHUNKING, position, upto=queries.head(connection).seq)
            new = set(after.tolist()) - set(before.tolist())
            assert set(moved.added.tolist()) == new
            assert set(moved.removed.tolist()) == set(before.tolist()) - set(after.tolist())
            assert change.added - change.removed == len(after) - len(before)
            assert not new or min(new) > most  # an id is never used twice
            most = max([most, *new])


def test_a_batch_of_any_size(catalog: Catalog) -> None:
    some = [prepared(Document(str(n), f"number {n}")) for n in range(1300)]
    new = [replace(each, document=replace(each.document, title="new")) for each in some]
    with undone(catalog) as connection:
        assert mutations.write_documents(connection, CHUNKING, some) == mutations.CatalogChange(1300, 2600)
        assert mutations.write_documents(connection, CHUNKING, some) == mutations.CatalogChange()
        assert mutations.write_documents(connection, CHUNKING, [*new, *some]) == mutations.CatalogChange(
            2600, 5200, 5200
        )
        assert mutations.remove_documents(connection, [str(n) for n in range(1300)]) == mutations.CatalogChange(
            0, 0, 2600
        )
        assert len(queries.delta(connection, CHUNKING, 0, upto=queries.head(connection).seq).added) == 0
    with catalog.read() as connection:
        assert queries.count(connection, schema.documents) == queries.count(connection, schema.journal) == 0


def test_what_a_batch_costs_in_statements_does_not_grow_with_it(catalog: Catalog) -> None:
    from sqlalchemy import event

    counted: list[str] = []
    counts = []
    for size in (3, 400):
        with undone(catalog) as connection:
            listen = (connection, "before_cursor_execute", lambda *given: counted.append(given[2]))
            event.listen(*listen)
            mutations.write_documents(
                connection, CHUNKING, [prepared(Document(f"{size}/{n}", "tea")) for n in range(size)]
            )
        counts.append(len(counted))
        counted.clear()
    assert counts[0] == counts[1] < 9
