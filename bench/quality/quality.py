"""The default model on four open sets and on STS-B, through the very commands' functions.

    python -m bench quality [--folder WORK] [--only scifact,cranfield]

Collections are kept in the work folder, so a second run embeds nothing. Writes results/quality.json and the
table in docs/quality.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import gnomon
from bench import pages
from bench.data import DATA
from bench.record import write
from gnomon.collection.settings import Mode
from gnomon.encode import load_encoder
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.metrics import summary
from gnomon.evaluate.tasks import run_task

SETS = {"scifact": "test", "cranfield": "test", "insuranceqa": "dev", "cosqa": "dev"}
METRICS = ("nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP", "success@10")
MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only", default=",".join(SETS))
    given = arguments.parse_args()
    sets = {name: figures_of(name, SETS[name], given.folder) for name in given.only.split(",")}
    sts = run_task("sts", load_encoder("all-MiniLM-L6-v2"), DATA / "sts" / "stsb.test.jsonl.gz")
    record = {"sets": sets, "stsb_test": sts.to_json()}
    if "insuranceqa" in sets:
        record["many_queries"] = many_queries(given.folder)
    write("quality", record)
    pages.write("quality")


def figures_of(name: str, split: str, folder: Path) -> dict[str, Any]:
    """One set in every mode."""
    dataset = load_dataset(DATA / name, split=split)
    with gnomon.open(folder / name) as kb:
        kb.index([DATA / name])
        scores = {}
        for mode in MODES:
            run = kb.run(dataset.judged, mode=mode)
            scores[mode] = {
                score.metric: [round(score.mean, 4), round(score.low, 4), round(score.high, 4)]
                for score in summary(run, dataset.relevant, METRICS)
            }
        status = kb.status()
    counts = {"documents": status.documents, "chunks": status.chunks, "queries": len(dataset.judged)}
    return {"split": split, **counts, "scores": scores}


def many_queries(folder: Path) -> dict[str, Any]:
    """All training queries of InsuranceQA, asked and scored once their vectors are in the cache."""
    dataset = load_dataset(DATA / "insuranceqa", split="train")
    with gnomon.open(folder / "insuranceqa") as kb:
        kb.run(dataset.judged, mode="dense", k=1)
        started, cpu = time.perf_counter(), time.process_time()
        run = kb.run(dataset.judged)
        asked = time.perf_counter() - started
        summary(run, dataset.relevant, METRICS)
        chunks = kb.status().chunks
    return {
        "queries": len(dataset.judged),
        "chunks": chunks,
        "mode": "hybrid",
        "asked_s": round(asked, 1),
        "asked_and_scored_s": round(time.perf_counter() - started, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
    }


if __name__ == "__main__":
    main()
