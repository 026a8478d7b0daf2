"""One named corpus: put documents in, search them, see what is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from gnomon.collection import reads, writes
from gnomon.collection.catalog import Catalog
from gnomon.collection.derived import Derived, View
from gnomon.collection.encoders import Encoders
from gnomon.collection.evaluating import BLOCK, CachedEncoder, Owners, chunk_texts, rankings
from gnomon.collection.filtering import Filters
from gnomon.collection.given import as_document
from gnomon.collection.ingest import IndexRun, Target, add_documents
from gnomon.collection.lookups import lookups
from gnomon.collection.registrations import Registrations
from gnomon.collection.reports import IndexReport, Progress, Status
from gnomon.collection.search import build_retriever, checked_queries, group_by_document, hits
from gnomon.collection.settings import By, IndexOptions, Mode
from gnomon.collection.status import status_of
from gnomon.collection.turn import turn
from gnomon.collection.version import Version
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.documents import Document
from gnomon.core.ranking import Hit, Ranking
from gnomon.evaluate.pseudo import ChunkText
from gnomon.evaluate.run import Run
from gnomon.retrieve.filter import Filter
from gnomon.retrieve.lookups import Lookups
from gnomon.retrieve.where import Condition
from gnomon.text.chunk import Chunker, ChunkSettings
from gnomon.text.settings import ReadSettings

GROUP_DEPTH = 1000
"""Chunks looked through when hits are grouped by document."""


class Collection:
    """An open collection. Any number of threads may search it; writers queue. Made by `gnomon.open`.

    `tables` are those registered with it: see `gnomon.answer.tables`.
    """

    def __init__(
        self, folder: Path, catalog: Catalog, version: Version, open_encoder: Callable[[], Encoder]
    ) -> None:
        self._folder, self._catalog, self._version = folder, catalog, version
        self._encoders = Encoders(open_encoder)
        self._target: Target | None = None
        self._mutex = threading.Lock()
        self._derived = Derived(catalog, folder / "derived" / f"v{version.id:04d}", version)
        self._filters = Filters(catalog, version.chunking_id)
        self.tables = Registrations(catalog, folder / "tables")

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
        target = self._writing()
        with turn(self._folder, tell), self._encoders.running():
            report = IndexRun(target, reading, tell).run(given)
        if report.interrupted:
            return report  # the next search brings the indexes up to date
        tell(Progress(report.files, report.files, report.embedded + report.cached, "", "indexing"))
        self._derived.refresh(save=True)
        return report

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
        report = add_documents(
            self._writing(), [as_document(item) for item in documents], progress or _silent
        )
        self._derived.refresh()
        return report

    def remove(self, ids: Iterable[str]) -> int:
        """Take documents out by id; unknown ids are passed over. Returns how many chunks went."""
        wanted = [ids] if isinstance(ids, str) else list(ids)
        with self._catalog.write() as connection:
            change = writes.remove_documents(connection, wanted)
        self._derived.refresh()
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
        mode = mode or self._version.retrieval.mode
        view = self._derived.view()
        allowed = self._allowed(where, view)  # before the model, which takes longest
        encoder = None if mode == "lexical" else self._encoders.for_searches()
        return self._retriever(mode, encoder, view, allowed)

    def chunk_ids(self, where: str | Condition) -> Array:
        """The ids of the chunks of all documents that meet a condition, rising: for a `Query` of your own."""
        return self._filters.ids(where, upto=self._derived.view().dense_at)

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
        version = self._version
        mode = mode or version.retrieval.mode
        view = self._derived.view()
        allowed = self._allowed(where, view)
        encoder = None
        if mode != "lexical":
            encoder = CachedEncoder(self.encoder, self._catalog, version.space_id)
        retriever = self._retriever(mode, encoder, view, allowed)
        with self._catalog.read() as connection:
            owners = Owners.read(connection, version.chunking_id)
        depth = max(k, GROUP_DEPTH) if by == "document" else k
        found = {}
        for name, ranked in rankings(retriever, queries, owners, k=k, depth=depth, by=by):
            found[name] = ranked
            if progress and (len(found) % BLOCK == 0 or len(found) == len(queries)):
                progress(len(found), len(queries))
        about = {
            "collection": str(self._folder), "version": version.name, "mode": mode, "by": by, "k": k,
            "model": version.model, "space": version.space.fingerprint, "position": view.dense_at,
            "where": str(where) if where is not None else None,
        }  # fmt: skip
        return Run.ranked(f"{self._folder.name}:{mode}", found, about)

    def documents(self, where: str | Condition | None = None) -> frozenset[str]:
        """The ids of all documents, or of those that meet a condition."""
        if where is not None:
            return self._filters.documents(where)
        with self._catalog.read() as connection:
            return reads.document_keys(connection)

    def chunk_texts(self) -> list[ChunkText]:
        """Every chunk with its document and what stands above it."""
        with self._catalog.read() as connection:
            return chunk_texts(connection, self._version.chunking_id)

    def text(self, document: str) -> str | None:
        """A document's whole text by its id, None where there is none: what a hit's offsets refer to."""
        with self._catalog.read() as connection:
            return reads.document_text(connection, document)

    def lookups(self) -> Lookups:
        """Vectors and texts of chunks by id, as kept: for stages of your own."""
        return lookups(self._catalog, self._version)

    def status(self) -> Status:
        """What is in here, from the catalog and the files; loads no model."""
        return status_of(self._folder, self._catalog, self._version)

    @property
    def encoder(self) -> Encoder:
        """The collection's encoder, loaded and checked against its canaries when first needed."""
        return self._encoders.own

    @property
    def version(self) -> Version:
        """The version that serves."""
        return self._version

    def view(self) -> View:
        """The derived indexes as a search uses them now: see `gnomon.collection.derived`."""
        return self._derived.view()

    def close(self) -> None:
        """Give back files, connections and threads."""
        self._derived.close()
        self._catalog.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _retriever(self, mode: Mode, encoder: Encoder | None, view: View, allowed: Array | None) -> Retriever:
        retriever = build_retriever(
            mode,
            self._version.retrieval,
            encoder=encoder,
            dense=view.dense,
            lexical=view.lexical,
            lookups=self.lookups(),
        )
        return retriever if allowed is None else Filter(retriever, allowed)

    def _allowed(self, where: str | Condition | None, view: View) -> Array | None:
        return None if where is None else self._filters.ids(where, upto=view.dense_at)

    def _writing(self) -> Target:
        encoder = self.encoder
        with self._mutex:
            if self._target is None:
                version = self._version
                chunker = Chunker(
                    ChunkSettings.from_json(version.chunking),
                    tokenizer_json=encoder.tokenizer_json,
                    count=lambda texts: encoder.count_tokens(texts, role="document"),
                    overhead=encoder.count_tokens([""], role="document")[0],
                )
                self._target = Target(self._catalog, version.chunking_id, version.space_id, chunker, encoder)
            return self._target


def _silent(_: Progress) -> None:
    return None
