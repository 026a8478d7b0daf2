"""Real vectors for scan benchmarks: short public texts by the default model, encoded once and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.data import DATA, rows
from bench.speed.encode import MODEL

_SETS = {
    "debian_desc": ("a",),
    "wordnet_gloss": ("b",),
    "snli.test": ("a", "b"),
    "snli.validation": ("a", "b"),
}

Array = np.ndarray[Any, np.dtype[Any]]


def texts() -> list[str]:
    """Distinct short texts (package summaries, glosses, captions) in a fixed random order."""
    found: dict[str, None] = {}
    for name, fields in _SETS.items():
        for row in rows(DATA / "pairs" / f"{name}.jsonl.gz"):
            found.update(dict.fromkeys(row[field] for field in fields if row.get(field)))
    known = list(found)
    return [known[at] for at in np.random.default_rng(0).permutation(len(known))]


def real_vectors(work: Path, count: int) -> Array:
    """The first `count` texts' vectors, float32 of length 1; from `work` when they were made before."""
    path = work / f"minilm-{count}.npy"
    if not path.is_file():
        from gnomon.encode import load_encoder

        work.mkdir(parents=True, exist_ok=True)
        chosen = texts()[:count]
        if len(chosen) < count:
            raise SystemExit(f"{len(chosen)} texts, wanted {count}")
        np.save(path, load_encoder(MODEL).encode(chosen, role="document").data)
    loaded: Array = np.load(path)
    return loaded


def narrowed(vectors: Array, mean_cosine: float) -> Array:
    """The vectors pushed along one direction until two of them have this cosine on average."""
    direction = np.random.default_rng(1).standard_normal(vectors.shape[1])
    direction /= np.linalg.norm(direction)
    sample = vectors[:4000].astype(np.float64)
    low, high = 0.0, 1000.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if average_cosine(sample + middle * direction) < mean_cosine else (low, middle)
    pushed: Array = vectors + (low * direction).astype(np.float32)
    pushed /= np.linalg.norm(pushed, axis=1, keepdims=True)
    return pushed


def average_cosine(vectors: Array) -> float:
    """The mean cosine of two different vectors."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count = len(unit)
    return float((np.square(unit.sum(axis=0)).sum() - count) / (count * (count - 1)))
