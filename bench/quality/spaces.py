"""A second model beside the first, without any judgment: the hybrid of two spaces against that of one.

python -m bench spaces [--collections FOLDER] [--sets scifact ...]

Models, weights (0.3 / 0.4 / 0.3) and depth are the package's defaults, fixed before these sets were looked at. For each
set: nDCG@10 of both hybrids with the paired difference, its interval and p-value; the second model as a second stage;
the median latency of a search, the memory of a process that has searched, and bytes on disk. FOLDER may have ready
collections NAME-MODEL of both models, whose vectors are then copied rather than made.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gnomon
from bench.data import DATA, beir
from bench.record import write
from gnomon.collection.catalog import vector_cache
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.collection import Collection
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.vectors import Vectors
from gnomon.evaluate import Run, Verdict, compare
from gnomon.migrate.cost import measure_latencies, measure_size
from gnomon.retrieve import SpaceSettings

SETS = {"scifact": "test", "cranfield": "test", "cosqa": "dev", "insuranceqa": "dev"}
FIRST, SECOND = "all-MiniLM-L6-v2", "gte-small"
VERSIONS = {"one": "v1", "two": "v2", "second-stage": "v3"}
_BLOCK = 2000


def main() -> None:
    """Measure every set and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=Path, help="ready collections NAME-MODEL, which stay as they are")
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--memory", nargs=2, metavar=("FOLDER", "VERSION"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(memory_after_searching(Path(given.memory[0]), given.memory[1])))
        return
    found = {}
    for name in given.sets:
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = measured(name, Path(scratch) / name, given.collections)
            print(name, json.dumps(found[name]), flush=True)
    if sorted(given.sets) == sorted(SETS):
        write("spaces", {"models": [FIRST, SECOND], "weights": [0.3, 0.4, 0.3], "sets": found})


def measured(name: str, folder: Path, ready: Path | None) -> dict[str, Any]:
    """The figures of one set."""
    data = beir(name, SETS[name])
    with collection_of(name, folder, ready) as kb:
        pinned = {way: kb.pinned(version) for way, version in VERSIONS.items()}
        runs = {way: each.run(data.queries, k=10) for way, each in pinned.items()}
        runs["dense"] = pinned["one"].run(data.queries, k=10, mode="dense")
        latency = measure_latencies([pinned["one"], pinned["two"], pinned["second-stage"]], list(data.queries.values()))
        sizes = {way: measure_size(each).total for way, each in pinned.items()}
    memory = {way: memory_of(folder, version) for way, version in VERSIONS.items()}
    return {
        "queries": len(data.queries),
        "dense": mean(runs["dense"], runs["one"], data.relevant),
        "two": figures(compare(runs["one"], runs["two"], data.relevant)),
        "second-stage": figures(compare(runs["one"], runs["second-stage"], data.relevant)),
        "p50_ms": {way: round(each.p50_s * 1000, 2) for way, each in zip(VERSIONS, latency, strict=True)},
        "memory_mb": memory,
        "disk_mb": {way: round(size / 1e6, 1) for way, size in sizes.items()},
    }


def mean(run: Run, other: Run, relevant: dict[str, dict[str, int]]) -> float:
    """nDCG@10 of a run."""
    return round(compare(other, run, relevant).mean_candidate, 4)


def figures(verdict: Verdict) -> dict[str, Any]:
    """What a comparison says, in nDCG@10."""
    return {
        "one_space": round(verdict.mean_baseline, 4),
        "with_both": round(verdict.mean_candidate, 4),
        "difference": round(verdict.difference, 4),
        "interval": [round(verdict.interval[0], 4), round(verdict.interval[1], 4)],
        "p": round(verdict.p_value, 5),
    }


def collection_of(name: str, folder: Path, ready: Path | None) -> Collection:
    """A collection with three versions: one space, two, and the second model as a second stage."""
    if ready is not None:
        shutil.copytree(ready / f"{name}-{FIRST}", folder)
    kb = gnomon.open(folder, settings=gnomon.CollectionSettings(model=FIRST, chunk_tokens=256, threads=1))
    if not kb.ids():
        kb.index([DATA / name])
    for place in ("beside", "second-stage"):
        settings = RetrievalSettings(spaces=(SpaceSettings(SECOND, place),))
        added = kb.versions.add(kb.encoder, model=FIRST, retrieval=settings)
        if ready is not None and place == "beside":
            copy_vectors(ready / f"{name}-{SECOND}", kb, added.name)
        kb.versions.backfill(added.name)
        kb.versions.mark_ready(added.name)
        kb.versions.build_indexes(added.name)
    return kb


def copy_vectors(source: Path, kb: Collection, version: str) -> None:
    """Put another collection's vectors into the cache, of the same model and the same texts."""
    (model,) = kb.versions.get(version).spaces
    catalog = Catalog(source, create=False)
    with catalog.read() as connection:
        ((own, fingerprint),) = list(connection.exec_driver_sql("SELECT id, fingerprint FROM spaces"))
        if fingerprint != model.space.fingerprint:
            raise SystemExit(f"{source} has vectors of another model than {SECOND}")
        hashes = vector_cache.all_hashes(connection, own, "document")
        for at in range(0, len(hashes), _BLOCK):
            rows = vector_cache.get(connection, own, "document", hashes=hashes[at : at + _BLOCK])
            with kb.internals.catalog.write() as target:
                vectors = Vectors.of_items(list(rows.values()), model.space)
                vector_cache.put(target, model.space_id, "document", hashes=list(rows), vectors=vectors)
    catalog.close()


def memory_of(folder: Path, version: str) -> float:
    """Megabytes of a process of its own that has searched with a version."""
    command = [sys.executable, "-m", "bench.quality.spaces", "--memory", str(folder), version]
    return float(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def memory_after_searching(folder: Path, version: str) -> float:
    """Resident megabytes of this process after ten searches."""
    with gnomon.open(folder, create=False, version=version, settings=gnomon.CollectionSettings(threads=1)) as kb:
        for number in range(10):
            kb.search(f"question number {number} about what is in here")
        status = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in status if line.startswith("VmRSS")).split()[1]) / 1000, 1)


if __name__ == "__main__":
    main()
