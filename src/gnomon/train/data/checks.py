"""Checks of training data before training: each finding has its file and line.

Texts are compared normalised (NFKC, no case, white space single) by a hash of 64 bits, 24 bytes an example in
memory: of 10 million pairs one falls in with another by chance about once in 400,000 checks.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, UInt

from gnomon.core.contracts import Role
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.train.batch import Example
from gnomon.train.data.source import DataSource

DataFindingKind = Literal[
    "unreadable row",
    "empty query",
    "empty document",
    "equal sides",
    "label not a number",
    "label out of range",
    "duplicate",
    "leaked query",
    "leaked pair",
]
LEFT_OUT: frozenset[DataFindingKind] = frozenset(
    {
        "unreadable row",
        "empty query",
        "empty document",
        "equal sides",
        "label not a number",
        "label out of range",
    }
)
"""Kinds whose examples cannot be learned from; `DataReport.kept` takes them out."""
SHOWN = 5
"""Findings of a kind and source that are kept whole; the rest are counted."""


@dataclass(frozen=True)
class LengthLimits:
    """The longest texts allowed, in tokens, and what counts them; `sample` texts of each role are counted."""

    count: Callable[[Sequence[str], Role], Sequence[int]]
    max_query: int
    max_document: int
    sample: int = 2000


@dataclass(frozen=True)
class CheckSettings:
    """`labels` is the range that the loss takes (None: any finite number). `strict` refuses findings."""

    labels: tuple[float, float] | None = (0.0, 1.0)
    strict: bool = False
    lengths: LengthLimits | None = None


@dataclass(frozen=True)
class DataFinding:
    """A defect: its kind, file:line, and the text there."""

    kind: DataFindingKind
    where: str
    what: str


@dataclass(frozen=True)
class SourceReport:
    """What a check found in a source. `over_long` is the share of texts, by role, beyond the model's limit."""

    name: str
    form: str
    examples: int
    digest: str
    counts: Mapping[str, int]
    shown: tuple[DataFinding, ...]
    over_long: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DataReport:
    """All sources, those trained on first, then those held out (dev and test)."""

    train: tuple[SourceReport, ...]
    held_out: tuple[SourceReport, ...]
    left_out: Mapping[str, Int[np.ndarray, " rows"]]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, over all sources."""
        total: dict[str, int] = {}
        for report in (*self.train, *self.held_out):
            for kind, count in report.counts.items():
                total[kind] = total.get(kind, 0) + count
        return total

    @property
    def shown(self) -> tuple[DataFinding, ...]:
        """A few findings of each kind and source."""
        return tuple(one for report in (*self.train, *self.held_out) for one in report.shown)

    def kept(self, sources: Sequence[DataSource]) -> tuple[DataSource, ...]:
        """The sources that were trained on, without the examples that cannot be learned from."""
        return tuple(
            source.without(self.left_out[source.name]) if len(self.left_out[source.name]) else source
            for source in sources
        )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, for a run's report."""
        return {
            "train": to_plain(self.train),
            "held_out": to_plain(self.held_out),
            "left_out": {name: len(rows) for name, rows in self.left_out.items()},
        }

    def require(self) -> None:
        """Raise InvalidInput where anything was found, naming the first of each kind."""
        if not self.counts:
            return
        first: dict[str, DataFinding] = {finding.kind: finding for finding in reversed(self.shown)}
        listed = "; ".join(
            f"{count} × {kind}, as {first[kind].where} ({first[kind].what})" for kind, count in self.counts.items()
        )
        raise InvalidInput(
            f"the data has {listed}",
            expected="sound rows, and none that training and held-out data share",
            hint="correct or remove these rows, or check without strict: bad rows are then left out, "
            "leaks and duplicates reported and kept",
        )


def check_data(
    train: Sequence[DataSource],
    held_out: Sequence[DataSource] = (),
    *,
    settings: CheckSettings | None = None,
    progress: ProgressCallback = no_progress,
) -> DataReport:
    """Read every example once and report what is wrong with it. Dev and test sources are `held_out`.

    A leak is a query or a pair of `train` that is also in `held_out`; of scored pairs, where any text may be
    on either side, only the pair counts. With `strict` any finding is refused. Raises InvalidInput.
    """
    settings = settings or CheckSettings()
    steps = _Steps(sum(len(source) for source in (*train, *held_out)), progress)
    held = [_SourceCheck(source, settings, steps) for source in held_out]
    queries = np.unique(np.concatenate([one.queries for one in held])) if held else None
    pairs = np.unique(np.concatenate([one.pairs for one in held])) if held else None
    checked = [_SourceCheck(source, settings, steps) for source in train]
    for one in checked:
        if queries is not None and pairs is not None:
            one.compare(queries, pairs)
    report = DataReport(
        tuple(one.report(settings) for one in checked),
        tuple(one.report(settings) for one in held),
        {one.source.name: one.left_out for one in checked},
    )
    if settings.strict:
        report.require()
    return report


class _Steps:
    """Progress over all sources."""

    def __init__(self, total: int, progress: ProgressCallback) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def step(self) -> None:
        self._done += 1
        if self._done % 1000 == 0 or self._done == self._total:
            self._progress(Progress("checking", self._done, self._total, "example"))


class _SourceCheck:
    """One pass over a source: hashes of what it holds, and findings."""

    def __init__(self, source: DataSource, settings: CheckSettings, steps: _Steps) -> None:
        self.source = source
        self._counts: dict[DataFindingKind, int] = {}
        self._shown: list[DataFinding] = []
        self.queries = np.zeros(len(source), dtype=np.uint64)
        self.pairs = np.zeros(len(source), dtype=np.uint64)
        self._wholes = np.zeros(len(source), dtype=np.uint64)
        left_out: list[int] = []
        for at in range(len(source)):
            kinds = list(self._row(at, settings))
            if not LEFT_OUT.isdisjoint(kinds):
                left_out.append(at)
            steps.step()
        self.left_out = np.array(left_out, dtype=np.int64)
        self._sound = np.ones(len(source), dtype=np.bool_)
        self._sound[self.left_out] = False
        self._find_duplicates()

    def _row(self, at: int, settings: CheckSettings) -> Iterator[DataFindingKind]:
        try:
            example = self.source[at]
        except GnomonError as error:
            yield self._found("unreadable row", self.source.where(at), error.message)
            return
        for kind, what in _wrong(example, settings.labels, is_scored=self.source.form == "scored"):
            yield self._found(kind, example.id, what)
        sides = [_normalised(example.query), *(_normalised(text) for text in example.documents)]
        if self.source.form == "scored":
            sides.sort()
        self.queries[at] = _hash(_normalised(example.query))
        self.pairs[at] = _hash("\0".join(sides[:2]))
        self._wholes[at] = _hash("\0".join(sides))

    def _found(self, kind: DataFindingKind, where: str, what: str) -> DataFindingKind:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= SHOWN:
            self._shown.append(DataFinding(kind, where, what if len(what) <= 160 else what[:159] + "…"))
        return kind

    def _find_duplicates(self) -> None:
        rows = np.flatnonzero(self._sound)
        _, first, back = np.unique(self._wholes[rows], return_index=True, return_inverse=True)
        for at in np.flatnonzero(first[back] != np.arange(len(rows))):
            row, same = int(rows[at]), int(rows[first[back[at]]])
            self._note(row, "duplicate", f"the same as {self.source.where(same)}")

    def _note(self, row: int, kind: DataFindingKind, what: str) -> None:
        shown = self._counts.get(kind, 0) < SHOWN
        self._found(kind, self.source.where(row) if shown else "", what)

    def compare(self, queries: UInt[np.ndarray, " q"], pairs: UInt[np.ndarray, " p"]) -> None:
        """Find queries and pairs of this source that are held out too."""
        leaked = np.isin(self.pairs, pairs) & self._sound
        for row in np.flatnonzero(leaked):
            self._note(int(row), "leaked pair", f"held out too: {self._query(int(row), 'leaked pair')}")
        if self.source.form != "scored":
            for row in np.flatnonzero(np.isin(self.queries, queries) & self._sound & ~leaked):
                self._note(int(row), "leaked query", f"held out too: {self._query(int(row), 'leaked query')}")

    def _query(self, row: int, kind: DataFindingKind) -> str:
        return self.source[row].query if self._counts.get(kind, 0) < SHOWN else ""

    def report(self, settings: CheckSettings) -> SourceReport:
        """What was found, with the source's digest."""
        return SourceReport(
            self.source.name,
            self.source.form,
            len(self.source),
            self.source.digest(),
            dict[str, int](self._counts.items()),
            tuple(self._shown),
            _over_long(self.source, self._sound, settings.lengths) if settings.lengths else {},
        )


def _wrong(
    example: Example, labels: tuple[float, float] | None, *, is_scored: bool
) -> Iterator[tuple[DataFindingKind, str]]:
    if not example.query.strip():
        yield "empty query", f"its first document: {example.documents[0]}"
    if not all(text.strip() for text in example.documents):
        yield "empty document", f"the query: {example.query}"
    elif not is_scored and example.query.strip():
        # Of scored pairs two equal sides are a fair example, with the best score.
        right = [t for t, label in zip(example.documents, example.labels, strict=True) if label > 0]
        if _normalised(example.query) in map(_normalised, right):
            yield "equal sides", example.query
    if not all(math.isfinite(label) for label in example.labels):
        yield "label not a number", f"{list(example.labels)}"
    elif labels and not all(labels[0] <= label <= labels[1] for label in example.labels):
        wanted = f"{labels[0]:g} to {labels[1]:g}, or scale = [LOWEST, HIGHEST] in the source"
        yield "label out of range", f"{list(example.labels)}, wanted {wanted}"


def _over_long(source: DataSource, sound: np.ndarray[Any, Any], lengths: LengthLimits) -> dict[str, float]:
    """The share of queries and of documents with more tokens than the model reads."""
    rows = np.flatnonzero(sound)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), lengths.sample)).astype(np.int64)]
    examples = [source[int(row)] for row in rows]
    if not examples:
        return {}
    queries = lengths.count([example.query for example in examples], "query")
    documents = lengths.count([text for example in examples for text in example.documents], "document")
    return {
        "query": sum(count > lengths.max_query for count in queries) / len(queries),
        "document": sum(count > lengths.max_document for count in documents) / len(documents),
    }


def _normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _hash(text: str) -> int:
    whole = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(whole, "big")
