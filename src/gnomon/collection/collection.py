"""One named corpus: put documents in, search them, see what is there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from gnomon.collection import export
from gnomon.collection.catalog import mutations, queries, schema
from gnomon.collection.catalog.versions import Version, by_id, live_chunking, live_id
from gnomon.collection.duplicates import deeper, lacks_results, spare_depth
from gnomon.collection.evaluation import GROUP_DEPTH, chunk_texts, run_queries
from gnomon.collection.fields import FieldRegistry
from gnomon.collection.ingest.distributed.reader import reader_of
from gnomon.collection.ingest.estimate import estimate_run
from gnomon.collection.ingest.index_run import IndexRun, add_documents, run_lock
from gnomon.collection.ingest.workload import Workload
from gnomon.collection.inputs import (
    Documents,
    as_documents,
    checked_number,
    checked_paths,
    checked_queries,
    document_id,
    document_ids,
)
from gnomon.collection.internals import Internals
from gnomon.collection.reports import (
    DocumentPage,
    IndexReport,
    PruneReport,
    Status,
    SwitchReport,
    VersionInfo,
    status_of,
)
from gnomon.collection.search import HitOptions, VectorQueries, hits
from gnomon.collection.serving.fallback import WordsIfUnreachable
from gnomon.collection.serving.serving import Serving
from gnomon.collection.settings import By, IndexOptions, Mode
from gnomon.collection.tables import TableRegistry
from gnomon.collection.version_manager import VersionManager
from gnomon.core.budget import Budget
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.ranking import Hit, Ranking
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.evaluate.pseudo import ChunkText
from gnomon.evaluate.run import Run
from gnomon.retrieve.where import Where

if TYPE_CHECKING:
    import pyarrow


_FORMER_NAMES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "documents": ("ids", lambda kb: lambda where=None: frozenset(kb.ids(where))),
    "lineage": ("versions", lambda kb: kb.versions),
    "lookups": ("internals.lookups", lambda kb: kb.internals.lookups),
    "models": ("internals.encoders", lambda kb: kb.internals.encoders),
    "reranked": ("internals.rerank", lambda kb: kb.internals.rerank),
    "view": ("internals.indexes", lambda kb: lambda: kb.internals.indexes),
}


class Collection:
    """An open collection of documents, made by `gnomon.open`. Any number of threads may use it; writers queue.

    Documents are split into chunks, which are what is embedded and searched. A document has an id (text), a text,
    and maybe title, source, media type and metadata (plain JSON values). `versions` (a `VersionManager`) lists,
    makes and switches versions: the same documents with another model, other chunks or other search settings.
    `tables` are the files registered to be queried beside the documents: see `gnomon.answer.tables`. `fields` (a
    `FieldRegistry`) lists the metadata's fields, and changes their types.

    Where a method takes `where`, it is a condition on documents: a text such as "id like 'docs/%' and year >= 2020",
    or a mapping such as {"year": {">=": 2020}, "lang": "de"}; see `gnomon.retrieve.where`. Such a method raises
    InvalidInput for a condition that is not understood, a field that no document has, and a comparison that no document
    can meet because of the field's type.

    Every method may raise StorageError (the disk refuses), CollectionBusy (another process holds a lock for too
    long) and CollectionDamaged.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving, self._folder, self._catalog = serving, serving.folder, serving.catalog
        self.internals = Internals(serving.folder, serving.catalog, serving)
        self.versions = VersionManager(serving)
        self.tables = TableRegistry(self._catalog, self._folder / "tables")
        self.fields = FieldRegistry(self._catalog)

    def index(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        options: IndexOptions | None = None,
        progress: ProgressCallback = no_progress,
    ) -> IndexReport:
        """Bring the collection in line with files and folders: changed files are read, missing ones removed.

        Problems with single files are in the report. Interrupted (Ctrl-C) or cut off, it keeps what was committed,
        and the next call carries on. Raises InvalidInput for paths that do not exist, CollectionBusy when another
        index run does not end within an hour, CostLimitReached for `max_cost`, and what a model's server refuses.
        """
        paths = checked_paths(paths)
        self._catalog.require_writable()
        options = options or IndexOptions()
        budget = Budget(options.max_cost)
        writer = self._serving.writer(budget)
        with self._catalog.read() as connection:
            live = live_id(connection)
        index_run = self._serving.served_version(live).index_run()
        with run_lock(self._catalog, progress), index_run:
            if options.max_cost is not None:
                budget.require(self.estimate(paths, options=options), self.version.model)
            reader = reader_of(options, writer, folder=self._folder, progress=progress)
            run = IndexRun(writer, options.reading, progress, verify=options.verify, open_reader=reader)
            report = run.run(paths)
        if report.interrupted:
            return report  # the next search brings the indexes up to date
        chunks = {"chunks": report.embedded + report.cached}
        progress(Progress("indexing", report.files, report.files, "file", metrics=chunks))
        return self._after_write(report, save=True, budget=budget)

    def estimate(self, paths: str | Path | Sequence[str | Path], *, options: IndexOptions | None = None) -> Workload:
        """What `index` would embed now: texts and tokens, and what the model's server would charge.

        Changed files are read and cut into chunks; nothing is sent, and nothing written.
        """
        options = options or IndexOptions()
        with self._catalog.read() as connection:
            target = self._serving.target(live_id(connection))
        return estimate_run(
            checked_paths(paths),
            options.reading,
            target.chunker,
            encoder=target.encoder,
            catalog=self._catalog,
            verify=options.verify,
        )

    def add(
        self,
        documents: Documents,
        *,
        strict: bool = False,
        progress: ProgressCallback = no_progress,
        max_cost: float | None = None,
    ) -> IndexReport:
        """Put documents in; one whose id is there already is replaced, or left alone where nothing of it changed.

        Each is a Document, a text (its id is a digest of it), or a mapping with text and maybe id, title, metadata,
        source and media_type. Values of metadata are stored as `gnomon.text.metadata.plain_metadata` says. A row that
        is no document (another type, an id or metadata that cannot be stored) is a problem in the report, and the
        others go in. `max_cost` is as in `IndexOptions`. Raises InvalidInput where none is a document, and with
        `strict` for the first that is none, CostLimitReached, and what a model's server refuses.
        """
        checked, problems = as_documents(documents, strict=strict)
        budget = Budget(max_cost)
        report = self._after_write(add_documents(self._serving.writer(budget), checked, progress), budget=budget)
        return replace(report, problems=(*problems, *report.problems)) if problems else report

    upsert = add
    """The same as `add`, by the name that says what happens to ids that are there already."""

    def remove(
        self, ids: str | Iterable[str] | None = None, *, where: Where | None = None, source: str | Path | None = None
    ) -> int:
        """Delete documents by id, or those that `self.ids(where, source=source)` lists; unknown ids are ignored.

        Returns how many chunks were deleted. Vectors stay in the cache: a document that comes back costs no embedding,
        and one whose file is still there comes back with the next index run over it. Raises InvalidInput without ids
        and conditions, and for both.
        """
        if (ids is None) == (where is None and source is None):
            given = "ids and conditions" if ids is not None else "neither ids nor conditions"
            raise InvalidInput(f"{given} to remove", expected="ids, or where or source or both of these")
        if ids is None:
            wanted = self.ids(where, source=source)
        else:
            wanted = document_ids(ids)
        with self._catalog.write() as connection:
            chunking = live_chunking(connection)
            change = mutations.remove_documents(connection, wanted, chunking)
            if source is not None and where is None:
                mutations.forget_sources(connection, queries.paths_of(connection, source))
        self._serving.after_removal()
        return change.removed

    @overload
    def get(self, ids: str) -> Document | None: ...  # type: ignore[overload-overlap]
    @overload
    def get(self, ids: Iterable[str]) -> list[Document]: ...
    def get(self, ids: str | Iterable[str]) -> Document | list[Document] | None:
        """Documents by id, with text, title, source, media type and metadata.

        For one id: its document, or None where there is none. For several: the documents in the order of the ids;
        those that are not there are left out.
        """
        wanted = document_ids(ids)
        with self._catalog.read() as connection:
            found = queries.documents(connection, wanted)
        if isinstance(ids, str):
            return found.get(ids)
        return [found[each] for each in wanted if each in found]

    def ids(self, where: Where | None = None, *, source: str | Path | None = None) -> list[str]:
        """The ids of all documents, or of those that meet a condition, in the order in which they were last written.

        `source`: only those of this file, or of all files below this folder, whether it still exists or not; or those
        that were added with this very source.
        """
        found = None if where is None else self._serving.active.filters.documents(where)
        with self._catalog.read() as connection:
            if not isinstance(source, str | Path | None):
                raise InvalidInput(f"source of the type {type(source).__name__}", expected="a path")
            if source is None:
                return queries.document_keys(connection) if found is None else found
            of_source = queries.keys_of_source(connection, source)
        among = set(of_source if found is None else found)
        return [key for key in of_source if key in among]

    def page(self, after: int = 0, *, limit: int = 100, where: Where | None = None) -> DocumentPage:
        """The next `limit` of the ids that `ids` lists, after the `end` of the last page.

        Pages have each document once, unless it is written in between: what is written goes to the end.
        """
        limit = checked_number(limit, "limit")
        return DocumentPage.of(self._serving.active.filters.document_page(where, after, limit + 1), limit)

    def chunks(self, document: str) -> list[Chunk]:
        """The chunks of a document in the version that serves, in the order of its text; none where it has none."""
        version, key = self._serving.active.version, document_id(document, "document")
        with self._catalog.read() as connection:
            ids = queries.chunks_of_document(connection, key, version.chunking_id)
            return queries.chunks_of(connection, ids)

    def __len__(self) -> int:
        """How many documents there are."""
        with self._catalog.read() as connection:
            return queries.count(connection, schema.documents)

    def __bool__(self) -> bool:
        """True, also without documents: an open collection is there."""
        return True

    def text(self, document: str) -> str | None:
        """A document's whole text by its id, None where there is none: what a hit's offsets refer to."""
        found = self.get(document_id(document, "document"))
        return None if found is None else found.text

    def to_arrow(
        self,
        rows: Literal["documents", "chunks"] = "documents",
        *,
        where: Where | None = None,
        vectors: bool = False,
    ) -> pyarrow.Table:
        """All documents, or their chunks, or those that meet a condition, as a pyarrow Table.

        Columns of documents: id, title, text, source, media_type, metadata (JSON). Of chunks: chunk_id (int64),
        document (its id), ordinal, start, end (character offsets in the document), text, heading (list of texts),
        tokens, and with `vectors` also vector (fixed size list of float32, as long as the model's vectors).
        Raises InvalidInput where pyarrow is not installed (extra "data"), and for vectors of documents.
        """
        if rows not in ("documents", "chunks"):
            raise InvalidInput(f"rows {rows!r}", expected='"documents" or "chunks"')
        if vectors and rows == "documents":
            raise InvalidInput("vectors of documents", expected='rows="chunks", as chunks are what is embedded')
        if rows == "documents":
            keys = self.ids(where)
            with self._catalog.read() as connection:
                return export.documents_table(connection, keys)
        version, allowed = self.version, None if where is None else self.chunk_ids(where)
        with self._catalog.read() as connection:
            ids = queries.all_ids(connection, version.chunking_id) if allowed is None else allowed
            return export.chunks_table(connection, version, ids, vectors=vectors)

    def to_pandas(
        self,
        rows: Literal["documents", "chunks"] = "documents",
        *,
        where: Where | None = None,
        vectors: bool = False,
    ) -> Any:  # a pandas.DataFrame
        """`to_arrow` as a pandas DataFrame. Raises InvalidInput where pandas or pyarrow is not installed."""
        export.require_pandas()
        return self.to_arrow(rows, where=where, vectors=vectors).to_pandas()

    def search(
        self,
        query: str | Vectors,
        *,
        k: int = 10,
        mode: Mode | None = None,
        by: By = "chunk",
        where: Where | None = None,
        collapse: bool = True,
    ) -> list[Hit]:
        """The best `k` chunks, or with by="document" the best documents with their best chunk.

        `query` is a text, or Vectors of one item, which are searched by similarity alone (dense, without the
        collection's reranker). `mode` is "hybrid", "dense" or "lexical"; by default the collection's own.
        Of equal passages the first is a hit, whose `copies` are the other documents; with collapse=False each is one.
        Raises InvalidInput for an empty query, k < 1, or another mode than dense for a vector; SpaceMismatch for a
        vector of another space, and where the model is not the one that the collection was made with. Where a
        provider gives no vector for the query, a hybrid search warns WordsOnly and goes on by words; others raise.
        """
        if isinstance(query, Vectors) and len(query) != 1:
            raise InvalidInput(
                f"Vectors of {len(query)} items", expected="one item", hint="search_many searches for several at once"
            )
        given = query if isinstance(query, Vectors) else [query]
        return self.search_many(given, k=k, mode=mode, by=by, where=where, collapse=collapse)[0]

    def search_many(
        self,
        queries: Sequence[str] | Vectors,
        *,
        k: int = 10,
        mode: Mode | None = None,
        by: By = "chunk",
        where: Where | None = None,
        collapse: bool = True,
    ) -> list[list[Hit]]:
        """`search` for several texts or vectors at once, which costs less than one by one. One list of hits each."""
        if isinstance(queries, Vectors):
            encoder = VectorQueries(queries)
            checked = encoder.queries(k=k, mode=mode, by=by)
            snapshot = self._serving.snapshot()
            snapshot.version.space.require(queries.space)
            retriever = snapshot.retriever("dense", where, lambda: encoder, rerank=False)
        else:
            checked = checked_queries(queries, k, by)
            retriever = WordsIfUnreachable(
                partial(self.retriever, where=where), mode, lambda: self.version.retrieval.mode
            )
        among = None if where is None or not collapse else self.chunk_ids(where)
        options = HitOptions(k, by, collapse, among)
        depth = spare_depth(k) if collapse else k
        depth = depth if by == "chunk" else max(depth, GROUP_DEPTH)
        while True:
            rankings = retriever(checked, k=depth)
            with stage("hits"), self._catalog.read() as connection:
                pairs = list(zip(checked, rankings, strict=True))
                found = [hits(connection, query.text, ranking, options=options) for query, ranking in pairs]
            counts = zip(found, rankings, strict=True)
            if not (collapse and any(lacks_results(len(f), k, found=len(r), depth=depth) for f, r in counts)):
                return found
            depth = deeper(depth)

    def hits(self, query: str, ranking: Ranking, *, k: int = 10, by: By = "chunk", collapse: bool = False) -> list[Hit]:
        """The first `k` of a ranking of this collection's chunk ids as hits: for retrievers of your own.

        `query` is what is highlighted. A chunk that was deleted since the ranking was made is left out.
        """
        k = checked_number(k)
        with stage("hits"), self._catalog.read() as connection:
            return hits(connection, query, ranking, options=HitOptions(k, by, collapse))

    def retriever(self, mode: Mode | None = None, *, where: Where | None = None) -> Retriever:
        """The retriever of a mode, over the collection as it is now, or over the documents that meet a condition.

        Called with queries (`gnomon.Query`) and `k`, it gives rankings of chunk ids. Raises as `search` does.
        """
        snapshot = self._serving.snapshot()
        return snapshot.retriever(mode, where, snapshot.served.encoders.for_searches)

    def chunk_ids(self, where: Where) -> Array:
        """The ids of the chunks of all documents that meet a condition, int64, rising: for a `Query` of your own."""
        return self._serving.snapshot().allowed(where)

    def run(
        self,
        queries: Mapping[str, str],
        *,
        k: int = 100,
        mode: Mode | None = None,
        by: By = "document",
        progress: ProgressCallback = no_progress,
        where: Where | None = None,
        vector_type: VectorType | None = None,
    ) -> Run:
        """The first `k` results of each query (id -> text), to be evaluated: ids of documents, or of chunks.

        With `vector_type` the documents' vectors are rounded to what that type keeps of them, in memory only, to see
        what storing them so would change. Query vectors are kept in the collection's cache, so that the next run of
        the same queries encodes nothing.
        Raises as `search` does.
        """
        if not isinstance(queries, Mapping):
            raise InvalidInput(f"queries of the type {type(queries).__name__}", expected="a mapping of ids to texts")
        checked_queries(list(queries.values()), k, by)
        snapshot = self._serving.snapshot()
        snapshot = snapshot if vector_type is None else snapshot.stored_as(vector_type)
        return run_queries(snapshot, queries, k=k, mode=mode, by=by, where=where, progress=progress)

    def chunk_texts(self) -> list[ChunkText]:
        """Every chunk with its document's id, title and headings."""
        version = self._serving.version
        with self._catalog.read() as connection:
            return chunk_texts(connection, version.chunking_id)

    def status(self) -> Status:
        """Counts, sizes in bytes and settings, from the catalog and the files; loads no model."""
        version = self._serving.active.version
        if not self._serving.fixed:
            with self._catalog.read() as connection:
                version = by_id(connection, live_id(connection))
        return status_of(self._catalog, version)

    def switch(self, name: str) -> SwitchReport:
        """Make a ready version the live one, in all processes; documents that it lacks are put in before.

        Raises InvalidInput for one that is not there, is live already, or is not built.
        """
        return self.versions.switch(name)

    def rollback(self) -> SwitchReport:
        """Go back to the version that was live before. Raises InvalidInput where there is none."""
        return self.versions.rollback()

    def retire(self, name: str) -> VersionInfo:
        """Retire a version that is not live: it gets no documents any more, and `prune` deletes it."""
        return self.versions.retire(name)

    def prune(self, *, vacuum: bool = False) -> PruneReport:
        """Delete what only retired versions need; `vacuum` gives the space back to the disk, slowly."""
        return self.versions.prune(vacuum=vacuum)

    def pinned(self, version: str | None = None) -> Collection:
        """This collection with one version for all that is asked of it, whatever goes live meanwhile.

        `version` names it ("v2"); by default it is the one that answers now. Models, indexes and the connection are
        this collection's, which is the one to close. Costs next to nothing, so that each request may have its own.
        Raises InvalidInput for a name that is not there, NotReady for a version that lacks documents.
        """
        return Collection(self._serving.pinned(version))

    @property
    def encoder(self) -> Encoder:
        """The collection's encoder, loaded and checked against its canaries when first needed.

        Raises SpaceMismatch where the model changed, and what loading a model raises.
        """
        return self._serving.active.encoders.encoder

    @property
    def version(self) -> Version:
        """The version that serves."""
        return self._serving.version

    if not TYPE_CHECKING:  # type checkers know the new names only

        def __getattr__(self, name: str) -> Any:
            """The former names, until 0.3."""
            if name not in _FORMER_NAMES:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            now, value = _FORMER_NAMES[name]
            warnings.warn(
                f"Collection.{name} is now Collection.{now}; the old name will be removed in 0.3",
                DeprecationWarning,
                stacklevel=2,
            )
            return value(self)

    def close(self) -> None:
        """Close files, connections and threads."""
        self._serving.close()

    def __repr__(self) -> str:
        version = self._serving.active.version  # reads nothing, so that it works for a closed one too
        return f"<Collection {self._catalog.address!r}: {version.name}, {version.space.short}>"

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _after_write(self, report: IndexReport, *, save: bool = False, budget: Budget | None = None) -> IndexReport:
        """What serves in this process finds what was written, and versions that may be gone back to get it too."""
        problems = self._serving.after_write(save=save)
        try:
            problems += self.versions.update_ready(budget)
        except KeyboardInterrupt:  # all of it is committed; the next write brings along what lags
            return replace(report, interrupted=True)
        return replace(report, problems=(*report.problems, *problems)) if problems else report
