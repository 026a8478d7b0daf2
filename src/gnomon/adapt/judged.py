"""The judged queries that adapting learns from, checked before anything that takes long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gnomon.adapt.candidates import JudgedQueries
from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import MIN_QUERIES
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.judgments import DataSet
from gnomon.migrate.judgments import require_same_corpus

MIN_DOCUMENTS = 100
"""Documents below which a search for ten returns so many of all that hardly any order is wrong."""
_SHOWN = 3


class NothingToLearn(InvalidInput):
    """The judgments are well-formed, but nothing can be shown with them: adapting declines."""


@dataclass(frozen=True)
class CheckedJudgments:
    """Judged queries of a collection, and what was left out of them and why."""

    judged: JudgedQueries
    name: str
    notes: tuple[str, ...] = ()


def checked_judgments(
    kb: Collection, judgments: str | Path | DataSet | JudgedQueries, *, split: str | None = None
) -> CheckedJudgments:
    """The judged queries of a data set, with what the collection no longer has left out.

    Raises InvalidInput for no judged query, for pairs that are judged twice in different ways, for judgments without
    a relevant document and for those of another corpus; NothingToLearn for fewer than ten queries (of different
    texts, with a document that is still there), where every second document of the corpus is relevant, and for a
    corpus below 100 documents.
    """
    dataset = _dataset(judgments, split)
    _require_judged(dataset)
    documents = frozenset(kb.ids())
    _require_corpus(documents)
    relevant = {query: dataset.relevant[query] for query in dataset.judged}
    positive = {query: grades for query, grades in relevant.items() if max(grades.values()) > 0}
    if not positive:
        raise InvalidInput(
            f"all {sum(map(len, relevant.values())):,} judgments of {dataset.name!r} are negative: no document is "
            "relevant to any query",
            expected="queries with at least one relevant document",
            hint="judge more passages of each query, or check that 1 and 0 are not exchanged",
        )
    require_same_corpus(dataset, documents, positive)
    notes = []
    if without := len(relevant) - len(positive):
        notes.append(f"{without:,} judged queries without a relevant document are left out")
    kept, gone = _present(positive, documents)
    if gone:
        notes.append(f"{gone:,} judged documents are no longer in the collection: their judgments are left out")
    if lost := len(positive) - len(kept):
        notes.append(f"{lost:,} queries are left out with them: none of their relevant documents is left")
    judged = JudgedQueries({query: dataset.queries[query] for query in kept}, kept)
    _require_enough(judged, dataset.name, notes)
    _require_negatives(judged, len(documents))
    return CheckedJudgments(judged, dataset.name, tuple(notes))


def _dataset(judgments: str | Path | DataSet | JudgedQueries, split: str | None) -> DataSet:
    if isinstance(judgments, JudgedQueries):
        return DataSet("judgments", judgments.texts, judgments.grades)
    return judgments if isinstance(judgments, DataSet) else load_dataset(Path(judgments), split=split)


def _require_judged(dataset: DataSet) -> None:
    if not dataset.judged:
        raise InvalidInput(
            f"{dataset.name!r} has no query with a text and a judgment",
            expected=f"at least {MIN_QUERIES} judged queries; 50 and more show something",
            hint="judge some: gnomon judge KB --queries FILE",
        )
    conflicts = [fault for fault in dataset.faults if fault.kind == "conflicting grades"]
    if conflicts:
        shown = "; ".join(f"{fault.what} ({fault.where})" for fault in conflicts[:_SHOWN])
        raise InvalidInput(
            f"{len(conflicts):,} pairs of {dataset.name!r} are judged twice in different ways: {shown}",
            expected="one grade for each query and document",
            hint="decide which of the two holds, and delete the other line",
        )


def _require_corpus(documents: frozenset[str]) -> None:
    if len(documents) < MIN_DOCUMENTS:
        raise NothingToLearn(
            f"the collection has {len(documents):,} documents: a search returns ten, so there is hardly an order to "
            "improve",
            expected=f"at least {MIN_DOCUMENTS} documents",
            hint="adapt once the collection has grown",
        )


def _present(
    relevant: Mapping[str, Mapping[str, int]], documents: frozenset[str]
) -> tuple[dict[str, dict[str, int]], int]:
    """The judgments of documents that are still there, of queries with a relevant one; and how many are gone."""
    gone = {document for grades in relevant.values() for document in grades} - documents
    left = {
        query: {document: grade for document, grade in grades.items() if document in documents}
        for query, grades in relevant.items()
    }
    return {query: grades for query, grades in left.items() if max(grades.values(), default=0) > 0}, len(gone)


def _require_enough(judged: JudgedQueries, name: str, notes: list[str]) -> None:
    different = len({" ".join(text.split()).casefold() for text in judged.texts.values()})
    if min(len(judged), different) >= MIN_QUERIES:
        return
    alike = f", with {different} different texts" if different < len(judged) else ""
    raise NothingToLearn(
        f"{len(judged)} judged queries of {name!r} can be used{alike}: too few to show anything"
        + "".join(f"; {note}" for note in notes),
        expected=f"at least {MIN_QUERIES} different queries with a relevant document; 50 and more are better",
        hint="judge more queries: gnomon judge KB --queries FILE",
    )


def _require_negatives(judged: JudgedQueries, documents: int) -> None:
    """Every second document relevant to most queries: whoever judged said yes to everything."""
    broad = sum(len(judged.relevant(query)) > documents / 2 for query in judged.ids)
    if broad > len(judged) / 2:
        raise NothingToLearn(
            f"{broad:,} of {len(judged):,} queries have more than half of all documents as relevant",
            expected="judgments that tell documents apart",
            hint="judge again: only passages that answer the query are relevant",
        )
