"""What storing vectors as float16, int8 or binary loses and saves, on judged queries, against float32.

    python -m bench vector_types [--model NAME] [--sets scifact cranfield ...]

Collections of the data sets are made once, in gnomon's cache. Queries keep their full precision. Every figure is of the
dense search alone, and of the hybrid search. Writes results/vector_types.json and docs/vector-types.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import gnomon
from bench import pages
from bench.data import DATA
from bench.record import write
from gnomon.collection import CollectionSettings
from gnomon.collection.evaluation_corpus import corpus_of, evaluation_folder, index_once
from gnomon.core.progress import no_progress
from gnomon.core.vector_types import VectorType, record_type
from gnomon.evaluate import load_dataset
from gnomon.evaluate.comparison import compare_many

TYPES: tuple[VectorType, ...] = ("float16", "int8", "binary")
SETS = {"scifact": "test", "cranfield": "test", "covidqa": "test"}


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", default="all-MiniLM-L6-v2")
    arguments.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    given = arguments.parse_args()
    encoder = gnomon.load_encoder(given.model)
    dim = encoder.space.dim
    found = {name: measured(DATA / name, SETS[name], given.model, encoder=encoder) for name in given.sets}
    sizes = {each: record_type(each, dim).itemsize for each in ("float32", *TYPES)}
    write("vector_types", {"model": given.model, "dim": dim, "bytes_a_vector": sizes, "sets": found})
    pages.write("vector-types")


def measured(folder: Path, split: str, model: str, *, encoder: Any) -> dict[str, Any]:
    """Means, paired differences and verdicts of each type in both modes."""
    dataset = load_dataset(folder, split=split)
    corpus = corpus_of(dataset)
    place = evaluation_folder(corpus, encoder.space.fingerprint)
    with gnomon.open(place, settings=CollectionSettings(model=model), encoder=encoder) as kb:
        index_once(kb, corpus, model, progress=no_progress)
        queries = dataset.judged
        relevant = {query: dataset.relevant[query] for query in queries}
        out: dict[str, Any] = {"queries": len(queries), "chunks": kb.status().chunks}
        for mode in ("dense", "hybrid"):
            base = kb.run(queries, mode=mode)
            runs = [kb.run(queries, mode=mode, vector_type=each) for each in TYPES]
            verdicts = compare_many(base, runs, relevant, margin=0.01)
            out[mode] = {"float32": {"mean": round(verdicts[0].mean_baseline, 4)}}
            for each, verdict in zip(TYPES, verdicts, strict=True):
                out[mode][each] = {
                    "mean": round(verdict.mean_candidate, 4),
                    "difference": round(verdict.difference, 4),
                    "interval": [round(end, 4) for end in verdict.interval],
                    "outcome": verdict.outcome,
                }
    return out


if __name__ == "__main__":
    main()
