"""Similarity of words or sentences: correlation of cosines with people's scores.

STS (Cer et al. 2017, arXiv:1708.00055), SimLex-999 (Hill, Reichart and Korhonen 2015), WordSim-353 (Finkelstein
et al. 2002).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.tasks.report import TaskReport, pair_cosines, require_two, with_interval
from gnomon.evaluate.tasks.rows import TEXTS, number_of, read_rows, text_of
from gnomon.kernels.statistics import pearson, spearman

FIELDS = {
    **TEXTS,
    "score": ("score", "similarity", "similarity_score", "gold", "relatedness", "human(mean)", "label"),
}


def measure_similarity(task: str, encoder: Encoder, path: Path, *, role: Role) -> TaskReport:
    """Spearman and Pearson of the pairs' cosines with their scores; pairs unknown to the model are left out."""
    rows = read_rows(path, FIELDS)
    pairs = [(text_of(row, "a"), text_of(row, "b")) for row in rows]
    scores = np.array([number_of(row, "score") for row in rows])
    near, known = pair_cosines(encoder, pairs, role=role)
    covered = int(known.sum())
    require_two(covered, len(rows), encoder.space.name)
    near, scores = near[known], scores[known]
    if len(set(scores.tolist())) == 1:
        raise InvalidInput(
            f"{path}: every score is {scores[0]:g}",
            expected="scores that differ",
            hint="give the right column",
        )
    figures = (
        with_interval("Spearman", spearman, near, scores),
        with_interval("Pearson", pearson, near, scores),
    )
    left_out = (f"{len(rows) - covered} pairs with words unknown to the model left out",)
    return TaskReport(task, encoder.space.name, figures, len(rows), covered, left_out if covered < len(rows) else ())
