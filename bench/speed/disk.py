"""What a collection takes on disk, by part, beside LanceDB with the same passages; and beside another tree of gnomon.

    python -m bench disk [--before ../old] [--sets cranfield]   # a worktree of the commit to compare with

Both hold the texts, the metadata, a vector a passage and a keyword index; LanceDB's table is compacted, and older
versions of it are deleted. It is measured with gnomon's passages, and with whole documents, of which it then has one
vector each. The default model's tokenizer cuts the passages; the vectors are drawn at random, so that what is
measured of time is the rest: CPU seconds of adding all documents, of opening with a first search, and of searches.
Writes results/disk.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import beir
from bench.record import spread, versions, write

SETS = {"cranfield": "test", "scifact": "test"}
ROOT = Path(__file__).parents[2]
RUN = """
import json, statistics, sys, time
import gnomon
from bench.speed.drawn_encoder import DrawnEncoder

given, target, model = sys.argv[1:]
data = json.load(open(given))
encoder = DrawnEncoder(model)
kb = gnomon.open(target, encoder=encoder)
cpu = time.process_time()
kb.add(data["documents"])
kb.search(data["queries"][0])
found = {"index_cpu_s": time.process_time() - cpu}
kb.close()
cpu = time.process_time()
kb = gnomon.open(target, encoder=encoder)
kb.search(data["queries"][0])
found["open_cpu_s"] = time.process_time() - cpu
taken = {mode: [] for mode in ("hybrid", "dense")}
for _ in range(2):
    for mode, each in taken.items():
        for query in data["queries"]:
            started = time.perf_counter()
            kb.search(query, mode=mode)
            each.append((time.perf_counter() - started) * 1000)
found["query_ms"] = {mode: statistics.median(each) for mode, each in taken.items()}
found["passages"] = kb.status().chunks
kb.close()
print(json.dumps(found))
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="the tree to compare with")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokenizer", default="all-MiniLM-L6-v2", help="the model whose tokenizer counts")
    options = parser.parse_args()
    trees = {"before": options.before.resolve()} if options.before else {}
    trees["now"] = Path(__file__).parents[2]
    figures = {}
    for name in options.sets:
        with tempfile.TemporaryDirectory() as scratch:
            figures[name] = measured(name, SETS[name], Path(scratch), trees=trees, options=options)
            print(json.dumps({name: figures[name]}), flush=True)
    write("disk", {"tokenizer": options.tokenizer, "lancedb": versions(["lancedb"])["lancedb"], "sets": figures})


def measured(
    name: str, split: str, scratch: Path, *, trees: dict[str, Path], options: argparse.Namespace
) -> dict[str, Any]:
    """Every tree in turn, several times, then LanceDB with the passages of the last."""
    data = beir(name, split)
    documents = [{"id": row["_id"], "title": row["title"], "text": row["text"]} for row in data.documents]
    given = scratch / "given.json"
    given.write_text(json.dumps({"documents": documents, "queries": list(data.queries.values())}))
    runs: dict[str, list[dict[str, Any]]] = {tree: [] for tree in trees}
    for turn in range(options.repeats):
        for tree, path in trees.items():
            target = scratch / f"{tree}-{turn}"
            done = subprocess.run(
                [sys.executable, "-c", RUN, str(given), str(target), options.tokenizer],
                env={**os.environ, "PYTHONPATH": f"{path}/src{os.pathsep}{ROOT}"},
                stdout=subprocess.PIPE,
                check=True,
            )
            runs[tree].append({**json.loads(done.stdout.splitlines()[-1]), "parts": parts(target)})
    passages = passages_of(scratch / f"now-{options.repeats - 1}")
    whole = [(row["id"], row["title"], f"{row['title']} {row['text']}".strip()) for row in documents]
    return {
        "documents": len(documents),
        **{tree: summary(each) for tree, each in runs.items()},
        "lancedb_same_passages": lance(scratch / "passages", passages),
        "lancedb_whole_documents": lance(scratch / "documents", whole),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Bytes of the last run, which are nearly the same in all, and times of all."""
    last = runs[-1]
    return {
        "passages": last["passages"],
        "bytes": sum(last["parts"].values()),
        "parts": last["parts"],
        "index_cpu_s": spread([run["index_cpu_s"] for run in runs], 2),
        "open_cpu_s": spread([run["open_cpu_s"] for run in runs], 3),
        "query_p50_ms": {mode: spread([run["query_ms"][mode] for run in runs], 2) for mode in last["query_ms"]},
    }


def parts(folder: Path) -> dict[str, int]:
    """Bytes of a closed collection: of each large table with its indexes, of the rest, and of the derived indexes."""
    found = {"keyword index": 0, "vector index": 0, "other files": 0}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "collection.db":
            inside = [part for part in path.parts if part.startswith(("lexical-", "dense-"))]
            name = "other files" if not inside else "keyword index" if "lexical" in inside[0] else "vector index"
            found[name] += path.stat().st_size
    whole = (folder / "collection.db").stat().st_size
    with sqlite3.connect(folder / "collection.db") as connection:
        sizes = dict(
            connection.execute(
                "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name GROUP BY 1"
            )
        )
    tables = {name: sizes[name] for name in ("vectors", "chunks", "documents", "journal")}
    return {**tables, "rest of the catalog": whole - sum(tables.values()), **found}


def passages_of(folder: Path) -> list[tuple[str, str, str]]:
    """Each passage's id, title, and title with text."""
    from gnomon.collection.catalog import queries
    from gnomon.collection.catalog.connection import Catalog

    catalog = Catalog(folder, create=False)
    try:
        with catalog.read() as connection:
            ids, titles, texts = queries.texts_of(connection, queries.all_ids(connection, 1))
    finally:
        catalog.close()
    return [(str(at), title, f"{title} {text}".strip()) for at, title, text in zip(ids, titles, texts, strict=True)]


def lance(folder: Path, rows: list[tuple[str, str, str]]) -> dict[str, int]:
    """Bytes of a table of these rows with a float32 vector each and a keyword index, compacted."""
    import lancedb
    from lancedb.index import FTS

    drawn = np.random.default_rng(0).standard_normal((len(rows), 384)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    data = [
        {"id": row_id, "title": title, "text": text, "vector": vector}
        for (row_id, title, text), vector in zip(rows, drawn, strict=True)
    ]
    table = lancedb.connect(str(folder)).create_table("documents", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.create_index("text", config=FTS())
        table.optimize(cleanup_older_than=datetime.timedelta(0))
    sizes = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    words = sum(size for path, size in sizes.items() if "_indices" in path.parts)
    return {"rows": len(rows), "bytes": sum(sizes.values()), "keyword index": words, "vectors": drawn.nbytes}


if __name__ == "__main__":
    main()
