"""Pair classification: are two texts of the wanted kind (paraphrase, duplicate, entailment) or not?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.tasks.decide import Scored, figures
from gnomon.evaluate.tasks.report import TaskReport
from gnomon.evaluate.tasks.rows import TEXTS, Row, read_rows, text_of
from gnomon.evaluate.tasks.vectors import cosines, require_two

FIELDS = {**TEXTS, "label": ("label", "is_duplicate", "duplicate", "gold_label", "target", "class")}
_YES = ("1", "true", "yes", "duplicate", "paraphrase", "positive", "entailment")


def pairs(encoder: Encoder, path: Path, *, fit: Path | None, role: Role) -> TaskReport:
    """Average precision and AUC of cosines, and accuracy at the threshold that is best on `fit`."""
    scored, n, yes = _scored(encoder, path, role)
    fitted = None if fit is None else _scored(encoder, fit, role)[0]
    covered, positive = len(scored[0]), scored[1]
    notes = [f"positive is {yes!r}: {int(positive.sum())} of {covered} pairs"]
    if covered < n:
        notes.append(f"{n - covered} pairs unknown to the model left out")
    if fit is None:
        notes.append("no data to fit a threshold on: give --fit for an accuracy that means something")
    return TaskReport("pairs", encoder.space.name, figures(scored, fitted), n, covered, tuple(notes))


def _scored(encoder: Encoder, path: Path, role: Role) -> tuple[Scored, int, str]:
    rows = read_rows(path, FIELDS)
    texts = [(text_of(row, "a"), text_of(row, "b")) for row in rows]
    positive, yes = positives(rows, path)
    near, known = cosines(encoder, texts, role=role)
    require_two(int(known.sum()), len(rows), encoder.space.name)
    return (near[known], positive[known]), len(rows), yes


def positives(rows: Sequence[Row], path: Path) -> tuple[Bool[np.ndarray, " rows"], str]:
    """Which rows are positive, and by which label. Raises InvalidInput where that cannot be told."""
    labels = [_plain(row[1]["label"]) for row in rows]
    there = sorted(set(labels))
    yes = [label for label in _YES if label in there]
    if len(yes) != 1 or len(there) < 2:
        raise InvalidInput(
            f"{path}: the labels {', '.join(there[:8])}",
            wanted=f"exactly one of {', '.join(_YES)} for positive pairs, and another label for the rest",
            next_step="rename the labels, or give a file with both kinds of pairs",
        )
    return np.array([label == yes[0] for label in labels]), yes[0]


def _plain(label: object) -> str:
    if isinstance(label, bool):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip().casefold()
