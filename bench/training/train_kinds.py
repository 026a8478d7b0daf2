"""Training other than the plain bi-encoder on InsuranceQA: each stage is a recipe, and its report is kept.

    python -m bench train_kinds [--stages sts,dual,shared,bi,late,cross,late-taught] [--folder FOLDER]

sts: STS-B from MiniLM with CoSENT. dual, shared: from random weights with a tokenizer of their own, with two
towers and with one. bi, late, cross: from MiniLM on the same pairs of InsuranceQA and SciFact (train
splits), saved and not judged: train_rerank.py says what they are worth. cross and late-taught begin as
late, and have a teacher. cross-classifier, cross-maxsim: no teacher, and the same rows for both heads.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.data import DATA
from bench.record import RESULTS, write

MODEL = "all-MiniLM-L6-v2"
DEV_QUERIES = 600
PAIRS = 6000
"""Of each train split, for the kinds that rank."""
TOKENS = 256
_SMALL = {"model_type": "bert", "hidden": 256, "layers": 3, "heads": 8, "max_tokens": 128}


def main() -> None:
    """Run the stages and write results/train_kinds.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stages", default="sts,shared,dual,words,bi,late,cross")
    arguments.add_argument("--folder", type=Path, help="keep the models here")
    given = arguments.parse_args()
    path = RESULTS / "train_kinds.json"
    kept: dict[str, Any] = json.loads(path.read_text()).get("stages", {}) if path.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in given.stages.split(","):
            kept[stage] = STAGES[stage](folder)
            print(stage, json.dumps(kept[stage]), flush=True)
            write("train_kinds", {"model": MODEL, "stages": kept})


def source(name: str, **more: Any) -> dict[str, Any]:
    """A BEIR folder's split."""
    return {"path": str(DATA / name), "name": f"{name}-{more['split']}", **more}


INSURANCE = source("insuranceqa", split="train")
SCIFACT = source("scifact", split="train")
DEV = source("insuranceqa", split="dev", limit=DEV_QUERIES)
TEST = source("scifact", split="test")


def trained(folder: Path, name: str, recipe: dict[str, Any]) -> dict[str, Any]:
    """Train, and what the report says."""
    from gnomon.train import fit, read_recipe

    whole = {**recipe, "output": {"folder": str(folder / name), "checkpoint_every": 0}}
    cpu = time.process_time()
    report = fit(read_recipe(whole), resume=False)
    gains = [
        {
            "set": one.name,
            "split": one.split,
            "metric": one.metric,
            "start": round(one.start, 4),
            "end": round(one.end, 4),
            "interval": one.verdict["interval"] if one.verdict else [one.low, one.high],
            "outcome": one.verdict["outcome"] if one.verdict else None,
        }
        for one in report.gains
    ]
    return {
        "steps": report.steps,
        "examples": report.examples,
        "steps_wall_s": round(report.seconds, 1),
        "whole_cpu_s": round(time.process_time() - cpu, 1),
        "looks": report.evaluations,
        "gains": gains,
        "optim": recipe["optim"],
    }


def sts(folder: Path) -> dict[str, Any]:
    """STS-B, scored pairs; the dev split chooses among epochs, the test split is looked at once."""
    sets = {
        split: {
            "path": str(DATA / "sts" / f"stsb.{split}.jsonl.gz"),
            "name": f"stsb-{split}",
            "scale": [0, 5],
        }
        for split in ("train", "dev", "test")
    }
    return trained(
        folder,
        "sts",
        {
            "model": {"backbone": MODEL},
            "data": {"sources": [sets["train"]], "dev": [sets["dev"]], "test": [sets["test"]]},
            "objective": {"name": "cosent"},
            "optim": {"lr": 2e-5, "epochs": 4, "batch_size": 32},
        },
    )


def small(folder: Path, kind: str) -> dict[str, Any]:
    """From random weights, 256 dimensions."""
    return trained(
        folder,
        kind if kind == "dual" else "shared",
        {
            "model": {
                "kind": kind, "new": _SMALL, "dim": 256, "max_tokens": 96, "vocabulary": 12_000,
            },
            "data": {"sources": [INSURANCE], "dev": [DEV]},
            "objective": {"name": "infonce", "direction": "both"},
            "optim": {"lr": 5e-4, "epochs": 5, "batch_size": 128},
            "dev": {"corpus": 3000},
        },
    )  # fmt: skip


def words(folder: Path) -> dict[str, Any]:
    """BM25 on the same dev sets."""
    from gnomon.evaluate import Run
    from gnomon.train.data.source import DataSourceSettings
    from gnomon.train.evaluation import bm25_candidates, mean_metric, open_dev_set

    found = {}
    for one in (DEV, TEST):
        dev = open_dev_set(DataSourceSettings(**one))
        ranked = {q: [(d, -float(n)) for n, d in enumerate(names)] for q, names in bm25_candidates(dev).items()}
        found[dev.name] = round(mean_metric(Run.ranked("bm25", ranked), dev.relevant, "nDCG@10"), 4)
    return found


def on_both(folder: Path, kind: str, **more: Any) -> dict[str, Any]:
    """From MiniLM, on the pairs of both train splits."""
    data = {"sources": [{**one, "limit": PAIRS} for one in (INSURANCE, SCIFACT)]}
    recipe: dict[str, Any] = {
        "model": {"kind": kind, "backbone": MODEL, "max_tokens": TOKENS},
        "data": data,
        "objective": {"name": "infonce"},
        "optim": {"lr": 5e-5, "epochs": 1, "batch_size": 64},
        "dev": {"map": 0},
    }
    recipe["model"].update(more.pop("model", {}))
    return trained(folder, kind, {**recipe, **more})


def late(folder: Path) -> dict[str, Any]:
    """All of MiniLM's 384 dimensions a token, and queries as they are.

    Its tokens rank well before any training; filled up with mask tokens, or projected to fewer dimensions,
    they rank worse. A sum over a question's dozen tokens is as sharp at 0.5 as a cosine is at 0.04.
    """
    return on_both(
        folder,
        "late",
        model={"dim": 384, "late": {"query_tokens": 0}},
        objective={"name": "infonce", "temperature": 0.5},
    )


def cross(folder: Path) -> dict[str, Any]:
    """Begins as the late interaction of this folder, and learns what train_teacher.py says of five texts."""
    return on_both(
        folder,
        "cross",
        model={"backbone": str(folder / "late"), "max_tokens": 224, "head": "maxsim"},
        data={"sources": lessons(folder)},
        objective={"name": "listwise_kl", "temperature": 0.05, "teacher_temperature": 0.5},
        optim={"lr": 1e-4, "epochs": 1, "batch_size": 32},
    )


def lessons(folder: Path) -> list[dict[str, Any]]:
    """What a teacher says of five texts for each question; for some of them their answers are not used."""
    from bench.training.train_teacher import QuestionSet, taught

    return taught([QuestionSet(INSURANCE, PAIRS, draws=2, unlabelled=1), QuestionSet(SCIFACT, draws=5)], folder)


def late_taught(folder: Path) -> dict[str, Any]:
    """The late interaction of this folder goes on with some of the cross-encoder's lessons."""
    limits = {"insuranceqa-train": 6000, "scifact-train": 1200}
    return on_both(
        folder,
        "late-taught",
        model={"kind": "late", "backbone": str(folder / "late")},
        data={"sources": [{**one, "limit": limits[one["name"]]} for one in lessons(folder)]},
        objective={"name": "listwise_kl", "temperature": 0.5, "teacher_temperature": 0.5},
        optim={"lr": 7e-5, "epochs": 1, "batch_size": 32},
    )


def cross_alike(folder: Path, head: str) -> dict[str, Any]:
    """From MiniLM, on each pair with four wrong answers that BM25 finds: a head of either kind."""
    from gnomon.train.data.source import DataSourceSettings, open_source
    from gnomon.train.mining.mine import MineSettings, mine

    sources = []
    for one in (INSURANCE, SCIFACT):
        rows = folder / f"{one['name']}.jsonl"
        mining = mine(
            open_source(DataSourceSettings(**one)),
            settings=MineSettings(method="bm25", per_query=4, ranks=(5, 60), choice="random"),
        )
        with rows.open("w") as file:
            for example in mining:
                if len(example.documents) < 5:
                    continue  # a column of the file would be missing
                names = ["query", "positive", *(f"negative_{n}" for n in range(1, len(example.documents)))]
                texts = (example.query, *example.documents)
                file.write(json.dumps(dict(zip(names, texts, strict=True))) + "\n")
        sources.append({"path": str(rows), "name": one["name"], "limit": PAIRS})
    matched = head == "maxsim"
    return on_both(
        folder,
        f"cross-{head}",
        model={"kind": "cross", "max_tokens": 192 if matched else 160, "head": head},
        data={"sources": sources},
        objective={"name": "infonce", "temperature": 0.05 if matched else 1.0, "in_batch": False},
        optim={"lr": 5e-5, "epochs": 1, "batch_size": 32},
    )


STAGES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "sts": sts,
    "shared": lambda folder: small(folder, "bi"),
    "dual": lambda folder: small(folder, "dual"),
    "words": words,
    "bi": lambda folder: on_both(folder, "bi"),
    "late": late,
    "cross": cross,
    "late-taught": late_taught,
    "cross-classifier": lambda folder: cross_alike(folder, "classifier"),
    "cross-maxsim": lambda folder: cross_alike(folder, "maxsim"),
}

if __name__ == "__main__":
    main()
