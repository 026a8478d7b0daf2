"""How documents are cut, and what is done with their titles: other ways against the default.

    python -m bench chunking [--folder WORK]

Tried on development sets; on the test set only what these leave standing is looked at. Vectors are kept in
the work folder, so that a second run encodes nothing. Writes results/chunking.json and docs/chunking.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.quality.chunking_page import passing
from bench.quality.chunking_sets import DEVELOPMENT, TEST, WHOLE, Judged, judged
from bench.quality.chunking_ways import Known, Way, runs
from bench.record import write
from gnomon.collection.settings import RetrievalSettings
from gnomon.encode import EncoderSettings, load_encoder
from gnomon.evaluate import Run, compare, parse_metric, per_query

MARGIN = 0.005
"""What a new default may lose on any development set."""
METRICS = ("nDCG@10", "success@10")
MODES = {mode: (mode, RetrievalSettings()) for mode in ("hybrid", "dense", "lexical")}
DEFAULT = "default"
WAYS = {
    "no title before the text": Way(shared=0),
    "titles of at most 3 before the text": Way(shared=3),
    "titles of at most 10 before the text": Way(shared=10),
    "title once among the words": Way(weight=1),
    "no title among the words": Way(weight=0),
    "no title at all": Way(shared=0, weight=0),
    "even chunks": Way(even=True),
    "128 tokens": Way(tokens=128),
}


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    given = arguments.parse_args()
    write("chunking", measured(given.folder))
    pages.write("chunking")


def measured(folder: Path) -> dict[str, Any]:
    """All ways on all sets."""
    encoder = load_encoder("all-MiniLM-L6-v2", settings=EncoderSettings(threads=1))
    known = Known(encoder, folder / "chunking.npz")
    figures: dict[str, Any] = {"margin": MARGIN, "development": {}, "test": {}}
    for name in DEVELOPMENT:
        figures["development"][name] = figures_of(judged(name), known, tuple(WAYS))
    for name in TEST:
        figures["test"][name] = figures_of(judged(name), known, passing(figures))
    return figures


def figures_of(data: Judged, known: Known, names: Sequence[str]) -> dict[str, Any]:
    """The default's figures and each way's, with paired differences in a hybrid search."""
    before = runs(data, Way(), known, modes=MODES)
    ways: dict[str, Any] = {}
    seen: dict[tuple[int, ...], Any] = {}
    for name in names:
        way = WAYS[name]
        is_cut = way == Way(tokens=way.tokens, even=way.even)
        if data.name not in WHOLE if is_cut else any(data.titles):
            # Ways that use the same titles of this set are one.
            alike = (way.weight, way.tokens, way.even, *(n <= way.shared for n in data.titles.values()))
            if alike not in seen:
                after = runs(data, way, known, modes=MODES)
                known.save()
                seen[alike] = {
                    "means": means(after, data),
                    **{metric: paired(before["hybrid"], after["hybrid"], data, metric=metric) for metric in METRICS},
                }
            ways[name] = seen[alike]
    return {
        "documents": len(data.documents),
        "titles": len([title for title in data.titles if title]),
        "queries": len(data.queries),
        "default": means(before, data),
        "ways": ways,
    }


def means(found: Mapping[str, Run], data: Judged) -> dict[str, dict[str, float]]:
    """Each mode's, by metric."""
    wanted = [parse_metric(metric) for metric in METRICS]
    return {
        mode: {
            metric.name: round(float(np.mean(list(own.values()))), 4)
            for metric, own in per_query(run, data.relevant, wanted).items()
        }
        for mode, run in found.items()
    }


def paired(before: Run, after: Run, data: Judged, *, metric: str) -> dict[str, Any]:
    """What `gnomon compare` says of one way by itself."""
    found = compare(before, after, data.relevant, metric=metric, margin=MARGIN)
    return {
        "difference": round(found.difference, 4),
        "interval": [round(value, 4) for value in found.interval],
        "p": float(f"{found.p_value:.2g}"),
        "outcome": found.outcome,
    }


if __name__ == "__main__":
    main()
