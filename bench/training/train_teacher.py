"""Rows to distil a search into a cross-encoder: a question, five documents, and what a teacher says of them.

The teacher is the bi-encoder, late interaction and, half as much, BM25's ranks, over BM25's first 100 and the
right documents; each in standard deviations from its mean over these. Being right is worth 1 more.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gnomon.core.similarity import maxsim
from gnomon.encode import load_encoder
from gnomon.train.data.source import DataSourceSettings
from gnomon.train.evaluation import DevSet, bm25_candidates, open_dev_set

NEAR, FAR = 2, 2
"""Wrong documents a row: of the teacher's first 15 of BM25's, and of the others."""
NEAREST = 15
RIGHT, WORDS = 1.0, 0.5
Scores = Float[np.ndarray, " documents"]


@dataclass(frozen=True)
class Asked:
    """A source, how many of its questions count with their answers, and the rows drawn of each.

    Of questions beyond `labelled` the answers are not looked at: the teacher's first stands for them.
    """

    source: Mapping[str, Any]
    labelled: int | None = None
    draws: int = 1
    unlabelled: int = 0


def taught(sets: Sequence[Asked], folder: Path) -> list[dict[str, Any]]:
    """Sources of rows, written to `folder`, where the bi-encoder and late interaction lie too; once."""
    drawn = random.Random(0)
    paths = [folder / f"{one.source['name']}-taught.jsonl" for one in sets]
    if not all(path.is_file() for path in paths):
        for one, path in zip(sets, paths, strict=True):
            rows = _rows(one, folder, drawn)
            drawn.shuffle(rows)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [{"path": str(p), "name": one.source["name"]} for p, one in zip(paths, sets, strict=True)]


def _rows(one: Asked, folder: Path, drawn: random.Random) -> list[dict[str, Any]]:
    dev = open_dev_set(DataSourceSettings(**one.source))
    first = bm25_candidates(dev)
    wanted = {query: sorted({*names, *dev.relevant[query]}) for query, names in first.items()}
    models = [_nearness(dev, wanted, folder / "bi"), _nearness(dev, wanted, folder / "late")]
    labelled = len(wanted) if one.labelled is None else one.labelled
    rows = []
    for number, (query, names) in enumerate(wanted.items()):
        if len(first[query]) < NEAREST + 10:
            continue
        words = _by_words(names, first[query])
        total = (sum(_spread(model[query]) for model in models) + WORDS * _spread(words)) / (2 + WORDS)
        scores = dict(zip(names, total.tolist(), strict=True))
        right = sorted(dev.relevant[query]) if number < labelled else []
        for _ in range(one.draws if right else one.unlabelled):
            some = _some(first[query], right, scores, drawn=drawn)
            values = [scores[name] for name in some]
            if right:
                values[0] += RIGHT
            texts = [dev.documents[name] for name in some]
            row = {"query": dev.queries[query], "positives": texts}
            rows.append({**row, "scores": [round(value, 4) for value in values]})
    return rows


def _some(
    first: Sequence[str], right: Sequence[str], scores: Mapping[str, float], *, drawn: random.Random
) -> list[str]:
    order = [name for name in sorted(first, key=lambda name: -scores[name]) if name not in right]
    near, far = order[:NEAREST], order[NEAREST:]
    best = drawn.choice(right) if right else near.pop(0)
    return [best, *drawn.sample(near, NEAR), *drawn.sample(far, FAR)]


def _nearness(dev: DevSet, wanted: Mapping[str, Sequence[str]], model: Path) -> dict[str, Scores]:
    """A model's scores of each question's documents."""
    encoder = load_encoder(model)
    names = sorted({name for own in wanted.values() for name in own})
    at = {name: row for row, name in enumerate(names)}
    documents = encoder.encode([dev.documents[name] for name in names], role="document")
    queries = encoder.encode(list(dev.queries.values()), role="query")
    rows = {query: row for row, query in enumerate(dev.queries)}
    found = {}
    for query, own in wanted.items():
        asked, of = queries.take([rows[query]]), documents.take([at[name] for name in own])
        if encoder.space.similarity == "maxsim":
            starts = of.starts if of.starts is not None else np.arange(len(of.data))
            found[query] = np.asarray(maxsim(asked.data, of.data, starts))
        else:
            found[query] = np.asarray(of.data @ asked.data[0])
    return found


def _by_words(names: Sequence[str], first: Sequence[str]) -> Scores:
    places = {name: place for place, name in enumerate(first)}
    return np.array([-places.get(name, len(first)) for name in names], dtype=np.float64)


def _spread(scores: Scores) -> Scores:
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-6))
