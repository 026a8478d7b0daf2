"""A data set's corpus as a collection in gnomon's cache: made once for each vector space, resumed where it was cut
off, with what that took."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gnomon.collection.collection import Collection
from gnomon.collection.settings import IndexOptions
from gnomon.core.errors import InvalidInput, NothingIndexed
from gnomon.core.files import exists, is_folder, write_atomic
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.digest import cache_home, digest_file, digest_json
from gnomon.evaluate.datasets import id_of
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.text_files import json_rows

_UNLIMITED_S = 86_400.0
_INDEXING, _OLD_MARK = "indexing.json", "complete"


@dataclass(frozen=True)
class Indexing:
    """What indexing a corpus took, all tries together: wall `seconds`, those spent embedding, and the `texts` of
    `tokens` that were embedded. `complete` is False for one that was cut off."""

    seconds: float = 0.0
    embed_seconds: float = 0.0
    texts: int = 0
    tokens: int = 0
    complete: bool = False


def corpus_of(dataset: DataSet) -> Path:
    """The corpus file that lies beside the queries. Raises InvalidInput where there is none."""
    folder = dataset.path if dataset.path is None or is_folder(dataset.path) else dataset.path.parent
    found = sorted(folder.glob("corpus.jsonl*")) if folder else []
    if not found:
        raise InvalidInput(
            f"the data set {dataset.name!r} has no corpus, so there is nothing to search with a model",
            expected="a corpus.jsonl beside the queries",
            hint="index the documents with the model, and name that collection: "
            "gnomon index PATH --into kb --model NAME",
        )
    return found[0]


def evaluation_folder(corpus: Path, fingerprint: str) -> Path:
    """The folder of a corpus's collection in a space: in gnomon's cache, by the content of both."""
    made = {"corpus": digest_file(corpus), "space": fingerprint}
    return cache_home() / "evaluations" / digest_json(made)[:16]


def read_indexing(folder: Path) -> Indexing:
    """What was recorded in the folder; zeros where nothing was, such as in one of gnomon 0.1."""
    try:
        return Indexing(**json.loads((folder / _INDEXING).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Indexing(complete=exists(folder / _OLD_MARK))


def index_once(kb: Collection, corpus: Path, model: str, *, progress: ProgressCallback) -> str:
    """Index the corpus into its collection unless that is done. Returns a note for the report."""
    folder = kb.internals.folder
    before = read_indexing(folder)
    if before.complete:
        return f"{model} searches its collection of {corpus.name} in {folder}, made before"
    progress(Progress("indexing", message=f"indexing {corpus} with {model}, once, into {folder}"))
    # A corpus that is cut off would be searched in the place of the whole one: it has no limit of size or time.
    options = IndexOptions(max_file_mb=corpus.stat().st_size / 1e6 + 50, max_file_s=_UNLIMITED_S)
    started, report = time.perf_counter(), None
    try:
        report = kb.index([corpus], options=options, progress=progress)
    finally:
        now = Indexing(
            seconds=before.seconds + time.perf_counter() - started,
            embed_seconds=before.embed_seconds + (report.embed_seconds if report else 0.0),
            texts=before.texts + (report.embedded if report else 0),
            tokens=before.tokens + (report.tokens if report else 0),
            complete=report is not None and not report.interrupted and len(kb) > 0,
        )
        write_atomic(folder / _INDEXING, json.dumps(asdict(now)))
    if report.interrupted:
        raise KeyboardInterrupt  # what is done is kept: the next time carries on
    if not now.complete:
        reason = report.problems[0].reason if report.problems else "no text in it"
        raise NothingIndexed(f"{corpus}: {reason}", expected="a corpus of documents with text", hint="look at the file")
    return f"{model} searches a collection of {corpus.name} made for it in {folder}"


def limited(dataset: DataSet, documents: int) -> DataSet:
    """A smaller data set, the same each time: queries in the order of a hash while their judged documents fill no more
    than half of `documents`, with these, and other documents of the corpus by their hash up to that number.

    The corpus is written into gnomon's cache. With fewer documents to confuse them, all figures are higher than on
    the whole corpus. Raises InvalidInput for fewer than 10 documents.
    """
    if documents < 10:
        raise InvalidInput(f"a limit of {documents} documents", expected="10 or more")
    corpus = corpus_of(dataset)
    if dataset.documents is not None and len(dataset.documents) <= documents:
        return dataset
    queries: dict[str, str] = {}
    kept: set[str] = set()
    for query in sorted(dataset.judged, key=_order):
        more = kept | dataset.relevant[query].keys()
        if queries and len(more) > documents / 2:
            break
        queries[query], kept = dataset.queries[query], more
    others = sorted((row for row, _ in _documents(corpus) if row not in kept), key=_order)
    kept |= set(others[: max(0, documents - len(kept))])
    folder = cache_home() / "evaluations" / f"corpus-{digest_json([digest_file(corpus), sorted(kept)])[:16]}"
    if not exists(folder / "corpus.jsonl"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "corpus.jsonl", "".join(line for row, line in _documents(corpus) if row in kept))
    relevant = {query: dataset.relevant[query] for query in queries}
    return replace(dataset, queries=queries, relevant=relevant, documents=frozenset(kept), path=folder)


def document_texts(corpus: Path) -> Iterator[str]:
    """Each document's title and text, as about what is embedded of it."""
    for _, row in json_rows(corpus):
        yield f"{row.get('title') or ''} {row.get('text') or ''}".strip()


def _order(name: str) -> str:
    return digest_json(name)


def _documents(corpus: Path) -> Iterator[tuple[str, str]]:
    """The id and the line of each document; one without an id is numbered."""
    for number, row in json_rows(corpus):
        name = id_of(row) or str(number)
        yield name, json.dumps({"_id": name, **row}, ensure_ascii=False) + "\n"
