"""Matryoshka prefixes: searching d dimensions alone, and searching them to rescore with all."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.quality.stages_sets import Asked, Corpus, Known, milliseconds
from gnomon.core.contracts import Index, Retriever
from gnomon.core.ranking import Query
from gnomon.evaluate.metrics import parse_metric
from gnomon.index.exact import ExactIndex
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.retrieve import Dense, PrefixDense

DIMENSIONS = (384, 256, 192, 128, 64)
DEPTH = 100


def prefix_figures(corpus: Corpus, asked: Asked) -> dict[str, Any]:
    """By dimensions: recall@10 of the chunks that all dimensions find, nDCG@10, time and bytes of a scan."""
    ids, vectors = corpus.vectors()
    full = ExactIndex(vectors.space)
    full.add(ids, vectors)
    whole = Dense(asked.encoder, full)
    truth = found(whole, asked)
    rows = []
    for dim in DIMENSIONS:
        short = vectors.truncate(dim)
        prefix: Index = full
        if dim < vectors.space.dim:
            prefix = ExactIndex(short.space)
            prefix.add(ids, short)
        alone = Dense(truncated(asked, dim), prefix)
        both = PrefixDense(asked.encoder, prefix, full, depth=DEPTH)
        rows.append(
            {
                "dim": dim,
                "bytes": 4 * dim,
                "one_stage": measured(corpus, alone, asked, truth=truth),
                "two_stage": measured(corpus, both, asked, truth=truth),
            }
        )
    codes = ScanIndex(vectors.space, ScanSettings(exact_below=0))
    codes.add(ids, vectors)
    scan = measured(corpus, Dense(asked.encoder, codes), asked, truth=truth)
    counts = {"vectors": len(ids), "queries": len(asked.queries), "depth": DEPTH}
    return {**counts, "rows": rows, "scan_codes": scan}


def truncated(asked: Asked, dim: int) -> Known:
    """An encoder of the queries' prefixes."""
    texts = list(dict.fromkeys(asked.queries.values()))
    short = asked.encoder.encode(texts, role="query").truncate(dim)
    return Known(short.space, dict(zip(texts, short.data, strict=True)))


def found(retriever: Retriever, asked: Asked) -> list[Any]:
    return [ranking.ids for ranking in retriever([Query(text) for text in asked.queries.values()], k=10)]


def measured(corpus: Corpus, retriever: Retriever, asked: Asked, *, truth: list[Any]) -> dict[str, float]:
    """One retriever's recall of the true ten chunks, its nDCG@10 by document, and one query's time."""
    own = found(retriever, asked)
    shared = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(own, truth, strict=True)]
    run = corpus.run("prefix", retriever, asked, depth=DEPTH)
    values = parse_metric("nDCG@10").per_query(run, asked.relevant)
    return {
        "recall": round(float(np.mean(shared)), 4),
        "ndcg": round(float(np.mean(list(values.values()))), 4),
        "ms": milliseconds(retriever, asked),
    }
