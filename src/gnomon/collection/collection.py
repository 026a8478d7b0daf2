"""One named corpus: put documents in, search them, see what is there."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from gnomon.collection.catalog import mutations, queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version, by_id, live_chunking, live_id
from gnomon.collection.evaluation import GROUP_DEPTH, Asked, chunk_texts, run_queries
from gnomon.collection.indexes.derived import IndexView
from gnomon.collection.ingest.index_run import IndexRun, add_documents, run_lock
from gnomon.collection.reports import IndexReport, Progress, PruneReport, Status, SwitchReport, VersionInfo, status_of
from gnomon.collection.search import checked_queries, group_by_document, hits
from gnomon.collection.serving.encoders import EncoderRegistry
from gnomon.collection.serving.serving import Serving
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.collection.settings import By, IndexOptions, Mode
from gnomon.collection.tables import TableRegistry
from gnomon.collection.version_manager import VersionManager
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Hit, Ranking
from gnomon.evaluate.pseudo import ChunkText
from gnomon.evaluate.run import Run
from gnomon.retrieve.filter import Lookups
from gnomon.retrieve.where import Condition
from gnomon.text.read import plain_metadata
from gnomon.text.settings import ReadSettings


def as_document(item: Document | str | Mapping[str, Any]) -> Document:
    """The document that a value, a text (its id is its digest) or a mapping stands for.

    Raises InvalidInput for a mapping without text or with unknown fields.
    """
    if isinstance(item, Document):
        return replace(item, metadata=plain_metadata(item.metadata))
    plain: Mapping[str, Any] = {"text": item} if isinstance(item, str) else item
    unknown = set(plain) - {"id", "text", "title", "metadata", "source", "media_type"}
    if unknown or not isinstance(plain.get("text"), str):
        raise InvalidInput(
            f"a document with fields {sorted(map(str, plain))}",
            expected="text (a string), and maybe id, title, metadata, source, media_type",
            hint='for example {"id": "a", "text": "…", "metadata": {"year": 2026}}',
        )
    digest = hashlib.sha256(plain["text"].encode("utf-8", "replace")).hexdigest()[:16]
    return Document(**{"id": digest, **plain, "metadata": plain_metadata(plain.get("metadata") or {})})


@dataclass(frozen=True)
class Internals:
    """What gnomon's own packages need of an open collection. Not part of the public API: it may change at any time."""

    folder: Path
    catalog: Catalog
    serving: Serving

    @property
    def encoders(self) -> EncoderRegistry:
        """Loads the encoder of any version and checks it against its canaries; nothing is loaded by this."""
        return self.serving.encoders

    @property
    def indexes(self) -> IndexView:
        """The derived indexes as a search uses them now."""
        return self.snapshot().indexes

    def snapshot(self) -> Snapshot:
        """The version and indexes that a request is answered by now."""
        return self.serving.snapshot()

    def lookups(self) -> Lookups:
        """Vectors and texts of chunks by id, as kept: for retrieval stages of one's own."""
        return self.serving.current()[0].lookups()

    def rerank(self, retriever: Retriever) -> Retriever:
        """A retriever with the collection's own reranker after it, or as it is where none is set."""
        return self.serving.current()[0].reranker.wrap(retriever)


class Collection:
    """An open collection. Any number of threads may search it; writers queue. Made by `gnomon.open`.

    `versions` lists, makes and switches its versions: see `gnomon.collection.version_manager`. `tables` are the
    files registered with it: see `gnomon.answer.tables`.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving, self._folder, self._catalog = serving, serving.folder, serving.catalog
        self.internals = Internals(serving.folder, serving.catalog, serving)
        self.versions = VersionManager(serving)
        self.tables = TableRegistry(self._catalog, self._folder / "tables")

    def index(
        self,
        paths: Sequence[str | Path],
        *,
        options: IndexOptions | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Bring the collection in line with files and folders: what changed is read, what is gone goes.

        Problems with single files are in the report. Raises InvalidInput for paths that do not exist,
        CollectionBusy when another run does not end, StorageError when the disk refuses; what was
        committed until then stays, and the next call carries on.
        """
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        options, tell = options or IndexOptions(), progress or _silent
        reading = ReadSettings(max_file_mb=options.max_file_mb, exclude=options.exclude)
        writer = self._serving.writer()
        running = self._serving.served_version(writer.now().version.id).encoders.index_run()
        with run_lock(self._folder, tell), running:
            report = IndexRun(writer, reading, tell).run(given)
        if report.interrupted:
            return report  # the next search brings the indexes up to date
        tell(Progress(report.files, report.files, report.embedded + report.cached, "", "indexing"))
        return self._followed(report, save=True)

    def add(
        self,
        documents: Iterable[Document | str | Mapping[str, Any]],
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> IndexReport:
        """Put documents in. A string is a text whose id is its digest; a mapping has text, and maybe id,
        title and metadata. A document whose id is there already is replaced.
        """
        if isinstance(documents, str | Document | Mapping):
            documents = [documents]
        given = [as_document(item) for item in documents]
        return self._followed(add_documents(self._serving.writer(), given, progress or _silent))

    def remove(self, ids: Iterable[str]) -> int:
        """Take documents out by id; unknown ids are passed over. Returns how many chunks went."""
        wanted = [ids] if isinstance(ids, str) else list(ids)
        with self._catalog.write() as connection:
            chunking = live_chunking(connection)
            change = mutations.remove_documents(connection, wanted, chunking)
        self._serving.after_removal()
        return change.removed

    def search(
        self,
        query: str,
        *,
        k: int = 10,
        mode: Mode | None = None,
        by: By = "chunk",
        where: str | Condition | None = None,
    ) -> list[Hit]:
        """The best `k` chunks, or documents with their best chunk. Modes: hybrid, dense, lexical.

        `where` is a condition on documents, such as "id like 'docs/%' and year >= 2020": see
        `gnomon.retrieve.where`. Raises InvalidInput for an empty query, k < 1, a condition that is not
        understood or a field that no document has; SpaceMismatch where the model changed.
        """
        return self.search_many([query], k=k, mode=mode, by=by, where=where)[0]

    def search_many(
        self,
        queries: Sequence[str],
        *,
        k: int = 10,
        mode: Mode | None = None,
        by: By = "chunk",
        where: str | Condition | None = None,
    ) -> list[list[Hit]]:
        """`search` for several queries at once, which costs less than one by one."""
        asked = checked_queries(queries, k, by)
        retriever = self.retriever(mode, where=where)
        depth = k if by == "chunk" else max(k, GROUP_DEPTH)
        rankings = retriever(asked, k=depth)
        pairs = zip(asked, rankings, strict=True)
        return [self.hits(query.text, ranking, k=k, by=by) for query, ranking in pairs]

    def hits(self, query: str, ranking: Ranking, *, k: int = 10, by: By = "chunk") -> list[Hit]:
        """A ranking of this collection's chunks as hits: for retrievers of your own."""
        more: Mapping[int, int] = {}
        with self._catalog.read() as connection:
            if by == "document":
                ranking, more = group_by_document(connection, ranking, k)
            return hits(connection, query, ranking.first(k), more)

    def retriever(self, mode: Mode | None = None, *, where: str | Condition | None = None) -> Retriever:
        """The retriever that serves a mode, over the collection as it stands now, or over a part of it."""
        snapshot = self._serving.snapshot()
        return snapshot.retriever(mode, where, snapshot.served.encoders.for_searches)

    def chunk_ids(self, where: str | Condition) -> Array:
        """The ids of the chunks of all documents that meet a condition, rising: for a `Query` of your own."""
        return self._serving.snapshot().allowed(where)

    def run(
        self,
        queries: Mapping[str, str],
        *,
        k: int = 100,
        mode: Mode | None = None,
        by: By = "document",
        progress: Callable[[int, int], None] | None = None,
        where: str | Condition | None = None,
    ) -> Run:
        """What the retriever that serves finds for each query (id -> text): to be evaluated.

        Query vectors are kept in the collection's cache, so that asking again costs no encoding. Ids are the
        documents', or with by="chunk" the chunk numbers. `progress` hears how many queries are done, of how
        many. Raises InvalidInput for empty queries, k < 1 or a condition as `search` does.
        """
        checked_queries(list(queries.values()), k, by)
        snapshot = self._serving.snapshot()
        return run_queries(snapshot, queries, Asked(k, mode, by, where), progress)

    def documents(self, where: str | Condition | None = None) -> frozenset[str]:
        """The ids of all documents, or of those that meet a condition."""
        if where is not None:
            return self._serving.active.filters.documents(where)
        with self._catalog.read() as connection:
            return queries.document_keys(connection)

    def chunk_texts(self) -> list[ChunkText]:
        """Every chunk with its document and what stands above it."""
        version = self._serving.current()[0].version
        with self._catalog.read() as connection:
            return chunk_texts(connection, version.chunking_id)

    def text(self, document: str) -> str | None:
        """A document's whole text by its id, None where there is none: what a hit's offsets refer to."""
        with self._catalog.read() as connection:
            return queries.document_text(connection, document)

    def status(self) -> Status:
        """What is in here, from the catalog and the files; loads no model."""
        version = self._serving.active.version
        if not self._serving.fixed:
            with self._catalog.read() as connection:
                version = by_id(connection, live_id(connection))
        return status_of(self._folder, self._catalog, version)

    def switch(self, name: str) -> SwitchReport:
        """Let a version serve that is ready, in all processes; what it lacks is caught up before.

        Raises InvalidInput for one that is not there, is live already, or is not built.
        """
        return self.versions.switch(name)

    def rollback(self) -> SwitchReport:
        """Go back to the version that was live before. Raises InvalidInput where there is none."""
        return self.versions.rollback()

    def retire(self, name: str) -> VersionInfo:
        """Give a version up that is not live: it gets no documents any more, and may be cleared away."""
        return self.versions.retire(name)

    def prune(self, *, vacuum: bool = False) -> PruneReport:
        """Clear away what only retired versions need; `vacuum` gives the space back to the disk, slowly."""
        return self.versions.prune(vacuum=vacuum)

    @property
    def encoder(self) -> Encoder:
        """The collection's encoder, loaded and checked against its canaries when first needed."""
        return self._serving.active.encoders.encoder

    @property
    def lineage(self) -> VersionManager:
        """The former name of `versions`."""
        warnings.warn("Collection.lineage is now Collection.versions", DeprecationWarning, stacklevel=2)
        return self.versions

    @property
    def version(self) -> Version:
        """The version that serves."""
        return self._serving.current()[0].version

    def close(self) -> None:
        """Give back files, connections and threads."""
        self._serving.close()
        self._catalog.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _followed(self, report: IndexReport, *, save: bool = False) -> IndexReport:
        """After a write: what serves finds it, and versions that may be gone back to have it too."""
        self._serving.after_write(save=save)
        try:
            problems = self.versions.follow()
        except KeyboardInterrupt:  # all of it is committed; what lags is caught up by the next write
            return replace(report, interrupted=True)
        return replace(report, problems=(*report.problems, *problems)) if problems else report


def _silent(_: Progress) -> None:
    return None
