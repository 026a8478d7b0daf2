"""What training does, seen; and what two runs of one recipe have in common that differ in their seed.

    python -m bench seen

A model learns InsuranceQA's questions and answers twice, with two seeds. On answers that it did not see: the
neighbours that the two agree on, the cosine between their vectors of one text, and what a search finds whose
questions are of one and whose answers are of the other. Writes results/seen.json, docs/seen.md and its
pictures. Two minutes of one core.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.data import beir
from bench.record import write
from gnomon import load_encoder
from gnomon.core.errors import SpaceMismatch
from gnomon.core.vectors import Vectors
from gnomon.encode import locate
from gnomon.kernels.geometry import neighbour_overlap
from gnomon.train import fit, read_recipe
from gnomon.train.prepare import prepare
from gnomon.train.recipe.recipe import Recipe
from gnomon.train.report.embedding_map import MAP_FILE, read_map

START, PAIRS, ANSWERS, K = "all-MiniLM-L6-v2", 4000, 500, 10
QUESTIONS = 300
SEEN = "static table, random rows"
"""The model of which the pictures are."""
MODELS: dict[str, dict[str, Any]] = {
    SEEN: {
        "model": {"kind": "static", "new": {}, "tokenizer": START, "dim": 128},
        "optim": {"lr": 1e-2, "batch_size": 64, "epochs": 4},
    },
    "all-MiniLM-L6-v2, trained a little further": {
        "model": {"kind": "bi", "backbone": START, "max_tokens": 64},
        "optim": {"lr": 5e-5, "batch_size": 16, "steps": 12},
    },
}


def main() -> None:
    """Train, measure, record, write the page."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bench = Bench(folder)
        models = {name: bench.twice(name, settings) for name, settings in MODELS.items()}
        courses = bench.courses()
    figures = {
        "set": "InsuranceQA",
        "pairs": PAIRS,
        "answers": ANSWERS,
        "questions": QUESTIONS,
        "k": K,
        "chance": round(K / (ANSWERS - 1), 4),
        "models": models,
        "seen": SEEN,
        "courses": courses,
        "cpu_s": round(time.process_time() - started, 1),
    }
    write("seen", figures)
    pages.write("seen")


def course(run: Path) -> list[list[float]]:
    """Step, alignment, uniformity and the two cosines of each stage of a run."""
    seen = read_map(run / MAP_FILE)
    if seen is None:
        raise SystemExit(f"{run / MAP_FILE} is missing")
    rows = zip(seen.curve(), map(seen.cosines, range(len(seen.steps))), strict=True)
    return [[step, *(round(value, 4) for value in (a, u, *cosines))] for (step, a, u), cosines in rows]


class Bench:
    """Data, and two runs of a recipe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._train, self._dev = folder / "train.jsonl", folder / "dev.jsonl"
        train, _, _ = pairs("train", PAIRS)
        _jsonl(self._train, train)
        dev, questions, answers = pairs("dev", ANSWERS)
        _jsonl(self._dev, dev[:QUESTIONS])
        self._questions, self._answers = questions[:QUESTIONS], answers

    def twice(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Figures of a model before and after training, between two seeds."""
        before, after = [], []
        gains = []
        for seed in (1, 2):
            recipe = self._recipe(f"{short(name)}-{seed}", settings, seed)
            start = self._folder / f"{short(name)}-{seed}-start"
            prepare(recipe).model.save(start)
            report = fit(recipe, resume=False)
            before.append(load_encoder(start))
            after.append(load_encoder(report.folder))
            gains.append([round(report.gains[0].start, 4), round(report.gains[0].end, 4)])
        found = {
            "steps": report.steps,
            "ndcg_at_10": gains,
            "start": self._between(*before),
            "trained": self._between(*after),
        }
        print(name, json.dumps(found), flush=True)
        return found

    def courses(self) -> dict[str, Any]:
        """What was seen of the first model, and of a run that follows its own examples; the pictures."""
        unseen = self._folder / f"{short(SEEN)}-1.training"
        recipe = self._recipe("own", MODELS[SEEN], 1)
        fit(replace(recipe, data=replace(recipe.data, dev=())), resume=False)
        own = self._folder / "own.training"
        (pages.DOCS / "images").mkdir(exist_ok=True)
        for run, name in (
            (unseen, "embedding-map.png"),
            (unseen, "alignment.png"),
            (own, "embedding-map-train.png"),
            (own, "embedding-map-train.gif"),
        ):
            shutil.copyfile(run / name.replace("-train", ""), pages.DOCS / "images" / name)
        return {"not trained on": course(unseen), "trained on": course(own)}

    def _recipe(self, name: str, settings: dict[str, Any], seed: int) -> Recipe:
        model = dict(settings["model"])
        if "new" in model:
            model["new"] = {**model["new"], "seed": seed}
        return read_recipe(
            {
                "model": {**model, "seed": seed},
                "data": {"sources": [{"path": str(self._train)}], "dev": [{"path": str(self._dev)}]},
                "optim": {**settings["optim"], "seed": seed, "precision": "float32"},
                "output": {"folder": str(self._folder / name), "checkpoint_every": 0},
            }
        )

    def _between(self, left: Any, right: Any) -> dict[str, Any]:
        """What two models have in common."""
        a, b = (one.encode(self._answers, role="document") for one in (left, right))
        asked, other = (one.encode(self._questions, role="query").data for one in (left, right))
        own, own_b = top(asked, a.data), top(other, b.data)
        half = len(a) // 2
        turn = rotation(a.data[:half], b.data[:half])
        found = {
            "overlap": round(neighbour_overlap(a.data, b.data, k=K), 4),
            "cosine": round(float((a.data * b.data).sum(1).mean()), 4),
            "results_agree": shared(own, own_b),
            "cross_search": shared(own, top(asked, b.data)),
            "cross_search_rotated": shared(own, top(asked @ turn, b.data)),
            "cosine_rotated": round(float((a.data[half:] @ turn * b.data[half:]).sum(1).mean()), 4),
            "same_space": left.space == right.space,
        }
        return {**found, "error": mixed(a, b)}


def short(name: str) -> str:
    """A model's name as a folder's."""
    return name.partition(",")[0].replace(" ", "-")


def mixed(left: Vectors, right: Vectors) -> str | None:
    """What gnomon says to vectors of both in one array; None where they are of one space."""
    try:
        Vectors.concatenate([left, right])
    except SpaceMismatch as error:
        return error.message
    return None


def rotation(left: Any, right: Any) -> Any:
    """The turn that brings the first rows nearest to the second (Schönemann 1966, orthogonal Procrustes)."""
    u, _, v = np.linalg.svd(left.T.astype(np.float64) @ right)
    return u @ v


def top(questions: Any, answers: Any) -> Any:
    """The nearest answers of each question."""
    return np.argsort(-(questions @ answers.T), axis=1, kind="stable")[:, :K]


def shared(left: Any, right: Any) -> float:
    """The share of results that two searches have in common."""
    return round(float(np.mean([len(set(a) & set(b)) / K for a, b in zip(left, right, strict=True)])), 4)


def pairs(split: str, count: int) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Questions with their first answer, spread over the split; the questions and different answers alone."""
    data = beir("insuranceqa", split)
    texts = {row["_id"]: row["text"] for row in data.documents}
    first = {q: next(d for d, grade in grades.items() if grade) for q, grades in data.relevant.items()}
    found = {texts[d]: data.queries[q] for q, d in first.items()}
    chosen = list(found.items())
    chosen = [chosen[at] for at in np.linspace(0, len(chosen) - 1, min(count, len(chosen))).astype(int)]
    return [(q, d) for d, q in chosen], [q for _, q in chosen], [d for d, _ in chosen]


def _jsonl(path: Path, rows: list[tuple[str, str]]) -> None:
    path.write_text("".join(json.dumps({"query": q, "positive": d}) + "\n" for q, d in rows))


if __name__ == "__main__":
    locate(START)
    main()
