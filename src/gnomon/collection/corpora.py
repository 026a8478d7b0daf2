"""Collections made to measure a model: of a data set's corpus, once, in gnomon's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gnomon.collection.collection import Collection
from gnomon.collection.reports import Progress
from gnomon.collection.settings import IndexOptions
from gnomon.core.errors import InvalidInput, NothingIndexed
from gnomon.encode.digest import cache_home, digest_file, digest_json
from gnomon.evaluate.judgments import DataSet


def corpus_of(dataset: DataSet) -> Path:
    """The corpus file that lies beside the queries. Raises InvalidInput where there is none."""
    folder = dataset.path if dataset.path is None or dataset.path.is_dir() else dataset.path.parent
    found = sorted(folder.glob("corpus.jsonl*")) if folder else []
    if not found:
        raise InvalidInput(
            f"the data set {dataset.name!r} has no corpus, so there is nothing to search with a model",
            wanted="a corpus.jsonl beside the queries",
            next_step="index the documents with the model, and name that collection: "
            "gnomon index PATH --into kb --model NAME",
        )
    return found[0]


def evaluation_folder(corpus: Path, fingerprint: str) -> Path:
    """Where the collection of a corpus in a space lies: in gnomon's cache, by the content of both."""
    made = {"corpus": digest_file(corpus), "space": fingerprint}
    return cache_home() / "evaluations" / digest_json(made)[:16]


def index_once(
    kb: Collection, corpus: Path, model: str, say: Callable[[str], None], progress: Callable[[Progress], None]
) -> str:
    """Index the corpus into its collection where that is not done. Returns what to tell of it."""
    folder = Path(kb.status().path)
    done = folder / "complete"
    if done.exists():
        return f"{model} searches its collection of {corpus.name} in {folder}, made before"
    say(f"indexing {corpus} with {model}, once, into {folder}")
    most_mb = corpus.stat().st_size / 1e6 + 50
    report = kb.index([corpus], options=IndexOptions(max_file_mb=most_mb), progress=progress)
    if report.interrupted:
        raise KeyboardInterrupt  # what is done is kept: the next time carries on
    if not kb.documents():
        reason = report.problems[0].reason if report.problems else "no text in it"
        raise NothingIndexed(
            f"{corpus}: {reason}", wanted="a corpus of documents with text", next_step="look at the file"
        )
    done.touch()
    return f"{model} searches a collection of {corpus.name} made for it in {folder}"
