"""Tasks over pairs of texts: similarity against graded scores, and classification of related pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.tasks.report import TaskFigure, TaskReport, pair_cosines, require_two, with_interval
from gnomon.evaluate.tasks.rows import TEXTS, Row, number_of, read_rows, text_of
from gnomon.kernels.statistics import pearson, roc_auc, spearman

SCORED_FIELDS = {
    **TEXTS,
    "score": ("score", "similarity", "similarity_score", "gold", "relatedness", "human(mean)", "label"),
}


def measure_similarity(task: str, encoder: Encoder, path: Path, *, role: Role) -> TaskReport:
    """Spearman and Pearson of the pairs' cosines with their scores; pairs unknown to the model are left out."""
    rows = read_rows(path, SCORED_FIELDS)
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


UPPER_BOUND = "best accuracy (threshold from the same data: an upper bound)"

ScoredPairs = tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]


def pair_figures(measured: ScoredPairs, fitted: ScoredPairs | None) -> tuple[TaskFigure, ...]:
    """Average precision, ROC AUC and accuracy; without data to fit on, the best accuracy, named as such."""
    scores, positive = measured
    ranked = (
        with_interval("average precision", average_precision, scores, positive),
        with_interval("ROC AUC", _auc_of, scores, positive),
    )
    if fitted is None:
        cut = best_threshold(scores, positive)
        return (*ranked, TaskFigure(UPPER_BOUND, accuracy(scores >= cut, positive)))
    cut = best_threshold(*fitted)
    return (with_interval("accuracy", accuracy, scores >= cut, positive), *ranked, TaskFigure("threshold", cut))


def accuracy(guessed: Bool[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The share guessed right.

    >>> accuracy(np.array([True, True]), np.array([True, False]))
    0.5
    """
    return float((guessed == positive).mean())


def average_precision(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Precision at each distinct score, weighted by the recall gained there; NaN without a positive.

    Equal scores count together, so that no order among them is made up. Manning, Raghavan and Schütze 2008,
    Introduction to Information Retrieval, section 8.4.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])).__round__(4)
    0.8333
    """
    if not positive.any():
        return float("nan")
    true, taken = _cumulated(scores, positive)
    gained = np.diff(true, prepend=0) / true[-1]
    return float((gained * true / taken).sum())


def _auc_of(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    return roc_auc(scores[~positive], scores[positive])


def best_threshold(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """The score from which on "yes" is right most often, half-way to the next lower; of equals the lowest.

    >>> best_threshold(np.array([0.1, 0.4, 0.8]), np.array([False, True, True]))
    0.25
    """
    true, taken = _cumulated(scores, positive)
    right = np.concatenate([[0], 2 * true - taken])  # above the number right when all is "no"
    levels = np.unique(scores)[::-1]
    cut = len(right) - 1 - int(np.argmax(right[::-1]))
    if cut == 0:
        return float(np.nextafter(levels[0], np.inf))
    if cut == len(levels):
        return float(levels[-1])
    return float((levels[cut - 1] + levels[cut]) / 2)


def _cumulated(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """How many positives, and how many at all, score at least each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return np.cumsum(positive[order])[ends].astype(np.float64), (ends + 1).astype(np.float64)


LABELLED_FIELDS = {**TEXTS, "label": ("label", "is_duplicate", "duplicate", "gold_label", "target", "class")}
_YES = ("1", "true", "yes", "duplicate", "paraphrase", "positive", "entailment")


def measure_pairs(encoder: Encoder, path: Path, *, fit: Path | None, role: Role) -> TaskReport:
    """Average precision and AUC of cosines, and accuracy at the threshold that is best on `fit`."""
    scored, n, yes = _scored(encoder, path, role)
    fitted = None if fit is None else _scored(encoder, fit, role)[0]
    covered, positive = len(scored[0]), scored[1]
    notes = [f"positive is {yes!r}: {int(positive.sum())} of {covered} pairs"]
    if covered < n:
        notes.append(f"{n - covered} pairs unknown to the model left out")
    if fit is None:
        notes.append("no data to fit a threshold on: give --fit for an accuracy that means something")
    return TaskReport("pairs", encoder.space.name, pair_figures(scored, fitted), n, covered, tuple(notes))


def _scored(encoder: Encoder, path: Path, role: Role) -> tuple[ScoredPairs, int, str]:
    rows = read_rows(path, LABELLED_FIELDS)
    texts = [(text_of(row, "a"), text_of(row, "b")) for row in rows]
    positive, yes = positives(rows, path)
    near, known = pair_cosines(encoder, texts, role=role)
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
            expected=f"exactly one of {', '.join(_YES)} for positive pairs, and another label for the rest",
            hint="rename the labels, or give a file with both kinds of pairs",
        )
    return np.array([label == yes[0] for label in labels]), yes[0]


def _plain(label: object) -> str:
    if isinstance(label, bool):
        return str(int(label))
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip().casefold()
