"""Reports: what an index run, a switch or a prune did, and what is in a collection."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from gnomon.collection.catalog import fields, queries, schema, spending
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.fields import FieldInfo, Misfits
from gnomon.collection.catalog.spending import Spent
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.space_indexes import SpaceState
from gnomon.collection.indexes.state import derived_folder, lexical_languages, lexical_position, read_state
from gnomon.collection.indexes.store_index import StoreIndex, store_name
from gnomon.collection.indexes.vector_index import has_file, kind_of
from gnomon.core.errors import GnomonError, StoreChanged
from gnomon.stores import StoreAddress


@dataclass(frozen=True, slots=True)
class Problem:
    """A file or text that was not indexed as it should be. `skipped` is True where nothing of it was indexed."""

    path: str
    reason: str
    hint: str = ""
    skipped: bool = True
    kind: str = "problem"
    """"no reader": a file of a kind that nothing here reads. "kept": a folder that seems lost. "control characters",
    "mojibake", "unknown tokens" and "boilerplate": what the quality check says of texts that are indexed."""


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an index run did. Times are wall seconds; `tokens` counts those embedded in this run.

    Files that were found are `unchanged`, `indexed`, `moved` (the same under another path, its vectors kept) or
    failed. `removed` ones are gone, or left out now; `ignored` counts what ignore files leave out, a folder as one.
    Where a server embedded them, `requests` are those answered, `tokens` as it counts them, `cost` is in USD.
    """

    files: int = 0
    unchanged: int = 0
    indexed: int = 0
    removed: int = 0
    documents: int = 0
    chunks_added: int = 0
    chunks_removed: int = 0
    embedded: int = 0
    cached: int = 0
    truncated: int = 0
    tokens: int = 0
    seconds: float = 0.0
    embed_seconds: float = 0.0
    interrupted: bool = False
    problems: tuple[Problem, ...] = field(default=())
    moved: int = 0
    ignored: int = 0
    requests: int = 0
    cost: float = 0.0

    @property
    def failed(self) -> int:
        """Files of which nothing went in."""
        return sum(problem.skipped for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "failed": self.failed}


def field_problems(misfits: Iterable[Misfits], collection: str) -> tuple[Problem, ...]:
    """A problem for each field with values that are not of its type."""
    found = []
    for each in misfits:
        value = repr(each.example) if len(repr(each.example)) <= 60 else f"{repr(each.example)[:57]}…"
        more = f" ({each.count:,} such values)" if each.count > 1 else ""
        reason = f"{each.field}: {value} is no {each.type}, as the field's values are; it is kept as it is{more}"
        command = f"gnomon fields {shlex.quote(collection)} --set {shlex.quote(f'{each.field}=text')}"
        found.append(Problem(each.document, reason, f"to compare all of them as texts: {command}", skipped=False))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Ids of some documents. `end` is where the next page goes on (`after`); None on the last page."""

    ids: tuple[str, ...]
    end: int | None

    @classmethod
    def of(cls, rows: Sequence[tuple[int, str]], limit: int) -> DocumentPage:
        """The page of the first `limit` rows (row id, id), of which one more was asked for."""
        shown = rows[:limit]
        return cls(tuple(key for _, key in shown), shown[-1][0] if len(rows) > limit else None)


@dataclass(frozen=True, slots=True)
class DerivedStatus:
    """One derived index: its kind, rows, journal position, and bytes on disk.

    `state` is "current", "behind" or "missing". Of vectors in a store `kind` is its engine, `place` its address with
    the name of the engine's collection, `recall` the recall@10 that was measured when it was built, and `state` may
    also be "unreachable" or "changed", with `fault` saying why.
    """

    name: str
    kind: str
    rows: int
    position: int
    bytes: int
    state: str
    place: str = ""
    recall: float | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """A further space: the name of its list in a hit's scores, its model and place, and its vectors so far.

    `bytes` is what these take in the catalog, about: without the rows' keys and index entries.
    """

    name: str
    model: str
    place: str
    space: dict[str, Any]
    vectors: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Status:
    """What is in a collection, as a version has it. Bytes are on disk.

    `languages` says how many passages are in which language, as keyword search has analysed them.
    `position` is the last journal entry that concerns the version's chunks. `documents_without_passages` have no
    text, or are not in the version yet: no search finds them. `fields` are those of the metadata with their types,
    without counts. `spent` is what servers of models were sent and charged, by model and role. `spaces` are the further
    ones; `model`, `space` and `vectors` are the first's.
    """

    path: str
    model: str
    space: dict[str, Any]
    version: str
    chunking: dict[str, Any]
    retrieval: dict[str, Any]
    sources: int
    documents: int
    chunks: int
    tokens: int
    vectors: int
    position: int
    catalog_bytes: int
    derived: tuple[DerivedStatus, ...]
    documents_without_passages: int = 0
    languages: dict[str, int] = field(default_factory=dict)
    fields: tuple[FieldInfo, ...] = ()
    spent: tuple[Spent, ...] = ()
    spaces: tuple[SpaceStatus, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A version. `state` is building, ready, live or retired.

    `upto` is the row id of the last document up to which it is complete, `behind` the number of documents after
    that; `created` and `live_since` (for the live one) are times in ISO 8601, UTC.
    """

    id: int
    name: str
    state: str
    model: str
    space: str
    fingerprint: str
    chunking: dict[str, Any]
    retrieval: dict[str, Any]
    created: str
    upto: int
    behind: int
    live_since: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """A switch: from which version to which, and the seconds that its transaction took."""

    came_from: str
    to: str
    seconds: float
    why: str = "switch"

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What pruning deleted: chunks, vectors, tokenizers, folders of indexes, and bytes on disk.

    `rewritten` are rows of an older gnomon that are stored in a shorter form now: vectors and texts.
    """

    chunks: int = 0
    vectors: int = 0
    tokenizers: int = 0
    folders: tuple[str, ...] = ()
    bytes: int = 0
    rewritten: int = 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


def status_of(catalog: Catalog, version: Version) -> Status:
    """Counts, sizes and settings of a version; loads no model and no index."""
    with catalog.read() as connection:
        position = queries.chunking_head(connection, version.chunking_id).seq
        chunks = queries.count(connection, schema.chunks, schema.chunks.c.chunking_id == version.chunking_id)
        numbers = {
            "sources": queries.count(connection, schema.sources),
            "documents": queries.count(connection, schema.documents),
            "documents_without_passages": queries.count_unchunked(connection, version.chunking_id),
            "tokens": queries.token_sum(connection, version.chunking_id),
            "vectors": queries.count(connection, schema.vectors, schema.vectors.c.space_id == version.space_id),
        }
        metadata = tuple(fields.kept(connection))
        spent = spending.totals(connection)
        further = _spaces(connection, version)
    state_folder = derived_folder(catalog.folder, version)
    return Status(
        path=catalog.address,
        model=version.model,
        space=version.space.to_json(),
        version=version.name,
        chunking=version.chunking,
        retrieval=version.retrieval.to_json(),
        chunks=chunks,
        position=position,
        fields=metadata,
        spent=spent,
        spaces=further,
        catalog_bytes=catalog.backend.size(),
        languages=lexical_languages(state_folder, read_state(state_folder)),
        derived=_derived(catalog, version, position=position, chunks=chunks),
        **numbers,
    )


def _spaces(connection: Connection, version: Version) -> tuple[SpaceStatus, ...]:
    found, vector = [], schema.vectors.c
    for (name, settings), model in zip(version.retrieval.named_spaces, version.spaces, strict=True):
        own = select(func.count(), func.sum(func.length(vector.data))).where(vector.space_id == model.space_id)
        count, size = connection.execute(own.where(vector.role == "document")).one()
        plain = model.space.to_json()
        found.append(SpaceStatus(name, model.model, settings.place, plain, int(count), int(size or 0)))
    return tuple(found)


def _derived(catalog: Catalog, version: Version, *, position: int, chunks: int) -> tuple[DerivedStatus, ...]:
    folder = derived_folder(catalog.folder, version)
    state = read_state(folder)
    ours = state.collection == catalog.collection_id
    vectors = [] if version.retrieval.store is not None else [("dense", version, state.dense, state.dense_seq)]
    saved = {each.fingerprint: each for each in state.spaces}
    names = [name for name, one in version.retrieval.named_spaces if one.place == "beside"]
    for name, own in zip(names, version.beside, strict=True):
        each = saved.get(own.space.fingerprint) or SpaceState("", "")
        vectors.append((name, own, each.folder, each.seq))
    kinds: list[tuple[str, str, str, int, bool]] = [
        # Vectors are saved now and then: what is between is taken from the catalog when it is opened.
        ("lexical", state.lexical, "tantivy", lexical_position(folder, state) if state.lexical else 0, False),
    ]
    if version.sparse is not None:
        kinds.append(("sparse", state.sparse, "postings", state.seq if state.sparse_seq >= 0 else 0, False))
    for place, (name, own, inside, seq) in enumerate(vectors):
        at_once = ours and bool(inside) and seq < 0 and not has_file(own, chunks)
        one = (name, inside, kind_of(own, chunks), state.seq if seq >= 0 or at_once else 0, at_once)
        kinds.insert(place if name == "dense" else len(kinds), one)
    found = []
    if version.retrieval.store is not None:
        found.append(_store_status(catalog, version, position=position))
    for name, inside, kind, at, at_once in kinds:
        there = ours and bool(inside) and ((folder / inside).is_dir() or at_once)
        freshness = "missing" if not there else "current" if at == position else "behind"
        size = _bytes(folder / inside) if there else 0
        found.append(DerivedStatus(name, kind, chunks if freshness == "current" else 0, at, size, freshness))
    return tuple(found)


def _store_status(catalog: Catalog, version: Version, *, position: int) -> DerivedStatus:
    """Where a version's store stands, as its engine says."""
    place = f"{version.retrieval.store} {store_name(catalog, version)}"
    kind = StoreAddress.parse(version.retrieval.store or "").scheme
    index = StoreIndex(catalog, version)
    try:
        with catalog.read() as connection:
            at = index.look(connection, upto=position)
        if index.fault is not None:
            raise index.fault
        if index.position is None:
            return DerivedStatus("dense", kind, 0, 0, 0, "missing", place)
        freshness = "current" if at == position else "behind"
        return DerivedStatus("dense", kind, index.count(), at, 0, freshness, place, index.position.recall)
    except GnomonError as error:
        how = "changed" if isinstance(error, StoreChanged) else "unreachable"
        return DerivedStatus("dense", kind, 0, 0, 0, how, place, fault=error.message)
    finally:
        index.close()


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(_bytes(inside) for inside in path.iterdir())
    try:
        return path.stat().st_size
    except OSError:
        return 0
