"""Late interaction over a whole collection: size, time and nDCG@10 beside exhaustive MaxSim and fast-plaid.

    python -m bench late_interaction [--model FOLDER] [--vectors FOLDER] [--reference PYTHON]

SciFact and Cranfield, test splits. Without --model one is trained first (TRAINING; train splits only). --vectors keeps
token vectors from one run to the next. --reference is a Python that has fast-plaid and the torch that it was built
for, such as `pip install fast-plaid==1.7.0.2110 torch==2.11.0`; all systems get the same vectors, in float16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import DATA, Beir, beir, mean_ndcg
from bench.record import machine, versions, write
from gnomon.core.vectors import Vectors
from gnomon.encode import load_encoder
from gnomon.index.exact import ExactIndex
from gnomon.index.multi_vector import MultiVectorIndex, MultiVectorSettings

SETS = ("cranfield", "scifact")
K = 10
TRAINING: dict[str, Any] = {
    "model": {
        "kind": "late",
        "backbone": "all-MiniLM-L6-v2",
        "dim": 128,
        "max_tokens": 256,
        "late": {"query_tokens": 0},
    },
    "data": {
        "sources": [
            {"path": str(DATA / "scifact"), "name": "scifact-train", "split": "train"},
            {"path": str(DATA / "insuranceqa"), "name": "iqa-train", "split": "train", "limit": 3000},
        ]
    },
    "objective": {"temperature": 0.5},
    "optim": {"lr": 5e-5, "epochs": 1},
}


@dataclass(frozen=True)
class Encoded:
    """Token vectors of a set's documents and queries, both in the order of its ids."""

    data: Beir
    documents: Vectors
    queries: Vectors


def main() -> None:
    """Measure both sets and write results/late_interaction.json."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=Path)
    arguments.add_argument("--vectors", type=Path)
    arguments.add_argument("--reference", type=Path)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = given.model or trained(Path(scratch))
        found = {}
        for name in SETS:
            encoded = token_vectors(model, name, given.vectors or Path(scratch))
            found[name] = measured(encoded, given.reference, Path(scratch))
            print(name, json.dumps(found[name]), flush=True)
    write("late_interaction", {"machine": machine(), "versions": versions(), "training": training(), "sets": found})


def training() -> dict[str, Any]:
    """The recipe, without this machine's paths."""
    sources = [{key: one[key] for key in one if key != "path"} for one in TRAINING["data"]["sources"]]
    return {**TRAINING, "data": {"sources": sources}}


def trained(scratch: Path) -> Path:
    """The model of TRAINING."""
    from gnomon.train import fit, read_recipe

    folder = scratch / "model"
    fit(read_recipe({**TRAINING, "output": {"folder": str(folder)}}), resume=False)
    return folder


def token_vectors(model: Path, name: str, folder: Path) -> Encoded:
    """A set's token vectors, from the folder where they are there."""
    data, file = beir(name, "test"), folder / f"{name}.npz"
    space = load_encoder(model).space
    if not file.is_file():
        encoder = load_encoder(model)
        texts = [f"{row.get('title') or ''}\n{row['text']}".strip() or "empty" for row in data.documents]
        documents = encoder.encode(texts, role="document")
        queries = encoder.encode(list(data.queries.values()), role="query")
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"documents": documents.data.astype(np.float16), "queries": queries.data.astype(np.float16)}
        starts = {"starts": documents.starts, "query_starts": queries.starts}
        np.savez(file, **parts, **starts)  # type: ignore[arg-type]
    held = np.load(file)
    return Encoded(
        data,
        Vectors(held["documents"].astype(np.float32), space, held["starts"]),
        Vectors(held["queries"].astype(np.float32), space, held["query_starts"]),
    )


def measured(encoded: Encoded, reference: Path | None, scratch: Path) -> dict[str, Any]:
    """The figures of all systems on one set."""
    space = encoded.documents.space
    exact = timed(encoded, lambda: ExactIndex(space), scratch / "exact")
    best = exact["found"]
    systems = {"exhaustive, float32": exact}
    for label, settings in (
        ("gnomon, 4 bits", MultiVectorSettings()),
        ("gnomon, 2 bits", MultiVectorSettings(bits=2)),
        ("gnomon, 4 bits, every document", MultiVectorSettings(exact_below=1 << 40)),
    ):
        systems[label] = timed(encoded, lambda own=settings: MultiVectorIndex(space, own), scratch / label)  # type: ignore[misc]
    if reference is not None:
        systems["fast-plaid, 4 bits"] = referenced(encoded, reference, scratch)
    return {
        "documents": len(encoded.documents),
        "tokens": len(encoded.documents.data),
        "dim": space.dim,
        "queries": len(encoded.queries),
        "systems": {label: summary(encoded, one, best) for label, one in systems.items()},
    }


def timed(encoded: Encoded, make: Callable[[], Any], folder: Path) -> dict[str, Any]:
    """Build, save, load, and search one query after the other."""
    started, cpu = time.perf_counter(), time.process_time()
    index = make()
    index.add(np.arange(len(encoded.documents)), encoded.documents)
    index.save(folder, stamp=1)
    build = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    settings = () if isinstance(index, ExactIndex) else (index.settings,)
    index, _ = type(index).load(folder, index.space, *settings)
    found, wall, cpus = [], [], []
    index.search(encoded.queries[0], k=K)
    for query in encoded.queries:
        started, cpu = time.perf_counter(), time.process_time()
        (ranking,) = index.search(query, k=K)
        wall.append(time.perf_counter() - started)
        cpus.append(time.process_time() - cpu)
        found.append(ranking.ids.tolist())
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    times = {"ms": statistics.median(wall) * 1000, "cpu_ms": statistics.median(cpus) * 1000}
    return {"bytes": size, "build": build, "found": found, **times}


def referenced(encoded: Encoded, python: Path, scratch: Path) -> dict[str, Any]:
    """The same by fast-plaid, in a process of its own."""
    vectors, out = scratch / "vectors.npz", scratch / "found.json"
    documents, queries = encoded.documents, encoded.queries
    parts = {"documents": documents.data, "starts": documents.starts, "queries": queries.data}
    np.savez(vectors, **parts, query_starts=queries.starts)  # type: ignore[arg-type]
    subprocess.run([python, Path(__file__).with_name("late_reference.py"), vectors, out], check=True)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def summary(encoded: Encoded, one: dict[str, Any], best: list[list[int]]) -> dict[str, Any]:
    """Rounded figures, with nDCG@10 and the share of the exhaustive ten."""
    ids = [row["_id"] for row in encoded.data.documents]
    ranked = {
        query: {ids[at]: 1.0 - place / 100 for place, at in enumerate(found)}
        for query, found in zip(encoded.data.queries, one["found"], strict=True)
    }
    shares = [len(set(mine) & set(right)) / K for mine, right in zip(one["found"], best, strict=True)]
    rest = {"versions": one["versions"]} if "versions" in one else {}
    return {
        "ndcg@10": round(mean_ndcg(encoded.data.relevant, ranked), 4),
        "of_exhaustive_10": round(statistics.mean(shares), 4),
        "megabytes": round(one["bytes"] / 1e6, 1),
        "bytes_per_token": round(one["bytes"] / len(encoded.documents.data), 1),
        "build_s": round(one["build"]["seconds"], 1),
        "build_cpu_s": round(one["build"]["cpu_seconds"], 1),
        "ms": round(one["ms"], 2),
        "cpu_ms": round(one["cpu_ms"], 2),
        **rest,
    }


if __name__ == "__main__":
    main()
