"""The judgments that a gate decides by: read and held against the collection before anything is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from gnomon.collection.catalog import schema
from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import FEWEST, Rule
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric, per_query
from gnomon.evaluate.run import Run

_BLOCK = 500


@dataclass(frozen=True)
class GateSettings:
    """How a candidate is judged. `queries` is a data set or where one lies; without, only breakage is seen.

    `margin` is the loss of the mean that would be accepted, `alpha` the error allowed. `segment` is a field
    of the documents' metadata by which the verdict is broken down as well.
    """

    queries: str | None = None
    split: str | None = None
    metric: str = "nDCG@10"
    margin: float = 0.01
    alpha: float = 0.05
    segment: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True)
class Judgments:
    """Judged queries that a collection can be asked, and the segments that each one belongs to."""

    dataset: DataSet
    relevant: Mapping[str, Mapping[str, int]]
    segments: Mapping[str, Sequence[str]]

    @property
    def queries(self) -> dict[str, str]:
        """The texts of those that count, by id."""
        return {query: self.dataset.queries[query] for query in self.relevant}


def judgments(kb: Collection, settings: GateSettings, dataset: DataSet | None = None) -> Judgments | None:
    """Read and check them; None where none are given. `dataset` stands for what `settings.queries` names.

    Raises InvalidInput for settings that no verdict can be based on, for data of another corpus, for fewer
    than ten judged queries and for a segment that no judged document has; UnreadableFile.
    """
    Rule(settings.margin, settings.alpha)
    metric = parse_metric(settings.metric)
    if settings.queries is None and dataset is None:
        _refuse_idle(settings)
        return None
    # So that what computes metrics is known to be there.
    per_query(Run("none", {"q": {"d": 1.0}}), {"q": {"d": 1}}, [metric])
    dataset = dataset or load_dataset(Path(str(settings.queries)), split=settings.split)
    documents = frozenset(kb.ids())
    relevant = {
        query: dataset.relevant[query]
        for query in dataset.judged
        if any(grade > 0 for grade in dataset.relevant[query].values())
    }
    _require_same_corpus(dataset, documents, relevant)
    if len(relevant) < FEWEST:
        raise InvalidInput(
            f"{dataset.name!r} has {len(relevant)} queries with a relevant document: too few for a gate",
            expected=f"at least {FEWEST}; small differences take hundreds",
            hint="judge more queries, or leave --queries out: then only breakage is looked for, and the "
            "switch needs --without-proof",
        )
    segments = _segments(kb, settings.segment, relevant) if settings.segment else _kinds(dataset, relevant)
    return Judgments(dataset, relevant, segments)


def _refuse_idle(settings: GateSettings) -> None:
    idle = [name for name in ("split", "segment") if getattr(settings, name) is not None]
    if idle:
        raise InvalidInput(
            f"--{' and --'.join(idle)} without --queries", expected="judged queries", hint="add --queries"
        )


def _require_same_corpus(
    dataset: DataSet, documents: frozenset[str], relevant: Mapping[str, Mapping[str, int]]
) -> None:
    judged = {document for grades in relevant.values() for document in grades}
    if judged and judged.isdisjoint(documents):
        raise InvalidInput(
            f"none of the {len(judged):,} judged documents of {dataset.name!r} is in the collection",
            expected=f"judgments of its documents, such as {', '.join(map(repr, sorted(documents)[:3]))}",
            hint=f"the judged ones are {', '.join(map(repr, sorted(judged)[:3]))}: correct the ids, or "
            "take the judgments of this corpus",
        )


def _kinds(dataset: DataSet, relevant: Mapping[str, object]) -> dict[str, list[str]]:
    return {query: [dataset.kinds[query]] for query in relevant if query in dataset.kinds}


def _segments(kb: Collection, field: str, relevant: Mapping[str, Mapping[str, int]]) -> dict[str, Sequence[str]]:
    """The field's values in the relevant documents of each query. Raises InvalidInput where none has it."""
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
            hint="leave --segment out, or name a field that is there",
        )
    return {
        query: sorted({value for document in grades for value in found.get(document, ()) if grades[document] > 0})
        for query, grades in relevant.items()
    }


def _metadata(kb: Collection, documents: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    table = schema.documents.c
    for at in range(0, len(documents), _BLOCK):
        with kb.internals.catalog.read() as connection:
            wanted = select(table.key, table.metadata).where(table.key.in_(documents[at : at + _BLOCK]))
            rows = connection.execute(wanted).all()
        for row in rows:
            yield row.key, json.loads(row.metadata)


def with_queries(settings: GateSettings, queries: str | None) -> GateSettings:
    """The same with the place of the queries made absolute: another process works elsewhere."""
    return settings if queries is None else replace(settings, queries=str(Path(queries).expanduser().resolve()))
