"""A small student of a teacher's vectors, trained on documents alone: its queries against the teacher's documents.

    python -m bench teacher --collections FOLDER [--folder KEEP] [--students static,small] [--sentences 6000]

FOLDER has a collection SET-gte-small for each set, or they are made there. Students of gte-small (LEAF, the loss
`embedding_regression`): potion-base-8M, a table of token vectors, and all-MiniLM-L6-v2, half as deep as the teacher.
They learn the teacher's vectors of sentences and some chunks of the documents; no query and no judgment is seen.
Judged queries measure only: nDCG@10 of dense search by student or teacher queries over the teacher's vectors, and by
the student on both sides, each against the teacher on both sides with its interval. `cosine` is that of the student's
and the teacher's vectors of the queries. Speed is seconds a query of the median of one-query calls, in turn.
Writes results/teacher.json.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA
from bench.record import RESULTS, write
from gnomon.core.contracts import Encoder
from gnomon.encode import load_encoder
from gnomon.evaluate import Run, load_dataset
from gnomon.evaluate.comparison import compare_many
from gnomon.text.sentences import sentences
from gnomon.train.evaluation import mean_metric

TEACHER, METRIC = "gte-small", "nDCG@10"
SETS = {"scifact": "test", "cranfield": "test", "insuranceqa": "dev"}
STUDENTS: Mapping[str, dict[str, Any]] = {
    "static": {
        "model": {"kind": "static", "backbone": "potion-base-8M"},
        "optim": {"lr": 2e-3, "epochs": 3, "batch_size": 256},
    },
    "small": {
        "model": {"backbone": "all-MiniLM-L6-v2", "max_tokens": 128},
        "optim": {"lr": 1e-4, "epochs": 1, "batch_size": 64},
    },
}
CHUNKS = 600
"""Of each set, that are learned beside the sentences."""
QUERIES = 1000
"""Of InsuranceQA's dev split, the first ones."""


def main() -> None:
    """Train, measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--collections", type=Path, required=True)
    arguments.add_argument("--folder", type=Path, help="keep students and teacher's vectors here")
    arguments.add_argument("--students", default=",".join(STUDENTS))
    arguments.add_argument("--sentences", type=int, default=6_000, help="learned of each set")
    arguments.add_argument("--steps", type=int, help="end each training early")
    arguments.add_argument("--both", default=",".join(SETS), help="sets whose passages the student encodes too")
    given = arguments.parse_args()
    warnings.simplefilter("ignore")
    path = RESULTS / "teacher.json"
    kept: dict[str, Any] = json.loads(path.read_text())["students"] if path.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        held = {name: opened(given.collections / f"{name}-{TEACHER}", name) for name in SETS}
        texts = lessons(held, folder, given.sentences)
        for name in given.students.split(","):
            trained = train(name, texts, folder, steps=given.steps)
            student, teacher = load_encoder(folder / name), load_encoder(TEACHER)
            sets = {
                each: measured(kb, each, student=student, teacher=teacher, both=each in given.both.split(","))
                for each, kb in held.items()
            }
            kept[name] = {"training": trained, "sets": sets, "speed": speed(student, teacher, held["scifact"])}
            print(name, json.dumps(kept[name]), flush=True)
            write("teacher", {"teacher": TEACHER, "metric": METRIC, "students": kept})


def opened(folder: Path, name: str) -> gnomon.Collection:
    """The set's collection, made with the teacher where it is not there."""
    kb = gnomon.open(folder, settings=gnomon.CollectionSettings(model=TEACHER, threads=1))
    if not kb.ids():
        kb.index([DATA / name])
    return kb


def lessons(held: Mapping[str, gnomon.Collection], folder: Path, count: int) -> Path:
    """Sentences and chunks of all documents, as many of each set."""
    path = folder / f"lessons-{count}.jsonl"
    if not path.is_file():
        drawn, rows = random.Random(0), []
        for kb in held.values():
            chunks = [chunk.text for chunk in kb.chunk_texts()]
            drawn.shuffle(chunks)
            # Short ones are most like queries.
            found = [one for text in chunks for one in sentences(text) if 4 <= len(one.split()) <= 40]
            drawn.shuffle(found)
            longer = chunks[:CHUNKS]
            for at, sentence in enumerate(dict.fromkeys(found[:count])):
                rows.append({"query": sentence, "positive": longer[at % len(longer)]})
        drawn.shuffle(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def train(name: str, texts: Path, folder: Path, *, steps: int | None) -> dict[str, Any]:
    """Train a student, and what it took."""
    from gnomon.train import fit, read_recipe

    started, cpu = time.perf_counter(), time.process_time()
    recipe = STUDENTS[name]
    model = {**recipe["model"], "teacher": TEACHER, "teacher_vectors": str(folder / "teacher")}
    report = fit(
        read_recipe(
            {
                "model": model,
                "data": {"sources": [{"path": str(texts), "name": "documents"}]},
                "objective": {"name": "embedding_regression"},
                "optim": {**recipe["optim"], "precision": "bfloat16", **({"steps": steps} if steps else {})},
                "dev": {"map": 0},
                "output": {"folder": str(folder / name)},
            }
        )
    )
    return {
        "backbone": model["backbone"],
        "steps": report.steps,
        "texts": report.examples,
        "steps_wall_s": round(report.seconds, 1),
        "whole_wall_s": round(time.perf_counter() - started, 1),
        "whole_cpu_s": round(time.process_time() - cpu, 1),
        "optim": recipe["optim"],
    }


def measured(kb: gnomon.Collection, name: str, *, student: Encoder, teacher: Encoder, both: bool) -> dict[str, Any]:
    """The three ways to search, and the verdicts against the teacher on both sides."""
    data = load_dataset(DATA / name, split=SETS[name])
    texts = {q: data.queries[q] for q in list(data.relevant)[:QUERIES]}
    relevant = {q: data.relevant[q] for q in texts}
    table = kb.to_arrow("chunks", vectors=True)
    owners = table.column("document").to_pylist()
    by_teacher = np.stack(table.column("vector").to_numpy(zero_copy_only=False))
    queries = {
        each: encoder.encode(list(texts.values()), role="query").data
        for each, encoder in (("student", student), ("teacher", teacher))
    }
    runs = {
        "teacher both sides": ranked("teacher", texts, queries["teacher"] @ by_teacher.T, owners=owners),
        "student queries": ranked("student queries", texts, queries["student"] @ by_teacher.T, owners=owners),
    }
    if both:
        by_student = student.encode(table.column("text").to_pylist(), role="document").data
        scores = queries["student"] @ by_student.T
        runs["student both sides"] = ranked("student both sides", texts, scores, owners=owners)
    first, *others = runs.values()
    shown = ("candidate", "outcome", "difference", "interval", "p_value", "n")
    verdicts = [
        {key: one.to_json()[key] for key in shown} for one in compare_many(first, others, relevant, metrics=[METRIC])
    ]
    return {
        "queries": len(texts),
        "chunks": len(owners),
        "cosine": round(float((queries["student"] * queries["teacher"]).sum(1).mean()), 4),
        "means": {each: round(mean_metric(run, relevant, METRIC), 4) for each, run in runs.items()},
        "verdicts": verdicts,
    }


def ranked(name: str, texts: Mapping[str, str], scores: np.ndarray[Any, Any], *, owners: Sequence[str]) -> Run:
    """Documents by their best chunk."""
    found = {}
    for query, row in zip(texts, scores, strict=True):
        best: dict[str, float] = {}
        for at in np.argsort(-row, kind="stable")[:200]:
            best.setdefault(owners[at], float(row[at]))
        found[query] = list(best.items())[:100]
    return Run.ranked(name, found)


def speed(student: Encoder, teacher: Encoder, kb: gnomon.Collection) -> dict[str, float]:
    """Milliseconds a query of each, one query a call, and how many times as fast the student is."""
    texts = [" ".join(chunk.text.split()[:12]) for chunk in kb.chunk_texts()[:100]]
    spent: dict[str, list[float]] = {"student": [], "teacher": []}
    for text in texts:
        for name, encoder in (("student", student), ("teacher", teacher)):
            started = time.perf_counter()
            encoder.encode([text], role="query")
            spent[name].append(1000 * (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    return {
        "student_ms": round(medians["student"], 3),
        "teacher_ms": round(medians["teacher"], 3),
        "ratio": round(medians["teacher"] / medians["student"], 1),
    }


if __name__ == "__main__":
    main()
