"""What an index run would embed, counted before it: files are read and cut into chunks, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.ingest.reader_thread import ReaderThread
from gnomon.collection.ingest.source_changes import is_unchanged
from gnomon.collection.ingest.workload import SAMPLE, Workload, WorkloadCounter
from gnomon.collection.ingest.writer import Target
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Document
from gnomon.core.paths import path_text
from gnomon.text.chunk import Chunker
from gnomon.text.discover import discover, label_roots
from gnomon.text.parts import FailedFile
from gnomon.text.settings import ReadSettings


def estimate_documents(documents: Sequence[Document], target: Target, catalog: Catalog) -> Workload:
    """The texts that adding documents would embed."""
    started, counter = time.perf_counter(), WorkloadCounter(catalog, target.encoder)
    for document in documents:
        counter.add(target.chunker.chunk(document))
    return counter.workload(len(documents), time.perf_counter() - started)


def estimate_run(
    paths: Sequence[str | Path],
    reading: ReadSettings,
    chunker: Chunker,
    *,
    encoder: Encoder,
    catalog: Catalog | None = None,
    verify: bool = False,
) -> Workload:
    """The texts that an index run over these paths would embed, for a collection's catalog or a new one.

    Files that are unchanged since they were indexed are not read, and texts with a vector not counted. Raises
    InvalidInput for paths that do not exist.
    """
    started = time.perf_counter()
    places = [Path(path) for path in paths]
    known: Mapping[str, str] = {}
    stored: Mapping[str, Any] = {}
    if catalog is not None:
        with catalog.read() as connection:
            known, stored = queries.root_labels(connection), queries.stored_sources(connection)
    reading = replace(reading, labels=label_roots(places, known))
    found = [item for item in discover(places, settings=reading) if not (item.ignored or item.skipped)]
    changed = [item for item in found if verify or not is_unchanged(item, stored.get(path_text(item.path)))]
    counter, documents = WorkloadCounter(catalog, encoder, sample=SAMPLE), 0
    reader = ReaderThread(changed, stored, reading)
    try:
        for part in reader.parts(chunker):
            if not isinstance(part, FailedFile):
                documents += len(part.documents)
                counter.add([chunk for each in part.documents for chunk in each.chunks])
    finally:
        reader.stop()
    return counter.workload(documents, time.perf_counter() - started)
