"""Runs: for each query the documents that a system returned with their scores, in memory and in files.

The order is always trec_eval's: by falling score in single precision, and documents of equal scores by falling
id. So a run gives the same metrics here and in trec_eval.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.files import write_atomic
from gnomon.evaluate.text_files import text_lines
from gnomon.evaluate.trec import nested_scores

Relevant = Mapping[str, Mapping[str, int]]
"""Judgments: query id -> document id -> grade; 1 and more is relevant, 0 is judged and not relevant."""

EMPTY: Mapping[str, Any] = MappingProxyType({})
_LEAST = np.float32(-np.inf)


@dataclass(frozen=True)
class Run:
    """Each query's documents with their scores. A query that found nothing has an empty mapping.

    `about` says how the run was made (model, settings, …): it is saved in JSON files and not used otherwise.
    Raises InvalidInput for scores that are no finite numbers of single precision, and for empty ids.
    """

    name: str
    results: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    def __post_init__(self) -> None:
        kept = {query: _checked(query, found) for query, found in self.results.items()}
        object.__setattr__(self, "results", MappingProxyType(kept))
        object.__setattr__(self, "about", MappingProxyType(dict(self.about)))

    @classmethod
    def of_pairs(cls, name: str, pairs: Iterable[tuple[str, str, float]], about: Mapping[str, Any] = EMPTY) -> Run:
        """A run of (query id, document id, score). Raises InvalidInput when a document comes twice."""
        results: dict[str, dict[str, float]] = {}
        for query, document, score in pairs:
            found = results.setdefault(query, {})
            if document in found:
                raise _duplicate_document(query, document)
            found[document] = float(score)
        return cls(name, results, about)

    @classmethod
    def ranked(
        cls,
        name: str,
        rankings: Mapping[str, Sequence[tuple[str, float]]],
        about: Mapping[str, Any] = EMPTY,
    ) -> Run:
        """A run that keeps the order of each query's (document id, score), best first, as it was returned.

        Where a score does not fall below the one before it (in single precision), it is set to the next
        smaller number: no tie is left for a tool to break in its own way.
        """
        results = {}
        for query, ranking in rankings.items():
            found: dict[str, float] = {}
            above = np.float32(np.inf)
            for document, score in ranking:
                if document in found:
                    raise _duplicate_document(query, document)
                with np.errstate(over="ignore"):
                    own = np.float32(score)
                above = own if own < above or not np.isfinite(own) else np.nextafter(above, _LEAST)
                found[document] = float(above)
            results[query] = found
        return cls(name, results, about)

    @property
    def queries(self) -> frozenset[str]:
        """The ids of the queries that were run, also of those that found nothing."""
        return frozenset(self.results)

    def ranking(self, query: str) -> list[str]:
        """The documents found for a query, best first; none for a query that is not in the run."""
        found = self.results.get(query, EMPTY)
        return sorted(found, key=lambda document: (np.float32(found[document]), document), reverse=True)

    def with_queries(self, queries: Iterable[str]) -> Run:
        """This run with `queries` in it too: those that were not in it found nothing."""
        return replace(self, results={**{query: {} for query in queries}, **self.results})

    def asked(self, queries: Iterable[str]) -> Run:
        """The old name of `with_queries`."""
        warnings.warn("Run.asked is now Run.with_queries; the old name will be removed in 0.3", DeprecationWarning, 2)
        return self.with_queries(queries)

    def save(self, path: str | Path) -> Path:
        """Write a JSON file (.json: everything) or a TREC run file (any other suffix: results only).

        A TREC file cannot hold a query that found nothing; `with_queries` adds such queries after loading.
        Raises InvalidInput for ids with white space in a TREC file.
        """
        path = Path(path)
        if path.suffix == ".json":
            body = {"name": self.name, "about": dict(self.about)}
            results = {query: dict(found) for query, found in self.results.items()}
            text = json.dumps({**body, "results": results}, ensure_ascii=False, separators=(",", ":"))
            text += "\n"
        else:
            text = "".join(self._lines())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
        return path

    def _lines(self) -> Iterator[str]:
        tag = "".join(self.name.split()) or "run"
        for query, found in self.results.items():
            for rank, document in enumerate(self.ranking(query), 1):
                for part in (query, document):
                    if part.split() != [part]:
                        raise InvalidInput(
                            f"the id {part!r} in a TREC run file",
                            expected="ids without white space: it separates the columns",
                            hint="save as .json",
                        )
                yield f"{query} Q0 {document} {rank} {found[document]!r} {tag}\n"

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """The run in a file that `save` or another tool wrote: JSON by the suffix .json, else TREC.

        Gzipped files are read as they are.
        Raises InvalidInput, with the line, for what is no run, and UnreadableFile.
        """
        path = Path(path)
        return _from_json(path) if path.suffix == ".json" else _from_trec(path)


def _checked(query: str, found: Mapping[str, float]) -> Mapping[str, float]:
    """The results of one query as Python floats, in the order given."""
    own = {document: float(score) for document, score in found.items()}
    if not query or "" in own:
        raise InvalidInput(
            f"an empty {'document' if query else 'query'} id in a run", expected="ids of one character or more"
        )
    with np.errstate(over="ignore"):
        fine = np.isfinite(np.fromiter(own.values(), dtype=np.float64, count=len(own)).astype(np.float32))
    if not fine.all():
        document = list(own)[int(np.argmin(fine))]
        raise InvalidInput(
            f"score {own[document]} of document {document!r} for query {query!r}",
            expected="finite scores within single precision: trec_eval compares them so",
            hint="leave out documents that have no score",
        )
    return MappingProxyType(own)


def _duplicate_document(query: str, document: str) -> InvalidInput:
    return InvalidInput(
        f"document {document!r} comes twice for query {query!r}",
        expected="each document once a query",
        hint="keep its best score; chunks of one document must be grouped first",
    )


def _from_json(path: Path) -> Run:
    text = "\n".join(line for _, line in text_lines(path))
    try:
        body = json.loads(text)
        if nested_scores(path) is not None and "results" not in body:
            body = {"results": body}
        if not isinstance(body, dict) or not isinstance(body.get("results"), dict):
            raise TypeError("no results by query")
        results = {query: dict(found.items()) for query, found in body["results"].items()}
        return Run(str(body.get("name", path.stem)), results, dict(body.get("about", {})))
    except InvalidInput:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{path} is no run: {error}",
            expected='{"name": …, "results": {query id: {document id: score}}}',
            hint="a TREC run file has another suffix than .json",
        ) from error


def _from_trec(path: Path) -> Run:
    results: dict[str, dict[str, float]] = {}
    tag = ""
    for number, line in text_lines(path):
        parts = line.split("\t") if line.count("\t") == 5 else line.split()
        score = _number(parts[4]) if len(parts) == 6 else None
        if score is None:
            raise InvalidInput(
                f"{path}, line {number}: {line[:80]!r}",
                expected="six columns: query id, Q0, document id, rank, score, name",
                hint="a run saved as JSON has the suffix .json",
            )
        query, document = parts[0], parts[2]
        tag = tag or parts[5]
        found = results.setdefault(query, {})
        if document in found:
            raise InvalidInput(
                f"{path}, line {number}: document {document!r} is there already for query {query!r}, with score "
                f"{found[document]:g}, and now with {score:g}",
                expected="a document once a query",
                hint="take one of the two lines out",
            )
        found[document] = score
    return Run(tag or path.stem, results)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
