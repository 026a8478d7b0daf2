"""The judged queries of a gate, checked against the collection before anything is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gnomon.collection.catalog import schema
from gnomon.collection.collection import Collection
from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput
from gnomon.core.files import storage_errors, write_atomic
from gnomon.evaluate.comparison import MIN_QUERIES, DecisionRule
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric, per_query
from gnomon.evaluate.run import Run
from gnomon.migrate.state import FOLDER, busy_error, is_running, require_collection

_BLOCK = 500
_JUDGED = "judged.jsonl"


@dataclass(frozen=True)
class GateSettings:
    """How a candidate is judged. `queries` is the path of a data set; without one only breakage is detected.

    `margin` is the accepted loss of the mean, `alpha` the allowed error rate. `segment` is a field of the
    documents' metadata by which the verdict is also broken down.
    """

    queries: str | None = None
    split: str | None = None
    metric: str = "nDCG@10"
    margin: float = 0.01
    alpha: float = 0.05
    segment: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return asdict(self)

    def with_absolute_paths(self) -> GateSettings:
        """The same for a process with another working folder."""
        return replace(self, queries=self.queries and str(Path(self.queries).expanduser().resolve()))


def keep_judged(collection: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write judged queries that were given as values into the collection's folder, for a migration's `queries`.

    Each row has a query (text), relevant (ids of documents, or ids with grades), and maybe an id. Raises
    CollectionNotFound, CollectionBusy while a migration runs, which may still read the former ones, and StorageError.
    """
    require_collection(collection)
    if is_running(collection):
        raise busy_error(collection)
    path = collection / FOLDER / _JUDGED
    with storage_errors(path):
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@dataclass(frozen=True)
class Judgments:
    """Judged queries of a collection, and the segments of each query."""

    dataset: DataSet
    relevant: Mapping[str, Mapping[str, int]]
    segments: Mapping[str, Sequence[str]]

    @property
    def queries(self) -> dict[str, str]:
        """The texts of the queries with a relevant document, by id."""
        return {query: self.dataset.queries[query] for query in self.relevant}


def load_judgments(kb: Collection, settings: GateSettings, dataset: DataSet | None = None) -> Judgments | None:
    """Read and check the judged queries; None without any. `dataset` replaces what `settings.queries` names.

    Raises InvalidInput for settings without a verdict, judgments of another corpus, fewer than ten judged
    queries, and a segment that no judged document has; UnreadableFile.
    """
    DecisionRule(settings.margin, settings.alpha)
    metric = parse_metric(settings.metric)
    if settings.queries is None and dataset is None:
        _require_no_options(settings)
        return None
    # Fails early if the metrics' library is missing.
    per_query(Run("none", {"q": {"d": 1.0}}), {"q": {"d": 1}}, [metric])
    dataset = dataset or load_dataset(Path(str(settings.queries)), split=settings.split)
    documents = frozenset(kb.ids())
    relevant = {
        query: dataset.relevant[query]
        for query in dataset.judged
        if any(grade > 0 for grade in dataset.relevant[query].values())
    }
    require_same_corpus(dataset, documents, relevant)
    if len(relevant) < MIN_QUERIES:
        raise InvalidInput(
            f"{dataset.name!r} has {len(relevant)} queries with a relevant document: too few for a gate",
            expected=f"at least {MIN_QUERIES}; small differences need hundreds",
            hint="judge more queries, or leave --queries out: then only breakage is detected, and the "
            "switch needs --without-proof",
        )
    segments = (
        _segments_by_field(kb, settings.segment, relevant) if settings.segment else _segments_by_kind(dataset, relevant)
    )
    return Judgments(dataset, relevant, segments)


def _require_no_options(settings: GateSettings) -> None:
    unused = [name for name in ("split", "segment") if getattr(settings, name) is not None]
    if unused:
        raise InvalidInput(
            f"--{' and --'.join(unused)} without --queries", expected="judged queries", hint="add --queries"
        )


def require_same_corpus(dataset: DataSet, documents: frozenset[str], relevant: Mapping[str, Mapping[str, int]]) -> None:
    """Raise InvalidInput where none of the judged documents is among the collection's."""
    judged = {document for grades in relevant.values() for document in grades}
    if judged and judged.isdisjoint(documents):
        raise InvalidInput(
            f"none of the {len(judged):,} judged documents of {dataset.name!r} is in the collection",
            expected=f"judgments of its documents, such as {', '.join(map(repr, sorted(documents)[:3]))}",
            hint=f"the judged ones are {', '.join(map(repr, sorted(judged)[:3]))}: correct the ids, or "
            "take the judgments of this corpus",
        )


def _segments_by_kind(dataset: DataSet, relevant: Mapping[str, object]) -> dict[str, list[str]]:
    return {query: [dataset.kinds[query]] for query in relevant if query in dataset.kinds}


def _segments_by_field(
    kb: Collection, field: str, relevant: Mapping[str, Mapping[str, int]]
) -> dict[str, Sequence[str]]:
    """The field's values in the relevant documents of each query. Raises InvalidInput if none has the field."""
    wanted = {document for grades in relevant.values() for document, grade in grades.items() if grade > 0}
    found: dict[str, list[str]] = {}
    fields: set[str] = set()
    for document, metadata in _metadata(kb, sorted(wanted)):
        fields.update(metadata)
        value = metadata.get(field)
        if value is not None:
            found[document] = [str(each) for each in (value if isinstance(value, list) else [value])]
    if not found:
        raise InvalidInput(
            f"--segment {field}: no relevant document has that field",
            expected=f"one of {', '.join(sorted(fields))}" if fields else "documents with metadata",
            hint="leave --segment out, or name a field of the documents",
        )
    return {
        query: sorted({value for document in grades for value in found.get(document, ()) if grades[document] > 0})
        for query, grades in relevant.items()
    }


def _metadata(kb: Collection, documents: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    table = schema.documents.c
    for block in in_blocks(documents, _BLOCK):
        with kb.internals.catalog.read() as connection:
            wanted = select(table.key, table.metadata).where(table.key.in_(block))
            rows = connection.execute(wanted).all()
        for row in rows:
            yield row.key, json.loads(row.metadata)
