"""PyLate's index, fast-plaid, over token vectors from a file: late_interaction.py starts it.

python late_reference.py VECTORS.npz OUT.json    # needs fast-plaid, torch and numpy, and nothing of gnomon
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search

BITS = 4
K = 10


def main() -> None:
    """Build, search one query after the other, and write what was found and what it took."""
    vectors, out = np.load(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    documents = [torch.from_numpy(rows) for rows in np.split(vectors["documents"], vectors["starts"][1:])]
    queries = [torch.from_numpy(rows)[None] for rows in np.split(vectors["queries"], vectors["query_starts"][1:])]
    with tempfile.TemporaryDirectory() as folder:
        index = search.FastPlaid(index=folder, device="cpu")
        index.devices = ["cpu"]  # otherwise a process a core, which is slower for one query
        started, cpu = time.perf_counter(), time.process_time()
        index.create(documents_embeddings=documents, nbits=BITS)
        build = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        index.search(queries_embeddings=queries[0], top_k=K, show_progress=False)
        found, wall, cpus = [], [], []
        for query in queries:
            started, cpu = time.perf_counter(), time.process_time()
            (ranking,) = index.search(queries_embeddings=query, top_k=K, show_progress=False)
            wall.append(time.perf_counter() - started)
            cpus.append(time.process_time() - cpu)
            found.append([int(number) for number, _ in ranking])
    names = ("pylate", "fast-plaid", "torch")
    figures = {
        "bytes": size,
        "build": build,
        "ms": sorted(wall)[len(wall) // 2] * 1000,
        "cpu_ms": sorted(cpus)[len(cpus) // 2] * 1000,
        "found": found,
        "versions": {name: importlib.metadata.version(name) for name in names},
    }
    out.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
