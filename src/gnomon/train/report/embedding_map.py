"""The embedding map of a run: the vectors of a few tracked texts at some steps, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.files import replacing
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.similarity import normalise
from gnomon.kernels.geometry import alignment, uniformity
from gnomon.train.contracts import Embedder, Model, Reps
from gnomon.train.data.source import DataSource
from gnomon.train.evaluation import DevSet, bm25_candidates, embed_texts
from gnomon.train.grad_cache import Precision
from gnomon.train.optim import temporary_weights

MAP_FILE, _OLD_MAP_FILE = "embedding-map.npz", "seen.npz"  # the old one is gnomon 0.1's
STAGES = 8
"""How many times a run is recorded after its start, the end included."""
_POSITIVES, _NEGATIVES, _PAIRS = 3, 5, 24
_POOL, _EXAMPLES = 2000, 600
_GOOD = 0.8
"""Where pairs have scores, those from here on in their range belong together (4 of 5 in STS-B)."""


@dataclass(frozen=True)
class Anchor:
    """A query with its neighbours, as numbers of texts. Negatives are texts that share its words (BM25)."""

    query: int
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class TrackedTexts:
    """Texts whose vectors are recorded. `pairs` are (query, document) that belong together, for the curve."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    pairs: tuple[tuple[int, int], ...]


def choose_texts(dev: Sequence[DevSet], sources: Sequence[DataSource], *, anchors: int) -> TrackedTexts | None:
    """Texts to track: of the first dev set that has pairs, else of the first examples of the sources.

    None where no pair is found, or with 0 anchors.
    """
    if not anchors:
        return None
    for one in chain(map(_related, dev), map(_sampled, (sources,))):
        chosen = {q: [d for d in _right(one, q) if one.documents[d].strip()] for q in one.relevant}
        answered = [q for q, documents in chosen.items() if documents and one.queries[q].strip()]
        if answered:
            return _tracked(one, {q: chosen[q] for q in answered}, anchors)
    return None


def _tracked(dev: DevSet, right: Mapping[str, Sequence[str]], anchors: int) -> TrackedTexts:
    answered = list(right)
    # Spread over the file, of which neighbours are often alike.
    sample = [answered[at] for at in _spread(len(answered), max(_PAIRS, anchors))]
    first = [sample[at] for at in _spread(len(sample), anchors)]
    smaller = replace(dev.smaller(_POOL), queries={q: dev.queries[q] for q in first})
    found = bm25_candidates(smaller, k=_NEGATIVES + 20)
    queries, documents = _TextNumbers(), _TextNumbers()
    made = []
    for query in first:
        own = right[query][:_POSITIVES]
        texts = {dev.documents[d] for d in _right(dev, query)} | {dev.queries[query]}
        wrong = dict.fromkeys(dev.documents[d] for d in found[query] if dev.documents[d] not in texts)
        made.append(
            Anchor(
                queries.of(dev.queries[query]),
                tuple(documents.of(dev.documents[d]) for d in own),
                tuple(documents.of(text) for text in list(wrong)[:_NEGATIVES]),
            )
        )
    pairs = [(queries.of(dev.queries[q]), documents.of(dev.documents[right[q][0]])) for q in sample]
    return TrackedTexts(queries.texts, documents.texts, tuple(made), tuple(dict.fromkeys(pairs)))


class _TextNumbers:
    """Numbers texts in the order of their first mention."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self._known.setdefault(text, len(self._known))

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._known)


def _right(dev: DevSet, query: str) -> list[str]:
    return [d for d, grade in dev.relevant[query].items() if grade > 0 and d in dev.documents]


def _related(dev: DevSet) -> DevSet:
    """Pairs with scores as judgments: those that score high belong together."""
    if not dev.is_scored:
        return dev
    high = _high(dev.scores)
    relevant: dict[str, dict[str, int]] = {}
    for (query, document), score in zip(dev.pairs, dev.scores, strict=True):
        if score >= high:
            relevant.setdefault(query, {})[document] = 1
    return DevSet(dev.name, dev.queries, dev.documents, relevant)


def _sampled(sources: Sequence[DataSource]) -> DevSet:
    """The first examples of all sources, as a set to rank."""
    queries, documents = _TextNumbers(), _TextNumbers()
    relevant: dict[str, dict[str, int]] = {}
    for source in sources:
        examples = list(source.first(max(1, _EXAMPLES // len(sources))))
        scored = source.form == "scored"
        limit = _high([label for e in examples for label in e.labels]) if scored else 0.0
        for example in examples:
            query = str(queries.of(example.query))
            # Where a teacher's scores are the labels, the best document is the right one.
            least = limit if scored else max(example.labels)
            for text, label in zip(example.documents, example.labels, strict=True):
                number = str(documents.of(text))
                if label >= least:
                    relevant.setdefault(query, {})[number] = 1
    return DevSet("train", _named(queries.texts), _named(documents.texts), relevant)


def _named(texts: Iterable[str]) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(texts)}


def _high(scores: Sequence[float]) -> float:
    return min(scores) + _GOOD * (max(scores) - min(scores))


def _spread(count: int, wanted: int) -> list[int]:
    places: list[int] = np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist()
    return places


@dataclass(frozen=True, eq=False)
class EmbeddingMap:
    """Unit vectors of the tracked texts at these steps, one stage each.

    If `ended`, the last stage is the model that was kept, which may be that of an earlier step.
    """

    tracked: TrackedTexts
    steps: tuple[int, ...]
    queries: Float[np.ndarray, "stages queries dim"]
    documents: Float[np.ndarray, "stages documents dim"]
    ended: bool = False

    def curve(self) -> list[tuple[int, float, float]]:
        """Step, alignment and uniformity of each stage: the mean uniformity of the pairs' two sides."""
        pairs = np.array(self.tracked.pairs, dtype=np.int64).reshape(-1, 2)
        # A query with several documents, or the other way round, counts once.
        in_pairs, answers = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
        return [
            (
                step,
                alignment(queries[pairs[:, 0]], documents[pairs[:, 1]]),
                (uniformity(queries[in_pairs]) + uniformity(documents[answers])) / 2,
            )
            for step, queries, documents in zip(self.steps, self.queries, self.documents, strict=True)
        ]

    def cosines(self, stage: int) -> tuple[float, float]:
        """The anchors' mean cosines at a stage, to their positives and to their negatives."""
        queries, documents = self.queries[stage], self.documents[stage]
        near = [queries[a.query] @ documents[d] for a in self.tracked.anchors for d in a.positives]
        far = [queries[a.query] @ documents[d] for a in self.tracked.anchors for d in a.negatives]
        return float(np.mean(near)), float(np.mean(far)) if far else float("nan")


class MapRecorder:
    """Records the tracked texts' vectors in the file `path`; without tracked texts it does nothing.

    It draws no random number and leaves the model as it was.
    """

    def __init__(self, tracked: TrackedTexts | None, path: Path, *, precision: Precision = "float32") -> None:
        self._tracked, self._path, self._precision = tracked, path, precision
        self._map: EmbeddingMap | None = None

    def rewind(self, step: int) -> None:
        """Continue a resumed run's map: the stages up to this step stay."""
        before = read_map(self._path) or read_map(self._path.with_name(_OLD_MAP_FILE))
        if self._tracked is None or before is None or before.tracked != self._tracked:
            return
        count = len(before.steps) - before.ended
        kept = [at for at in range(count) if before.steps[at] <= step]
        steps = tuple(before.steps[at] for at in kept)
        self._map = EmbeddingMap(self._tracked, steps, before.queries[kept], before.documents[kept])

    def record(self, model: Model, step: int, *, of: int, weights: Mapping[str, Tensor]) -> None:
        """Record step 0, and `STAGES` steps spread over `of`; with these weights, if any."""
        if self._tracked is None or not is_recorded(step, of):
            return
        if step == 0:
            self._map = None
        if weights:
            with temporary_weights(model, dict(weights)):
                self._add(self._tracked, model, step)
        else:
            self._add(self._tracked, model, step)

    def record_final(self, model: Model, step: int) -> None:
        """Record the model that is kept, whose weights are those of `step`."""
        if self._tracked is not None:
            self._add(self._tracked, model, step, ended=True)

    def _add(self, tracked: TrackedTexts, model: Model, step: int, *, ended: bool = False) -> None:
        queries = unit_vectors(model, tracked.queries, "query", precision=self._precision)[None]
        documents = unit_vectors(model, tracked.documents, "document", precision=self._precision)[None]
        now = EmbeddingMap(tracked, (step,), queries, documents, ended)
        self._map = now if self._map is None else _joined(self._map, now)
        write_map(self._map, self._path)


def is_recorded(step: int, of: int) -> bool:
    """Whether this step is one of those that are recorded.

    >>> [step for step in range(101) if is_recorded(step, 100)]
    [0, 13, 25, 38, 50, 63, 75, 88, 100]
    """
    return step == 0 or step * STAGES // of > (step - 1) * STAGES // of


def unit_vectors(
    model: Embedder, texts: Sequence[str], role: Role, *, precision: Precision = "float32"
) -> Float[np.ndarray, "texts dim"]:
    """The texts' vectors in eval(), of unit length; of late interaction, the mean of each text's tokens."""
    module: Any = model
    was = module.training
    module.eval()
    try:
        found = _flat(embed_texts(model, texts, role, precision=precision))
    finally:
        module.train(was)
    return normalise(found.cpu().numpy().astype(np.float64), allow_zero=True).astype(np.float32)


def _flat(reps: Reps) -> Tensor:
    if reps.mask is None:
        return reps.values
    mask = reps.mask[..., None].to(reps.values.dtype)
    return (reps.values * mask).sum(1) / mask.sum(1).clamp(min=1)


def _joined(before: EmbeddingMap, now: EmbeddingMap) -> EmbeddingMap:
    """The stages of both, one after the other; a former end is replaced."""
    count = len(before.steps) - before.ended
    return replace(
        now,
        steps=(*before.steps[:count], *now.steps),
        queries=np.concatenate([before.queries[:count], now.queries]),
        documents=np.concatenate([before.documents[:count], now.documents]),
    )


def write_map(stages: EmbeddingMap, path: Path) -> None:
    """Write the map as one .npz file, whole or not at all."""
    about = {"tracked": to_plain(stages.tracked), "steps": stages.steps, "ended": stages.ended}
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, queries=stages.queries, documents=stages.documents, about=np.array(json.dumps(about)))


def read_map(path: Path) -> EmbeddingMap | None:
    """The map in a file; None where there is no such file, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as held:
            # gnomon 0.1 called these "told" and "followed".
            about = json.loads(str(held["about"] if "about" in held else held["told"]))
            queries, documents = held["queries"], held["documents"]
        tracked = from_plain(TrackedTexts, about.get("tracked") or about["followed"])
        return EmbeddingMap(tracked, tuple(about["steps"]), queries, documents, about["ended"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, InvalidInput):
        return None
