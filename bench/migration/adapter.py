"""Queries of a new model on the vectors of the old one, and passages re-embedded one after another.

    python -m bench adapter --to MODEL [--only scifact,insuranceqa]

Needs the collections that bench/quality/quality.py keeps. Maps are fitted on passages of documents that are not
searched, and chosen with training queries; the judged ones report. Writes results/adapter.json,
docs/embedding-adapter.md and docs/images/adapter.png.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bench import pages
from bench.migration.adapter_page import draw
from bench.migration.adapter_sets import SETS, Material, material
from bench.record import write
from gnomon.core.contracts import Role
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.encode import EncoderSettings, load_encoder
from gnomon.evaluate.significance import mean_intervals
from gnomon.index.exact import ExactIndex
from gnomon.migrate.adapter.fit import AdapterSettings, EmbeddingAdapter, fit_adapter, is_good_enough
from gnomon.migrate.adapter.maps import MAP_KINDS, MapKind, VectorPairs
from gnomon.migrate.adapter.search import DualIndexSearch
from gnomon.migrate.query_log import most_searched_first
from gnomon.retrieve import Dense

SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
LOGGED, DEEP, PLACES = 3000, 40, 100
SHOWN: tuple[MapKind, ...] = ("rotation", "affine", "scores", "ranked", "residual")
Array = np.ndarray[Any, Any]


class Rows:
    """An encoder of texts that are row numbers of known vectors."""

    max_tokens, tokenizer_json = 0, None

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self.space = vectors, vectors.space

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Not needed to search."""
        return [0 for _ in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The known rows."""
        return self.vectors.take([int(text) for text in texts])


class Judged:
    """A set's test queries, asked of any retriever of passages, judged by document."""

    def __init__(self, given: Material) -> None:
        self.given, self.asked = given, [Query(str(row)) for row in range(len(given.names))]

    def ndcg(self, found: Sequence[Ranking]) -> Array:
        """nDCG@10 of each query."""
        return np.array([self._one(name, r) for name, r in zip(self.given.names, found, strict=True)])

    def _one(self, name: str, ranking: Ranking) -> float:
        grades = self.given.relevant[name]
        documents = list(dict.fromkeys(self.given.owners[ranking.ids].tolist()))[:10]
        ideal = sorted(grades.values(), reverse=True)[:10]
        gained = sum(grades.get(one, 0) / np.log2(at + 2) for at, one in enumerate(documents))
        return float(gained / sum(grade / np.log2(at + 2) for at, grade in enumerate(ideal)))


def index_of(vectors: Vectors, ids: Array) -> ExactIndex:
    """An exact index of these rows."""
    index = ExactIndex(vectors.space)
    index.add(ids, vectors.take(ids))
    return index


def ends(given: Material, judged: Judged) -> dict[str, Array]:
    """Each query's quality by the old model and by the new one."""
    every = np.arange(len(given.owners))
    sides = {"old": (given.queries.old, given.documents.old), "new": (given.queries.new, given.documents.new)}
    return {
        side: judged.ndcg(Dense(Rows(queries), index_of(documents, every))(judged.asked, k=DEEP))
        for side, (queries, documents) in sides.items()
    }


def ratio(left: Array, right: Array) -> dict[str, float]:
    """What share of the right one's mean the left one keeps, with a 95 % interval over the queries."""
    draws = np.random.default_rng(0).integers(0, len(left), (4000, len(left)))
    shares = left[draws].mean(1) / right[draws].mean(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return {"kept": float(left.mean() / right.mean()), "low": float(low), "high": float(high)}


def first_placed(given: Material, adapter: EmbeddingAdapter, index: ExactIndex) -> float:
    """How high an adapter puts the passage that the new model puts first: the mean reciprocal rank over the
    training queries, 0 below the first hundred.
    """
    new = index_of(given.documents.new, np.arange(len(given.owners)))
    true = [ranking.ids[0] for ranking in new.search(given.train.new, k=1)]
    found = adapter.search(index, given.train.new, k=PLACES)
    places = [np.flatnonzero(one.ids == first) for one, first in zip(found, true, strict=True)]
    return float(np.mean([1 / (1 + at[0]) if len(at) else 0.0 for at in places]))


def fitted_adapters(
    given: Material, judged: Judged, before: Mapping[str, Array]
) -> tuple[EmbeddingAdapter, dict[str, Any]]:
    """The adapter that is chosen; each kind of map by itself; and fewer pairs of passages."""
    old, new = given.pairs.old, given.pairs.new
    every = np.arange(len(old))
    index = index_of(given.documents.old, np.arange(len(given.owners)))
    queries = VectorPairs(given.train.old, given.train.new)

    def measured(pairs: Array, settings: AdapterSettings) -> tuple[EmbeddingAdapter, dict[str, Any]]:
        started = time.process_time()
        found = fit_adapter(old.take(pairs), new.take(pairs), queries=queries, settings=settings)
        seconds = time.process_time() - started
        scores = judged.ndcg(found.search(index, given.queries.new, k=DEEP))
        about = found.quality
        return found, {
            "kind": found.kind,
            "pairs": len(pairs),
            "recall": about.recall,
            "recall_interval": [about.low, about.high],
            "recall_of_old_model": about.old_model,
            "first": first_placed(given, found, index),
            "ndcg": float(scores.mean()),
            **ratio(scores, before["old"]),
            "cpu_s": round(seconds, 1),
        }

    free = AdapterSettings(min_recall=0, min_pairs=100)
    each = {kind: measured(every, replace(free, kinds=(kind,))) for kind in SHOWN}
    # What fit_adapter would choose of them: the halves of the queries that choose and measure are the same.
    kind = max(MAP_KINDS, key=lambda one: each[one][0].quality.tried[one])
    adapter, chosen = each[kind]
    if not is_good_enough(adapter.quality, AdapterSettings()):
        raise SystemExit(f"refused: {adapter.quality}")
    drawn = np.random.default_rng(1).permutation(len(old))
    sizes = [size for size in (500, 1000, 2000, 4000) if size < len(old)]
    best = replace(free, kinds=(kind,))
    fewer = [measured(np.sort(drawn[:size]), best)[1] for size in sizes]
    kinds = {name: about for name, (_, about) in each.items()}
    return adapter, {"chosen": chosen, "kinds": kinds, "fewer_pairs": fewer}


def traffic(queries: int, seed: int = 0) -> tuple[Array, Array]:
    """How often each query is asked (Zipf: one over its rank), and how often each is in a log of the past."""
    draws = np.random.default_rng(seed)
    often = 1 / (1 + draws.permutation(queries))
    often /= often.sum()
    return often, np.bincount(draws.choice(queries, LOGGED, p=often), minlength=queries)


def orders(given: Material, adapter: EmbeddingAdapter, logged: Array) -> dict[str, list[Array]]:
    """Documents in the order of re-embedding, as their passages: most-searched first, and at random."""
    old = index_of(given.documents.old, np.arange(len(given.owners)))
    found = adapter.search(old, given.queries.new, k=10)
    names, owner = np.unique(given.owners, return_inverse=True)
    counts = dict.fromkeys(range(len(names)), 0)
    for ranking, times in zip(found, logged.tolist(), strict=True):
        for document in set(owner[ranking.ids].tolist()):
            counts[document] += times
    parts = np.split(np.argsort(owner, kind="stable"), np.flatnonzero(np.diff(np.sort(owner))) + 1)
    documents = np.random.default_rng(2).permutation(len(names))
    hot = most_searched_first(counts, documents)
    return {"hot": [parts[one] for one in hot], "random": [parts[one] for one in documents]}


def curve(given: Material, judged: Judged, adapter: EmbeddingAdapter, *, order: Sequence[Array]) -> list[Array]:
    """Each query's quality with the first shares of the passages re-embedded."""
    old = index_of(given.documents.old, np.arange(len(given.owners)))
    line, upto = np.concatenate(order), np.cumsum([len(part) for part in order])
    found = []
    for share in SHARES:
        # Whole documents: as many as begin within the share.
        done = int(np.concatenate([[0], upto])[np.searchsorted(upto, share * len(line), side="left")])
        ids = np.sort(line[: len(line) if share == 1 else done])
        waiting = np.setdiff1d(np.arange(len(line)), ids)
        new = index_of(given.documents.new, ids)
        retriever = DualIndexSearch(Rows(given.queries.new), adapter, old, new, waiting)
        found.append(judged.ndcg(retriever(judged.asked, k=DEEP)))
    return found


def naive(given: Material, judged: Judged, order: Sequence[Array]) -> list[Array]:
    """The same with no adapter: the new model's query against whichever vector is there."""
    old, new = given.documents.old.data, given.documents.new
    line, found = np.concatenate(order), []
    for share in SHARES:
        rows = np.zeros_like(new.data)
        wide = min(old.shape[1], rows.shape[1])
        rows[:, :wide] = old[:, :wide]
        ids = line[: round(share * len(line))]
        rows[ids] = new.data[ids]
        mixed = index_of(Vectors(rows, new.space), np.arange(len(line)))
        found.append(judged.ndcg(Dense(Rows(given.queries.new), mixed)(judged.asked, k=DEEP)))
    return found


def figures_of(given: Material) -> dict[str, Any]:
    """All of a set."""
    judged = Judged(given)
    before = ends(given, judged)
    adapter, fitted = fitted_adapters(given, judged, before)
    often, logged = traffic(len(given.names))
    tenth = np.argsort(-often)[: len(often) // 10]
    order = orders(given, adapter, logged)
    curves = {name: curve(given, judged, adapter, order=order[name]) for name in ("hot", "random")}
    curves["naive"] = naive(given, judged, order["random"])
    at = SHARES.index(0.1)
    ten = {name: curves[name][at][tenth] - before["new"][tenth] for name in ("hot", "random")}
    return {
        "documents": len(set(given.owners.tolist())),
        "passages": len(given.owners),
        "queries": len(given.names),
        "training_queries": len(given.train.new),
        "old": float(before["old"].mean()),
        "new": float(before["new"].mean()),
        "old_asked": float(before["old"] @ often),
        "new_asked": float(before["new"] @ often),
        "bridge": fitted,
        "shares": SHARES,
        "asked": {name: [float(each @ often) for each in found] for name, found in curves.items()},
        "tenth": {
            "old": float(before["old"][tenth].mean()),
            "new": float(before["new"][tenth].mean()),
            **{name: [float(each[tenth].mean()) for each in found] for name, found in curves.items()},
            "less_than_new_after_a_tenth": {
                name: {"mean": float(gap.mean()), "interval": mean_intervals(gap[:, None], limits=(-1, 1))[0]}
                for name, gap in ten.items()
            },
        },
    }


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", default="gte-small")
    arguments.add_argument("--only", default=",".join(SETS))
    given = arguments.parse_args()
    encoder = load_encoder(given.to, settings=EncoderSettings(threads=1))
    sets: dict[str, Any] = {}
    for name in given.only.split(","):
        sets[name] = figures_of(material(name, encoder))
        record = {
            "from": "all-MiniLM-L6-v2",
            "to": encoder.space.name,
            "logged": LOGGED,
            "settings": asdict(AdapterSettings()),
            "sets": sets,
        }
        write("adapter", record)
        draw(sets, pages.DOCS / "images" / "adapter.png")
        pages.write("embedding-adapter")


if __name__ == "__main__":
    main()
