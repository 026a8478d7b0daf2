"""What a ScanIndex costs at 10,000, 100,000 and 1,000,000 vectors: to build, keep, open, search and add to.

    python -m bench scan_costs --work FOLDER

Rows are mapped from disk: vectors are added 50,000 at a time, and the index is saved and loaded after each
part. Vectors are real up to 100,000; beyond that each is a random mix of two real ones with noise. Building
and searching are two processes a case, for the peak memory of each alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.record import RESULTS, write
from bench.speed.real_vectors import real_vectors
from bench.speed.scan_plot import plot
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.scan import ScanIndex, ScanSettings

Array = np.ndarray[Any, np.dtype[Any]]
REAL, PART, QUERIES = 100_000, 50_000, 200
CASES = ((10_000, "float32"), (100_000, "float32"), (1_000_000, "float32"), (1_000_000, "float16"))
"""Vectors, and how rows are kept."""


def main() -> None:
    """Measure each size, write results/scan_costs.json, docs/scan-costs.png and docs/scan.md."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--work", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--case", type=int, help="used by itself: one of the cases, in a process of its own")
    arguments.add_argument("--step", choices=["build", "use"], help="used by itself")
    given = arguments.parse_args()
    if given.step:
        step = build if given.step == "build" else use
        print(json.dumps(step(given.work, *CASES[given.case])))
        return
    real_vectors(given.work, REAL + 1000)
    cases = []
    for number, (size, rows) in enumerate(CASES):
        built, used = _child(given.work, number, "build"), _child(given.work, number, "use")
        cases.append({"vectors": size, "rows": rows, **built, **used})
        print(cases[-1], file=sys.stderr)
        shutil.rmtree(_folder(given.work, size, rows))
    write("scan_costs", {"real_vectors": REAL, "part": PART, "cases": cases})
    plot(cases, RESULTS.parent.parent / "docs" / "scan-costs.png")
    pages.write("scan")


def _child(work: Path, case: int, step: str) -> dict[str, Any]:
    command = [sys.executable, "-m", __spec__.name, "--work", str(work), "--case", str(case), "--step", step]
    # One thread to search with, and to build with what there is.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} if step == "use" else {}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads})
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _folder(work: Path, size: int, rows: str) -> Path:
    return work / f"scan-{size}-{rows}"


def _space() -> Space:
    return Space("minilm".ljust(64, "0"), 384, "cosine", "float", "minilm")


def _settings(kept: str, **others: Any) -> ScanSettings:
    return ScanSettings(rows="float16" if kept == "float16" else "float32", **others)


def parts(work: Path, size: int) -> Iterator[tuple[Array, Array]]:
    """Ids and vectors in parts; read from the file part by part, so that they are not what is measured."""
    known = np.load(work / f"minilm-{REAL + 1000}.npy", mmap_mode="r")[:REAL]
    for at in range(0, size, PART):
        count = min(PART, size - at)
        yield (
            np.arange(at, at + count),
            (np.array(known[at : at + count]) if at < REAL else mixed(known, count, at)),
        )


def mixed(known: Array, count: int, seed: int) -> Array:
    """Random mixes of two real vectors each, with noise of a tenth of their length."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.5, 1, (count, 1)).astype(np.float32)
    some = share * known[np.sort(rng.integers(0, len(known), count))]
    some += (1 - share) * known[rng.integers(0, len(known), count)]
    noise = rng.standard_normal(some.shape, dtype=np.float32)
    some += noise * np.float32(0.1 / np.sqrt(known.shape[1]))
    some /= np.linalg.norm(some, axis=1, keepdims=True)
    whole: Array = some
    return whole


def build(work: Path, size: int, kept: str) -> dict[str, Any]:
    """Build the index in a folder of its own."""
    folder, space, settings = _folder(work, size, kept), _space(), _settings(kept)
    shutil.rmtree(folder, ignore_errors=True)
    index, spent = ScanIndex(space, settings), 0.0
    for ids, data in parts(work, size):
        rows = Vectors(data, space)
        started = time.perf_counter()
        index.add(ids, rows)
        index.save(folder, stamp=len(index))
        index, _ = ScanIndex.load(folder, space, settings)
        spent += time.perf_counter() - started
    disk = {path.name.partition("-")[0]: path.stat().st_size for path in folder.glob("*.bin")}
    return {
        "build_s": round(spent, 2),
        "disk_mib": round(sum(disk.values()) / 2**20, 1),
        "disk_mib_by_kind": {name: round(count / 2**20, 2) for name, count in sorted(disk.items())},
        "build_peak_mib": _peak_mib(),
    }


def use(work: Path, size: int, kept: str) -> dict[str, Any]:
    """Open it, search, and add to it one vector at a time."""
    import faiss

    faiss.omp_set_num_threads(1)
    folder, space, settings = _folder(work, size, kept), _space(), _settings(kept)
    index, open_s = _timed(lambda: ScanIndex.load(folder, space, settings)[0])
    held = np.load(work / f"minilm-{REAL + 1000}.npy", mmap_mode="r")[REAL:]
    asked = [Vectors(np.array(row[None]), space) for row in held[:QUERIES]]
    first_s = _timed(lambda: index.search(asked[0], k=10))[1]
    taken = {}
    for k in (10, 1000):
        for query in asked[:20]:
            index.search(query, k=k)
        times = [1000 * _timed(partial(index.search, query, k=k))[1] for query in asked]
        taken[f"k_{k}"] = {
            "p50": round(float(np.median(times)), 2),
            "p99": round(float(np.quantile(times, 0.99)), 2),
        }
    figures = {
        "codes_used": index.is_approximate,
        "open_ms": round(1000 * open_s, 1),
        "first_query_ms": round(1000 * first_s, 1),
        "query_ms": taken,
        "search_peak_mib": _peak_mib(),
        "search_own_mib": _own_mib(),
        "recall_at_10": _recall(folder, kept, asked[:50]),
    }
    return {**figures, "add_one": _add_one(folder, index, held)}


def _recall(folder: Path, kept: str, asked: list[Vectors]) -> float:
    # A filter that lets everything through, and filters are scored exactly: the judge, on the same rows.
    judge, stamp = ScanIndex.load(folder, _space(), _settings(kept, filtered_exactly=10**9))
    queries = Vectors(np.concatenate([query.data for query in asked]), _space())
    truth, found = judge.search(queries, k=10, where=np.arange(stamp)), judge.search(queries, k=10)
    hits = sum(len(np.intersect1d(one.ids, other.ids)) for one, other in zip(truth, found, strict=True))
    return round(hits / (10 * len(asked)), 4)


def _add_one(folder: Path, index: ScanIndex, held: Array) -> dict[str, Any]:
    """Milliseconds to put in one vector and to save, and what that wrote."""
    before = {path.name: path.stat().st_size for path in folder.glob("*.bin")}
    first, adds, saves = len(index), [], []
    for at in range(10):
        row = Vectors(np.array(held[QUERIES + at][None]), _space())
        adds.append(1000 * _timed(partial(index.add, np.array([first + at]), row))[1])
        saves.append(1000 * _timed(partial(index.save, folder, stamp=first + at + 1))[1])
    after = {path.name: path.stat().st_size for path in folder.glob("*.bin")}
    return {
        "add_ms": round(float(np.median(adds)), 2),
        "add_first_ms": round(adds[0], 2),
        "save_ms": round(float(np.median(saves)), 2),
        "bytes_appended": sum(count - before.get(name, 0) for name, count in after.items()) // 10,
        "files_written_anew": len(after.keys() - before.keys()),
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started


def _peak_mib() -> float:
    """The most memory this process had, pages of mapped files among them."""
    return _status("VmHWM:")


def _own_mib() -> float:
    """Memory that is not a file's: what the system cannot take back."""
    return _status("RssAnon:")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return round(int(line.split()[1]) / 1024, 1)
    return 0.0


if __name__ == "__main__":
    main()
