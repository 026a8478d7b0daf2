"""Rows to distil a hybrid search into a cross-encoder: a question, five documents, a teacher's scores."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.encode import load_encoder
from gnomon.kernels.similarity import maxsim
from gnomon.train.data.source import SourceSettings
from gnomon.train.dev import DevSet, first_by_words, open_dev

NEAR, FAR = 2, 2
"""Wrong documents a row: of BM25's first 15, and of its others up to 100."""
RIGHT = 0.3
"""What being right adds to a score of 0 to 1."""


def taught(source: dict[str, Any], late: Path, rows: Path, *, draws: int) -> None:
    """Write `draws` rows a question: BM25 and late interaction, each brought to 0 to 1, and their mean."""
    dev = open_dev(SourceSettings(**source))
    first = first_by_words(dev)
    nearness = similarities(dev, first, late)
    drawn = random.Random(0)
    with rows.open("w") as file:
        for _ in range(draws):
            for query, names in first.items():
                right = sorted(dev.relevant[query])
                wrong = [name for name in names if name not in dev.relevant[query]]
                if len(wrong) < 15 + FAR:
                    continue
                near, far = drawn.sample(wrong[:15], NEAR), drawn.sample(wrong[15:], FAR)
                some = [drawn.choice(right), *near, *far]
                scores = scored(names, nearness[query], some)
                scores[0] += RIGHT
                texts = [dev.documents[name] for name in some]
                row = {"query": dev.queries[query], "positives": texts, "scores": scores}
                file.write(json.dumps(row) + "\n")


def similarities(dev: DevSet, first: dict[str, list[str]], late: Path) -> dict[str, dict[str, float]]:
    """MaxSim of each question with BM25's documents and with the right ones."""
    encoder = load_encoder(late)
    wanted = {q: sorted({*names, *dev.relevant[q]}) for q, names in first.items()}
    all_names = sorted({name for names in wanted.values() for name in names})
    at = {name: row for row, name in enumerate(all_names)}
    documents = encoder.encode([dev.documents[name] for name in all_names], role="document")
    queries = encoder.encode(list(dev.queries.values()), role="query")
    found = {}
    for row, (query, names) in enumerate(wanted.items()):
        own, of = queries.take([row]), documents.take([at[name] for name in names])
        starts = of.starts if of.starts is not None else np.arange(len(of.data))
        found[query] = dict(zip(names, maxsim(own.data, of.data, starts).tolist(), strict=True))
    return found


def scored(names: list[str], nearness: dict[str, float], some: list[str]) -> list[float]:
    """The hybrid's scores of some documents; BM25 counts by rank, as 1 to 0 over the first hundred."""
    of_words = {name: 1 - place / len(names) for place, name in enumerate(names)}
    found = np.array([nearness[name] for name in names])
    low, high = float(found.min()), float(found.max())
    near = {name: (nearness[name] - low) / max(high - low, 1e-9) for name in some}
    return [round(0.3 * of_words.get(name, 0.0) + 0.7 * near[name], 4) for name in some]
