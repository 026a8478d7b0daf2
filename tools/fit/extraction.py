"""Fits the weights by which the sentences of an extractive answer are chosen.

    python -m tools.fit.extraction WORK/extraction.jsonl

The input is what `python -m bench fit_sets` writes: a JSON object a line for each question, with "table" (the features
of everything that could be quoted), "right" (which of it is a right answer) and "source". Writes
src/gnomon/answer/extraction.json; the margin stays.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.answer.extractive import FEATURES
from gnomon.answer.fitted import FittedModel
from tools.fit import ANSWER, write_fitted

PENALTY = 0.4
MARGIN = 0.8
PRIOR = {
    "similarity": 6.0, "words": 7.4, "heading": 2.0, "adjacent": 0.4, "rank": 2.9, "score": 2.0, "first": 0.15,
    "log length": 0.8, "short": -0.2, "reference": -3.0, "dependent": -0.7, "code": 0.5, "wanted": 0.5,
}  # fmt: skip
"""What the weights are drawn to: few questions are at hand."""
LIMITS = {"reference": -3.0, "dependent": -0.7}
"""The most that a weight may be: what points elsewhere, or leans on the sentence before, does not stand by itself."""


def main(path: Path, into: Path = ANSWER / "extraction.json") -> None:
    """Fits to the file's questions and writes the model."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    weights = fit(rows)
    model = FittedModel(dict(zip(FEATURES, weights.round(3).tolist(), strict=True)), 0.0, MARGIN)
    write_fitted(into, model, [path], counts=Counter(row["source"] for row in rows))


def fit(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Weights of the greatest likelihood that a right sentence is chosen, in a softmax over each question's sentences.

    Every source counts alike. Each weight is drawn to its prior on the scale of its feature. Questions without a right
    sentence decide nothing.
    """
    from scipy.optimize import minimize

    used = [(np.array(row["table"]), np.array(row["right"], dtype=bool), row["source"]) for row in rows]
    scale = np.concatenate([table for table, _, _ in used]).std(axis=0) + 1e-6
    used = [one for one in used if one[1].any() and not one[1].all()]
    counts = Counter(source for _, _, source in used)
    prior = np.array([PRIOR.get(name, 0.0) for name in FEATURES])

    def loss(weights: Any) -> tuple[float, Any]:
        pull = (weights - prior) * scale
        value, slope = PENALTY * float(pull @ pull), 2 * PENALTY * pull * scale
        for table, right, source in used:
            scores = table @ weights
            odds = np.exp(scores - scores.max())
            chosen = odds / odds.sum()
            share = max(float(chosen[right].sum()), 1e-12)
            value -= np.log(share) / counts[source]
            slope += table.T @ (chosen - np.where(right, chosen, 0.0) / share) / counts[source]
        return value, slope

    bounds = [(None, LIMITS.get(name)) for name in FEATURES]
    return minimize(loss, np.minimum(prior, [high or np.inf for _, high in bounds]), jac=True, bounds=bounds).x


if __name__ == "__main__":
    main(Path(sys.argv[1]))
