"""How many of the true neighbours codes find, measured on the index's own rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from gnomon.core.ranking import Ranking
from gnomon.core.space import Similarity
from gnomon.index.coded import CodedRows, needed, search_coded
from gnomon.index.codes import Codes
from gnomon.index.nearest import search_rows
from gnomon.index.rows import Rows
from gnomon.index.scan_settings import ScanSettings

_NEAREST = 10


def wide_enough(
    rows: Rows, codes: Codes, similarity: Similarity, settings: ScanSettings, *, most: int | None = None
) -> tuple[Codes, float]:
    """The codes at the least width that finds the wanted share, or at the widest, and the share they find.

    `most` bounds the widths that are tried.
    """
    queries = _questions(rows, settings.sample)
    truth = search_rows(queries, rows, _NEAREST, similarity, None)
    recall = 0.0
    for step in codes.finder.steps:
        if most is not None and step > most:
            break
        codes = replace(codes, widened=step, checked=len(rows.ids))
        need = needed(settings, codes, _NEAREST)
        found = search_coded(queries, CodedRows(rows, codes, None), _NEAREST, need, similarity)
        recall = _share(found, truth)
        if recall >= settings.wanted_recall:
            break
    return codes, recall


def _questions(rows: Rows, count: int) -> Float[np.ndarray, "count dim"]:
    # The index's own rows, each moved about as far again as it lies from the mean: as near to it as a
    # question is to its answer.
    rng = np.random.default_rng(len(rows.ids))
    own = rows.take(rng.integers(0, len(rows.ids), count))
    away = np.linalg.norm(own - own.mean(axis=0), axis=1, keepdims=True)
    noise = rng.standard_normal(own.shape).astype(np.float32)
    # float32 throughout: queries in float64 would have all rows copied to it.
    return np.asarray(own + noise * (away / np.float32(np.sqrt(own.shape[1]))))


def _share(found: list[Ranking], truth: list[Ranking]) -> float:
    # Scores are comparable bit for bit, so a tie counts as found.
    hits = sum(int((f.scores >= t.scores[-1]).sum()) for f, t in zip(found, truth, strict=True) if len(t))
    return hits / max(1, sum(len(t) for t in truth))
