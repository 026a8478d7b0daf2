"""How surely a sentence is said by its passages: the weights of a citation's support, and what they see.

    python -m bench support [--examples FILE]

Measures the weights that ship, which `tools/fit/support.py` fits, on sentences that are said by their passages and
on others that are not (bench/answers/support_sets.py), and cross-validates the fit in five parts by source text: each
is judged by weights that have not seen it. Writes results/support.json and docs/support.md; with --examples the
features that the fit takes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tools.fit.support import SupportExample, example_shares, fit

from bench import pages
from bench.answers.support_sets import Example, examples
from bench.quality.pseudo_sets import Once
from bench.record import write
from gnomon.answer.verification import verifier
from gnomon.answer.verification.claims import extract_claim, is_claim, strip_markers
from gnomon.answer.verification.spans import split_segments
from gnomon.answer.verification.verifier import FEATURES, MIN_SUPPORT, Verifier
from gnomon.encode import load_encoder

MODEL = "all-MiniLM-L6-v2"
FOLDS = 5
WRITTEN = "written from the passages"
Array = Any


@dataclass(frozen=True)
class Row:
    """An example, the features of its spans, and which of them a hard check refuses; else it is quoted."""

    example: Example
    table: Any
    refused: Any
    sure: float = 0.0


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--examples", type=Path, help="where to write what tools.fit.support takes")
    given = arguments.parse_args()
    rows = measured(examples())
    if given.examples is not None:
        plain = [asdict(one) | {"table": one.table.tolist(), "refused": one.refused.tolist()} for one in fitting(rows)]
        lines = [json.dumps(one) for one in plain]
        given.examples.write_text("\n".join(lines) + "\n")
    crossed = crossed_supports(rows)
    own = np.array([supported(row, verifier._WEIGHTS, verifier._BIAS) for row in rows])
    precision, recall = balanced(rows, own, MIN_SUPPORT)
    figures = {
        "model": MODEL,
        "weights": dict(zip(FEATURES, verifier._WEIGHTS.tolist(), strict=True)) | {"bias": verifier._BIAS},
        "least": MIN_SUPPORT,
        "precision": round(precision, 4),
        "precision_crossed": round(balanced(rows, crossed, MIN_SUPPORT)[0], 4),
        "recall": round(recall, 4),
        "kinds": kinds(rows, own),
        "thresholds": thresholds(rows, own, crossed),
    }
    write("support", figures)
    pages.write("support")


def measured(every: Sequence[Example]) -> list[Row]:
    """Each example's features."""
    encoder = Once(load_encoder(MODEL))
    texts = {p.text[a:b] for one in every for p in one.passages for a, b in split_segments(p.text)}
    encoder.encode(sorted(texts | {strip_markers(one.text) for one in every}, key=len), role="document")
    verifiers: dict[tuple[str, ...], Verifier] = {}
    rows: list[Row] = []
    for one in every:
        key = tuple(passage.text for passage in one.passages)
        verifier = verifiers.setdefault(key, Verifier(one.passages, encoder))
        own = strip_markers(one.text)
        if not is_claim(own, verifier.spans.words):
            rows.append(Row(one, None, None))
        elif verifier._verbatim(own):
            rows.append(Row(one, None, None, 1.0))
        else:
            looked_at, table = verifier.features(own)
            looked_up = extract_claim(own, verifier.spans.words)
            refused = np.array([verifier.lacks_facts(looked_up, at) for at in looked_at])
            rows.append(Row(one, table, refused))
    return rows


def supported(row: Row, weights: Array, bias: float) -> float:
    """The best support of any span, as the verifier computes it."""
    if row.table is None:
        return row.sure
    values = 1 / (1 + np.exp(-(row.table @ weights + bias)))
    return float(np.where(row.refused, np.minimum(values, verifier.MAX_UNMATCHED_SUPPORT), values).max())


def fitting(rows: Sequence[Row]) -> list[SupportExample]:
    """The examples that decide by their features, as the fit takes them."""
    return [
        SupportExample(row.table, row.refused, row.example.supported, row.example.source, row.example.kind)
        for row in rows
        if row.table is not None
    ]


def share_of(rows: Sequence[Row]) -> Array:
    """How much each row counts."""
    return example_shares([(row.example.supported, row.example.source, row.example.kind) for row in rows])


def crossed_supports(rows: Sequence[Row]) -> Array:
    """The support of each example by weights that were fitted without its passages."""
    fold = [hash_of(row.example.passages[0].text if row.example.passages else "") % FOLDS for row in rows]
    found = np.zeros(len(rows))
    for part in range(FOLDS):
        weights, bias = fit(fitting([row for row, at in zip(rows, fold, strict=True) if at != part]))
        for at, row in enumerate(rows):
            if fold[at] == part:
                found[at] = supported(row, weights, bias)
    return found


def hash_of(text: str) -> int:
    return sum(text[:200].encode("utf-8"))


def balanced(rows: Sequence[Row], supports: Array, least: float) -> tuple[float, float]:
    """Precision and recall where every kind counts alike."""
    shares, said = share_of(rows), np.array([row.example.supported for row in rows])
    accepted = supports >= least
    return (
        float(shares[accepted & said].sum() / max(shares[accepted].sum(), 1e-12)),
        float(shares[accepted & said].sum() / shares[said].sum()),
    )


def thresholds(rows: Sequence[Row], own: Array, crossed: Array) -> list[dict[str, float]]:
    """What other thresholds would give, and how many sentences of real answers they would accept."""
    written = np.array([row.example.kind == WRITTEN for row in rows])
    return [
        {
            "least": round(float(least), 2),
            "precision": round(balanced(rows, own, least)[0], 4),
            "precision_crossed": round(balanced(rows, crossed, least)[0], 4),
            "recall": round(balanced(rows, own, least)[1], 4),
            "written": round(float((own[written] >= least).mean()), 4),
        }
        for least in (0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.78, 0.8, 0.85)
    ]


def kinds(rows: Sequence[Row], supports: Array) -> list[dict[str, Any]]:
    """The share accepted of each kind."""
    found: dict[tuple[str, str, bool], list[bool]] = {}
    for row, value in zip(rows, supports, strict=True):
        key = (row.example.source, row.example.kind, row.example.supported)
        found.setdefault(key, []).append(bool(value >= MIN_SUPPORT))
    return [
        {
            "source": key[0],
            "kind": key[1],
            "said": key[2],
            "n": len(own),
            "accepted": round(float(np.mean(own)), 4),
        }
        for key, own in sorted(found.items(), key=lambda item: (not item[0][2], item[0]))
    ]


if __name__ == "__main__":
    main()
