"""The map of 100,000 passages: CPU seconds of each projection, bytes of an answer, and how true neighbours are kept.

    python -m bench map [--work DIR] [--parts principal,umap,neighbours]

The collection is that of the benchmark of the server. Vectors of its first passages are the model's, those of the
others are mixtures of them; so times are of all passages, and neighbours of projections of the first ones alone.
Trustworthiness is scikit-learn's
(Venna and Kaski 2001: near in the picture, but not near in truth); preservation is the share of a passage's nearest
that are nearest in the picture too. Both are of a random sample, against itself.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.record import PACKAGES, RESULTS, versions, write
from bench.speed.served_collection import REAL, built
from gnomon.core.vectors import Vectors
from gnomon.index.scan import ScanIndex
from gnomon.kernels.geometry import neighbour_overlap
from gnomon.map import CollectionMap, colour_bytes, points_bytes
from gnomon.map.chunk_vectors import ChunkVectors
from gnomon.map.fits import PrincipalFit, Stamp, UmapFit, fit_path
from gnomon.map.fitting import fit_principal, fit_umap
from gnomon.map.layout import principal_points, umap_points

SAMPLE, NEAREST = 3_000, 15


def main() -> None:
    """Measure and write results/map.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "gnomon-bench")
    arguments.add_argument("--parts", default="principal,umap,neighbours")
    given = arguments.parse_args()
    folder, path = built(given.work), RESULTS / "map.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    figures: dict[str, Any] = {name: known[name] for name in ("principal", "umap", "neighbours") if name in known}
    if "umap" in given.parts:
        figures["umap"] = umap_seconds(folder)
    if "principal" in given.parts:
        figures["principal"] = principal(folder)
    if "neighbours" in given.parts:
        figures["neighbours"] = neighbours(folder)
    with gnomon.open(folder, create=False) as kb:
        figures = {"passages": kb.status().chunks, "dim": kb.version.space.dim} | figures
    packages = versions((*PACKAGES, "umap-learn", "scikit-learn", "numba"))
    write("map", {"nearest": NEAREST, "libraries": packages, **figures})


def principal(folder: Path) -> dict[str, Any]:
    """Seconds of fitting, of reading the fit, of an answer; bytes of the answers."""
    with gnomon.open(folder, create=False) as kb:
        kb.internals.warm()
        derived = kb.internals.folder / "derived" / f"v{kb.version.id:04d}"
        fit_path(derived, PrincipalFit).unlink(missing_ok=True)
        figures: dict[str, Any] = {"fit": timed(lambda: CollectionMap(kb).state())}
        figures["read"] = timed(lambda: CollectionMap(kb).state())
        drawn = CollectionMap(kb)
        points = drawn.points()
        figures["answer"] = timed(lambda: points_bytes(points))
        data = points_bytes(points)
        figures["bytes"] = {"points": len(data), "gzip": len(gzip.compress(data, 6))}
        field = drawn.colour_fields()[0].name
        figures["colours"] = timed(lambda: drawn.colours(field))
        figures["bytes"]["colours"] = len(colour_bytes(*drawn.colours(field)))
        figures["variance"] = round(drawn.state().variance, 4)
    return figures


def timed(call: Any) -> dict[str, float]:
    """CPU and wall seconds of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return {"cpu_s": round(time.process_time() - cpu, 3), "wall_s": round(time.perf_counter() - wall, 3)}


def umap_seconds(folder: Path) -> dict[str, float]:
    """CPU and wall seconds of the process that fits UMAP, its compilation included; and its greatest memory."""
    with gnomon.open(folder, create=False) as kb:
        version = kb.version.name
        fit_path(kb.internals.folder / "derived" / f"v{kb.version.id:04d}", UmapFit).unlink(missing_ok=True)
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "gnomon.map.worker", str(folder), version], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "cpu_s": round(cpu, 1),
        "wall_s": round(time.perf_counter() - wall, 1),
        "memory_mb": round(after.ru_maxrss / 1024),
    }


def neighbours(folder: Path) -> dict[str, Any]:
    """How true both projections of real vectors keep neighbours: of those fitted, and of those that came later."""
    with gnomon.open(folder, create=False) as kb:
        kept, space = ChunkVectors(kb.internals.indexes.local), kb.version.space
        rows = kept.take(np.arange(REAL))
    index, stamp = ScanIndex(space), Stamp(0, "", "", 0, 0, 0)
    later = np.arange(REAL) % 10 == 0
    index.add(np.flatnonzero(~later), Vectors(rows[~later], space))
    fitted = ChunkVectors(index)
    principal = fit_principal(fitted, stamp, lambda ids: [""] * len(ids))
    cpu = time.process_time()
    umap = fit_umap(fitted, stamp)
    cpu = time.process_time() - cpu
    index.add(np.flatnonzero(later), Vectors(rows[later], space))
    everything = ChunkVectors(index)
    version: Any = None
    pca_points = principal_points(principal, everything, version=version, seq=0)
    points = {"pca": pca_points, "umap": umap_points(umap, pca_points, everything)}
    found: dict[str, Any] = {"passages": REAL, "umap_cpu_s": round(cpu, 1)}
    for name, each in points.items():
        found[name] = {
            "fitted": quality(rows, each.positions, ~later),
            "held_out": quality(rows, each.positions, later),
        }
    return found


def quality(rows: Any, positions: Any, among: Any) -> dict[str, float]:
    """Trustworthiness and preservation of neighbours in a sample of those chosen by `among`."""
    from sklearn.manifold import trustworthiness

    chosen = np.flatnonzero(among)
    at = np.sort(np.random.default_rng(0).choice(chosen, min(SAMPLE, len(chosen)), replace=False))
    # By distance on the plane: neighbour_overlap compares angles, which a third coordinate turns into distances.
    overlap = neighbour_overlap(rows[at], on_a_sphere(positions[at]), k=NEAREST)
    return {
        "sample": len(at),
        "trustworthiness": round(float(trustworthiness(rows[at], positions[at], n_neighbors=NEAREST)), 4),
        "preservation": round(overlap, 4),
        "by_chance": round(NEAREST / (len(at) - 1), 4),
    }


def on_a_sphere(positions: Any) -> Any:
    """Points of the plane on a sphere so large that angles order them as distances do."""
    centred = (positions - positions.mean(axis=0)).astype(np.float64)
    height = 1e3 * np.abs(centred).max()
    return np.column_stack([centred, np.full(len(centred), height)])


if __name__ == "__main__":
    main()
