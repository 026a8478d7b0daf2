"""An index run of this tree beside one of another: wall and CPU seconds of reading, chunking and writing.

    python -m bench index_run --before ../old        # a worktree of the commit to compare with

The default model's tokenizer counts the tokens; the vectors are drawn at random, so that what is measured
is the rest. `--model` takes a real model in its place. The trees take turns, in a process each; CPU seconds are those
of the process and all that it started.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.data import DATA
from bench.record import spread, write

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys, time
import gnomon
from bench.speed.drawn_encoder import DrawnEncoder

source, target, model, real = sys.argv[1:]
how = {"settings": gnomon.CollectionSettings(model=real)} if real else {"encoder": DrawnEncoder(model)}
with gnomon.open(target, **how) as kb:
    started = time.perf_counter()
    report = kb.index([source])
    print(json.dumps({"seconds": time.perf_counter() - started, "chunks": report.chunks_added}))
"""


def measured(tree: Path, source: Path, model: str, *, real: str) -> dict[str, Any]:
    """Wall seconds of the run alone, and CPU seconds of the process with what it started."""
    with tempfile.TemporaryDirectory() as folder:
        before, started = _cpu(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(source), f"{folder}/kb", model, real],
            env={**os.environ, "PYTHONPATH": f"{tree}/src{os.pathsep}{ROOT}"},
            stdout=subprocess.PIPE,
            check=True,
        )
        whole = time.perf_counter() - started
        return {**json.loads(done.stdout.splitlines()[-1]), "cpu": _cpu() - before, "process": whole}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def sources(folder: Path, every: int) -> dict[str, Path]:
    """A folder of pages, the Git manual, and a corpus in one file of JSON lines: every so many pages and rows."""
    with tarfile.open(DATA / "docs" / "git.tar.gz") as archive:
        pages = [member for member in archive.getmembers() if member.isfile()]
        archive.extractall(folder / "git", members=pages[::every], filter="data")
    (folder / "scifact").mkdir()
    with gzip.open(DATA / "scifact" / "corpus.jsonl.gz") as packed:
        (folder / "scifact" / "corpus.jsonl").write_bytes(b"".join(packed.readlines()[::every]))
    return {"git manual": folder / "git", "SciFact": folder / "scifact"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the tree to compare with")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="take every so many pages and rows")
    parser.add_argument("--tokenizer", default="all-MiniLM-L6-v2", help="the model whose tokenizer counts")
    parser.add_argument("--model", default="", help="embed with this model")
    options = parser.parse_args()
    trees = {"before": options.before.resolve(), "now": Path(__file__).parents[2]}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, source in sources(Path(folder), options.every).items():
            runs: dict[str, list[dict[str, Any]]] = {tree: [] for tree in trees}
            for _ in range(options.repeats):
                for tree, path in trees.items():
                    runs[tree].append(measured(path, source, options.tokenizer, real=options.model))
            figures[name] = {
                tree: {
                    "chunks": each[0]["chunks"],
                    "wall_s": spread([one["seconds"] for one in each], 2),
                    "cpu_s": spread([one["cpu"] for one in each], 2),
                }
                for tree, each in runs.items()
            }
    write("index_run", {"model": options.model or "vectors at random", "every": options.every, "runs": figures})


if __name__ == "__main__":
    main()
