"""Fits the weights of a citation's support.

    python -m tools.fit.support WORK/support.jsonl

The input is what `python -m bench support --examples FILE` writes: a JSON object a line for each example, with
"table" (the features of its candidate spans), "refused" (which of these a hard check refuses), "supported" (whether
the passages say the sentence), "source" and "kind". Writes src/gnomon/answer/support.json; the threshold stays.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.answer.fitted import FittedModel, load_fitted
from gnomon.answer.verification.verifier import FEATURES
from tools.fit import ANSWER, write_fitted

ROUNDS, RIDGE = 4, 1e-3


@dataclass(frozen=True)
class SupportExample:
    """A sentence's candidate spans, a row of features each, which of them are refused, and the right verdict."""

    table: Any
    refused: Any
    supported: bool
    source: str
    kind: str


def main(path: Path, into: Path = ANSWER / "support.json") -> None:
    """Fits to the file's examples and writes the model."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    examples = [
        SupportExample(np.array(row["table"]), np.array(row["refused"], dtype=bool), *_labels(row)) for row in rows
    ]
    weights, bias = fit(examples)
    rounded = dict(zip(FEATURES, weights.round(2).tolist(), strict=True))
    model = FittedModel(rounded, round(bias, 2), load_fitted("support").threshold)
    write_fitted(into, model, [path], counts=Counter(example.source for example in examples))


def _labels(row: dict[str, Any]) -> tuple[bool, str, str]:
    return row["supported"], row["source"], row["kind"]


def fit(examples: Sequence[SupportExample]) -> tuple[Any, float]:
    """Weights of a logistic regression on the best span of each example, which the weights choose again.

    Every kind of example counts alike, and those that are supported as much as those that are not. Examples with
    no span that a hard check lets through decide nothing.
    """
    from scipy.optimize import minimize

    used = [example for example in examples if not example.refused.all()]
    labels = np.array([example.supported for example in used], dtype=float)
    shares = example_shares([(one.supported, one.source, one.kind) for one in used])
    shipped = load_fitted("support")
    weights, bias = np.array([shipped.weights[name] for name in FEATURES]), shipped.bias
    for _ in range(ROUNDS):
        best = [np.where(one.refused, -np.inf, one.table @ weights).argmax() for one in used]
        table = np.stack([one.table[at] for one, at in zip(used, best, strict=True)])

        def loss(x: Any, table: Any = table) -> tuple[float, Any]:
            z = table @ x[:-1] + x[-1]
            p = 1 / (1 + np.exp(-z))
            value = float(shares @ (np.logaddexp(0, z) - labels * z)) + RIDGE * float(x[:-1] @ x[:-1])
            slope = np.append((shares * (p - labels)) @ table, (shares * (p - labels)).sum())
            return value, slope + 2 * RIDGE * np.append(x[:-1], 0)

        x = minimize(loss, np.append(weights, bias), jac=True, method="L-BFGS-B").x
        weights, bias = x[:-1], float(x[-1])
    return weights, bias


def example_shares(labels: Sequence[tuple[bool, str, str]]) -> Any:
    """How much each example counts, by whether it is supported, its source and its kind."""
    counts = Counter(labels)
    sides = Counter(label[0] for label in counts)
    return np.array([0.5 / sides[label[0]] / counts[label] for label in labels])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
