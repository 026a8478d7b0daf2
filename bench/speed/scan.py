"""Ways to find candidates, on the same real vectors and on the same pushed into narrow cones.

    python -m bench scan --work FOLDER [--vectors 100000] [--queries 300]

Built with all cores, asked one query at a time on one. Methods that hold short codes have their 340 best
candidates scored by the full vectors, as ScanIndex does for ten results; recall is against exact search, and
times include that scoring. Vectors are encoded once and kept in the folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import write
from bench.speed.scan_contenders import Contender, contenders, turbovec_version

Array = np.ndarray[Any, np.dtype[Any]]
CONES = (None, 0.93, 0.99)
"""Mean cosines to push the vectors to; None: as they are."""


def main() -> None:
    """Measure, write results/scan.json and docs/scan.md."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--vectors", type=int, default=100_000)
    arguments.add_argument("--queries", type=int, default=300)
    given = arguments.parse_args()
    _one_thread()
    from bench import pages
    from bench.speed.real_vectors import average_cosine, narrowed, real_vectors

    vectors = real_vectors(given.work, given.vectors + 1000)
    sets = []
    for cone in CONES:
        pushed = vectors if cone is None else narrowed(vectors, cone)
        base, queries = pushed[: given.vectors], pushed[given.vectors :][: given.queries]
        sets.append(
            {
                "mean_cosine": round(average_cosine(base[:4000].astype(np.float64)), 3),
                "methods": compared(base, queries),
            }
        )
    figures = {
        "vectors": given.vectors,
        "dimensions": vectors.shape[1],
        "queries": given.queries,
        "turbovec": turbovec_version(),
        "sets": sets,
    }
    write("scan", figures)
    pages.write("scan")


def _one_thread() -> None:
    # BLAS and turbovec read this once, when they are loaded; numpy already is.
    names = ("OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    if any(os.environ.get(name) != "1" for name in names):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **dict.fromkeys(names, "1")})


def compared(base: Array, queries: Array) -> list[dict[str, Any]]:
    """A row for the exact scan, ScanIndex and each contender."""
    truth, exact_ms = exact(base, queries)
    scores = [base[near] @ query for near, query in zip(truth, queries, strict=True)]
    rows = [{"method": "exact, float32", "recall_at_10": 1.0, "recall_at_10_unrescored": 1.0,
             "query_ms": _quantiles(exact_ms), "build_s": 0.0, "bytes_a_vector": 0.0}]  # fmt: skip
    rows.append(_own(base, queries, scores))
    for contender in contenders():
        rows.append(_measured(contender, base, queries, truth=scores))
        print(rows[-1], file=sys.stderr)
    return rows


def exact(base: Array, queries: Array) -> tuple[list[Array], list[float]]:
    """The ten most similar rows of each query by a plain product, and milliseconds."""
    found, taken = [], []
    for query in queries:
        started = time.perf_counter()
        near = _best(base @ query, 10)
        taken.append((time.perf_counter() - started) * 1000)
        found.append(near)
    return found, taken


def _best(values: Array, count: int) -> Array:
    near = np.argpartition(-values, count)[:count] if count < len(values) else np.arange(len(values))
    order: Array = near[np.argsort(-values[near], kind="stable")]
    return order


def _measured(contender: Contender, base: Array, queries: Array, *, truth: list[Array]) -> dict[str, Any]:
    import faiss

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    started = time.perf_counter()
    built = contender.build(base)
    build_s = time.perf_counter() - started
    faiss.omp_set_num_threads(1)

    def search(query: Array) -> Array:
        near = built.search(query, contender.rescored or 10)
        near = near[near >= 0]
        return near[_best(base[near] @ query, 10)] if contender.rescored else near

    for query in queries[:20]:
        search(query)
    found, taken = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query))
        taken.append((time.perf_counter() - started) * 1000)
    plain = [built.search(query, 10) for query in queries]
    return {
        "method": contender.name,
        "recall_at_10": _recall(base, queries, found, truth=truth),
        "recall_at_10_unrescored": _recall(base, queries, plain, truth=truth),
        "query_ms": _quantiles(taken),
        "build_s": round(build_s, 2),
        "bytes_a_vector": round(built.bytes() / len(base), 1),
    }


def _own(base: Array, queries: Array, truth: list[Array]) -> dict[str, Any]:
    """ScanIndex as a collection uses it: with its checks, ids and settings."""
    import faiss

    from gnomon.core.space import Space
    from gnomon.core.vectors import Vectors
    from gnomon.index.scan import ScanIndex

    space = Space("minilm".ljust(64, "0"), base.shape[1], "cosine", "float", "minilm")
    index = ScanIndex(space)
    rows, asked = Vectors(base, space), [Vectors(query[None], space) for query in queries]
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    started = time.perf_counter()
    index.add(np.arange(len(base), dtype=np.int64), rows)
    build_s = time.perf_counter() - started
    faiss.omp_set_num_threads(1)
    for query in asked[:20]:
        index.search(query, k=10)
    found, taken = [], []
    for query in asked:
        started = time.perf_counter()
        found.append(index.search(query, k=10)[0].ids)
        taken.append((time.perf_counter() - started) * 1000)
    recall = _recall(base, queries, found, truth=truth)
    return {"method": "gnomon's ScanIndex", "recall_at_10": recall, "recall_at_10_unrescored": None,
            "query_ms": _quantiles(taken), "build_s": round(build_s, 2), "bytes_a_vector": None,
            "codes_used": index.is_approximate}  # fmt: skip


def _recall(base: Array, queries: Array, found: list[Array], *, truth: list[Array]) -> float:
    # By score, so that a tie counts; the slack is float32's rounding of a sum of so many products.
    hits = 0
    for near, query, scores in zip(found, queries, truth, strict=True):
        hits += int((base[near[near >= 0]] @ query >= scores.min() - 2e-7).sum())
    return round(hits / (10 * len(queries)), 4)


def _quantiles(taken: list[float]) -> dict[str, float]:
    return {"p50": round(float(np.median(taken)), 2), "p99": round(float(np.quantile(taken, 0.99)), 2)}


if __name__ == "__main__":
    main()
