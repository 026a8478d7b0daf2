"""Examples, and batches of them with one label matrix. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Example:
    """A query with the documents that are judged for it.

    `labels` has one number a document: 1 for a positive and 0 for a negative, or a score (of people, or of
    a teacher). `source` names the data set, whose prompts and batches are its own; `id` says where the
    example came from (file:line), and is what an error names. `also` holds further texts that are known to
    be right for the query and are not learned from here: in a batch they are no negatives.
    """

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    source: str = ""
    id: str = ""
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.documents or len(self.documents) != len(self.labels):
            raise InvalidInput(
                f"an example ({self.id or 'without id'}) of {len(self.documents)} documents and "
                f"{len(self.labels)} labels",
                expected="at least one document, and a label for each",
            )


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries, documents, and what is known of each pair: the label matrix.

    A label is 1 for a positive, 0 for a negative, or a score; NaN where nothing is known and nothing is to
    be learned. `own` says for each document which query it came with.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    labels: Float[np.ndarray, "queries documents"]
    own: tuple[int, ...]
    source: str = ""
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, examples: Sequence[Example], *, in_batch: bool) -> Batch:
        """The batch of these examples; documents in the order of their examples.

        With `in_batch` the documents of other examples are negatives (0), except one whose text is that of
        a document judged for this query or known to be right for it (`also`), that of the query itself, or
        that comes with the same query's text: it is NaN. Without, all
        that is not judged is NaN. Raises InvalidInput for no examples or more than one source.
        """
        if not examples or len({example.source for example in examples}) > 1:
            raise InvalidInput(
                f"a batch of {len(examples)} examples from {len({e.source for e in examples})} sources",
                expected="examples of one source",
            )
        documents = tuple(text for example in examples for text in example.documents)
        own = tuple(at for at, example in enumerate(examples) for _ in example.documents)
        labels = np.full((len(examples), len(documents)), 0.0 if in_batch else np.nan, dtype=np.float32)
        if in_batch:
            _forget(labels, examples, documents)
        column = 0
        for row, example in enumerate(examples):
            labels[row, column : column + len(example.labels)] = example.labels
            column += len(example.labels)
        queries = tuple(example.query for example in examples)
        return cls(queries, documents, labels, own, examples[0].source, tuple(e.id for e in examples))


def _forget(
    labels: Float[np.ndarray, "queries documents"], examples: Sequence[Example], documents: tuple[str, ...]
) -> None:
    """Set NaN for other examples' documents that may be right for the query too.

    By lookups and not by comparing every pair: a batch of 1,024 has a million of them and more.
    """
    columns: dict[str, list[int]] = {}
    for column, text in enumerate(documents):
        columns.setdefault(text, []).append(column)
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.query, []).append(row)
        for text in {*example.documents, *example.also, example.query}:
            if text in columns:
                labels[row, columns[text]] = np.nan
    ends = np.cumsum([len(example.documents) for example in examples])
    for same in rows.values():
        for other in same if len(same) > 1 else ():
            labels[same, ends[other] - len(examples[other].documents) : ends[other]] = np.nan
