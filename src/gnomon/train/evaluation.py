"""Evaluating a model in training: its rankings, or its scores of pairs, on data it does not learn from.

A model that embeds ranks all documents; late interaction and cross-encoders, for which that costs too much,
rank the first that BM25 finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.evaluate.run import Relevant, Run
from gnomon.kernels.statistics import spearman
from gnomon.train.contracts import Embedder, Features, Model, PairScorer, Reps
from gnomon.train.data.source import DataSource, DataSourceSettings, open_source
from gnomon.train.grad_cache import Precision, autocast, split_into_pieces

RANKED = 100
"""Documents kept of each ranking, and those of BM25's that are ranked anew."""
_TOKENS = 8192
"""Tokens computed at once: without gradients, larger pieces than training's cost no more."""


@dataclass(frozen=True, eq=False)
class DevSet:
    """Documents to rank for queries, or pairs to score (then `scores` has one number for each pair).

    `pairs` are (query id, document id), in the order of `scores`.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    relevant: Relevant = field(default_factory=dict)
    pairs: tuple[tuple[str, str], ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def is_scored(self) -> bool:
        """Whether it is pairs with scores."""
        return bool(self.scores)

    def smaller(self, documents: int) -> DevSet:
        """The same queries with at most so many documents: all that are judged, and a spread of the others."""
        if self.is_scored or not documents or len(self.documents) <= documents:
            return self
        judged = {d for grades in self.relevant.values() for d in grades}
        kept = [d for d in self.documents if d in judged]
        others = [d for d in self.documents if d not in judged]
        # Spread over the corpus: neighbours in a file are often alike.
        room = max(0, documents - len(kept))
        spread = np.linspace(0, len(others) - 1, min(room, len(others))).astype(int).tolist()
        names = {*kept, *(others[at] for at in spread)}
        return replace(self, documents={d: t for d, t in self.documents.items() if d in names})


@dataclass(frozen=True)
class Sparsity:
    """How sparse a model's vectors are: means of the weights that are not zero, and what a search costs.

    `flops` are the products that a query and a document have on average: the sum over tokens of the share of queries
    times the share of documents that have a weight for it (Formal et al. 2021, arXiv:2109.10086, section 4).
    """

    query: float
    document: float
    flops: float

    @classmethod
    def of(cls, queries: SparseVectors, documents: SparseVectors) -> Sparsity:
        """That of these vectors."""
        shares = [np.bincount(v.indices, minlength=v.space.dim) / max(1, len(v)) for v in (queries, documents)]
        return cls(float(shares[0].sum()), float(shares[1].sum()), float(shares[0] @ shares[1]))


@dataclass(frozen=True, eq=False)
class SetEvaluation:
    """A model's figure on a set, with the run of its rankings, or its predicted scores of the pairs.

    `sparsity` is that of a sparse encoder's rankings.
    """

    name: str
    metric: str
    value: float
    run: Run | None = None
    predicted: tuple[float, ...] = ()
    sparsity: Sparsity | None = None


def open_dev_set(settings: DataSourceSettings, *, scratch: Path | None = None) -> DevSet:
    """Open a source as a set to evaluate on. Of a BEIR folder all documents are ranked, for the first `limit` queries.

    Raises InvalidInput as `open_source` does.
    """
    source = open_source(replace(settings, limit=None), scratch=scratch)
    if source.is_beir:
        return _beir(settings, source)
    examples = list(source if settings.limit is None else source.first(settings.limit))
    if source.form == "scored":
        pairs = [(f"q{n}", f"d{n}") for n in range(len(examples))]
        return DevSet(
            source.name,
            {q: e.query for (q, _), e in zip(pairs, examples, strict=True)},
            {d: e.documents[0] for (_, d), e in zip(pairs, examples, strict=True)},
            pairs=tuple(pairs),
            scores=tuple(e.labels[0] for e in examples),
        )
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    for example in examples:
        query = queries.setdefault(example.query, f"q{len(queries)}")
        for text, label in zip(example.documents, example.labels, strict=True):
            document = documents.setdefault(text, f"d{len(documents)}")
            if label > 0:
                relevant.setdefault(query, {})[document] = 1
    return DevSet(
        source.name,
        {name: text for text, name in queries.items()},
        {name: text for text, name in documents.items()},
        relevant,
    )


def _beir(settings: DataSourceSettings, source: DataSource) -> DevSet:
    from gnomon.evaluate import load_dataset
    from gnomon.train.data.beir import BeirExamples

    beir = source.examples
    if not isinstance(beir, BeirExamples):
        raise InvalidInput(f"{settings.path} is no BEIR folder", expected="corpus, queries and qrels")
    data = load_dataset(Path(settings.path).expanduser(), split=beir.split)
    # The ids of the first queries that have a right answer, in the order of the judgments.
    answered = [q for q, grades in data.relevant.items() if max(grades.values()) > 0][: settings.limit]
    return DevSet(
        source.name,
        {q: data.queries[q] for q in answered},
        {d: beir.corpus.text(d) for d in beir.corpus.ids},
        {q: dict(data.relevant[q]) for q in answered},
    )


def evaluate_set(model: Model, dev: DevSet, metric: str, *, precision: Precision = "float32") -> SetEvaluation:
    """Evaluate the model on a set, in eval(). It draws no random number and leaves the model as it was.

    `metric` is for what is ranked; pairs have Spearman's correlation. Raises InvalidInput for a metric that
    does not exist, and without ir-measures.
    """
    was = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if dev.is_scored:
                predicted = _pair_scores(model, dev, precision)
                value = spearman(np.asarray(predicted, float), np.asarray(dev.scores, float))
                return SetEvaluation(dev.name, "spearman", value, None, tuple(predicted))
            sparse = rank_sparse(model, dev, precision) if model.kind == "sparse" else None
            ranked = _ranked(model, dev, precision) if sparse is None else sparse[0]
    finally:
        model.train(was)
    run = Run.ranked(dev.name, ranked)
    value = mean_metric(run, dev.relevant, metric)
    return SetEvaluation(dev.name, metric, value, run, sparsity=None if sparse is None else sparse[1])


def mean_metric(run: Run, relevant: Relevant, metric: str) -> float:
    """The metric's mean over the judged queries."""
    from gnomon.evaluate import parse_metric, per_query

    parsed = parse_metric(metric)
    values = per_query(run, relevant, [parsed])[parsed]
    return float(np.mean(list(values.values())))


def _ranked(model: Model, dev: DevSet, precision: Precision) -> dict[str, list[tuple[str, float]]]:
    if isinstance(model, PairScorer):
        return _reranked_pairs(model, dev, precision)
    if model.kind == "late":
        return _reranked_late(model, dev, precision)
    names = list(dev.documents)
    documents = embed_texts(model, list(dev.documents.values()), "document", precision=precision)
    queries = embed_texts(model, list(dev.queries.values()), "query", precision=precision)
    ranked = {}
    block = max(1, (1 << 24) // max(1, len(names)))
    for at in range(0, len(queries), block):
        scores = model.score(Reps(queries.values[at : at + block]), documents)
        best = scores.topk(min(RANKED, len(names)), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        for query, (ids, values) in zip(list(dev.queries)[at : at + block], rows, strict=True):
            ranked[query] = [(names[i], v) for i, v in zip(ids, values, strict=True)]
    return ranked


def rank_sparse(
    model: Embedder, dev: DevSet, precision: Precision
) -> tuple[dict[str, list[tuple[str, float]]], Sparsity]:
    """Rankings by an inverted index, so that no more than a few whole vocabularies are held; and the sparsity."""
    from gnomon.index.sparse import SparseIndex

    names = list(dev.documents)
    documents = _sparse_vectors(model, list(dev.documents.values()), "document", precision=precision)
    queries = _sparse_vectors(model, list(dev.queries.values()), "query", precision=precision)
    index = SparseIndex(documents.space)
    index.add(np.arange(len(names)), documents)
    rankings = index.search(queries, k=RANKED)
    ranked = {
        query: [(names[i], float(s)) for i, s in zip(r.ids.tolist(), r.scores.tolist(), strict=True)]
        for query, r in zip(dev.queries, rankings, strict=True)
    }
    return ranked, Sparsity.of(queries, documents)


def _sparse_vectors(model: Embedder, texts: Sequence[str], role: Role, *, precision: Precision) -> SparseVectors:
    space = Space("0" * 64, int(getattr(model, "dim", 0)), "dot", "float", "in training")
    # Whole vocabularies of a few texts at a time.
    blocks = (embed_texts(model, block, role, precision=precision) for block in in_blocks(texts, 64))
    parts = [SparseVectors.from_dense(block.values.cpu().numpy(), space) for block in blocks]
    return SparseVectors.concatenate([SparseVectors.of([], space), *parts])


def embed_texts(model: Embedder, texts: Sequence[str], role: Role, *, precision: Precision) -> Reps:
    """All texts embedded, without gradients."""
    features = model.features(texts, role)
    pieces = split_into_pieces(features.lengths, items=None, tokens=_TOKENS)
    device = next(iter(model.parameters())).device
    with torch.inference_mode(), autocast(precision, device):
        parts = [model.embed(features.take(piece))[0] for piece in pieces]
    floats = [replace(part, values=part.values.float()) for part in parts]
    return Reps.joined(floats, [at for piece in pieces for at in piece])


def score_pairs(model: PairScorer, features: Features, precision: Precision) -> list[float]:
    """The scores of all pairs, without gradients."""
    pieces = split_into_pieces(features.lengths, items=None, tokens=_TOKENS)
    device = next(iter(model.parameters())).device
    found = [0.0] * len(features)
    with torch.inference_mode(), autocast(precision, device):
        for piece in pieces:
            scores = model.judge(features.take(piece)).float().tolist()
            for at, score in zip(piece, scores, strict=True):
                found[at] = score
    return found


def _pair_scores(model: Model, dev: DevSet, precision: Precision) -> list[float]:
    lefts = [dev.queries[q] for q, _ in dev.pairs]
    rights = [dev.documents[d] for _, d in dev.pairs]
    if isinstance(model, PairScorer):
        return score_pairs(model, model.pairs(lefts, rights), precision)
    found: list[float] = []
    for at in range(0, len(lefts), 256):
        left = embed_texts(model, lefts[at : at + 256], "query", precision=precision)
        right = embed_texts(model, rights[at : at + 256], "document", precision=precision)
        found += model.score(left, right).diagonal().tolist()
    return found


def bm25_candidates(dev: DevSet, k: int = RANKED) -> dict[str, list[str]]:
    """BM25's first `k` documents for each query."""
    import tempfile

    from gnomon.index.lexical import LexicalIndex, LexicalSettings

    names = list(dev.documents)
    with tempfile.TemporaryDirectory() as folder:
        index = LexicalIndex.create(Path(folder) / "words", LexicalSettings())
        index.add(np.arange(len(names)), [""] * len(names), list(dev.documents.values()))
        index.commit(1)
        rankings = index.search(list(dev.queries.values()), k=k)
        return {q: [names[i] for i in r.ids.tolist()] for q, r in zip(dev.queries, rankings, strict=True)}


def _reranked_pairs(model: PairScorer, dev: DevSet, precision: Precision) -> dict[str, list[tuple[str, float]]]:
    first = bm25_candidates(dev)
    pairs = [(q, d) for q, found in first.items() for d in found]
    features = model.pairs([dev.queries[q] for q, _ in pairs], [dev.documents[d] for _, d in pairs])
    ranked: dict[str, list[tuple[str, float]]] = {q: [] for q in dev.queries}
    for (query, document), score in zip(pairs, score_pairs(model, features, precision), strict=True):
        ranked[query].append((document, score))
    return {q: sorted(found, key=lambda one: -one[1]) for q, found in ranked.items()}


def _reranked_late(model: Embedder, dev: DevSet, precision: Precision) -> dict[str, list[tuple[str, float]]]:
    first = bm25_candidates(dev)
    wanted = list(dict.fromkeys(d for found in first.values() for d in found))
    place = {d: at for at, d in enumerate(wanted)}
    parts: dict[int, Reps] = {}
    for at in range(0, len(wanted), 512):  # padded together: memory stays within a block of documents
        block = embed_texts(model, [dev.documents[d] for d in wanted[at : at + 512]], "document", precision=precision)
        parts[at // 512] = replace(block, values=block.values.half())
    ranked = {}
    for query, found in first.items():
        own = embed_texts(model, [dev.queries[query]], "query", precision=precision)
        documents = _gathered(parts, [place[d] for d in found])
        scores = model.score(own, documents)[0].tolist() if found else []
        ranked[query] = sorted(zip(found, scores, strict=True), key=lambda one: -one[1])
    return ranked


def _gathered(parts: Mapping[int, Reps], places: Sequence[int]) -> Reps:
    rows = [(parts[at // 512], at % 512) for at in places]
    singles = [
        Reps(part.values[at : at + 1].float(), None if part.mask is None else part.mask[at : at + 1])
        for part, at in rows
    ]
    return Reps.joined(singles, range(len(singles)))
