"""Training on InsuranceQA beside sentence-transformers: quality at equal settings, pairs a CPU second, more.

    python -m bench train --reference-python PATH [--stages speed,reference,equal,best]

speed: 20 steps of each, in turn, on one thread. reference and equal: one epoch each of the same pairs with
the same batch, rate, schedule, length, loss and precision. best: gnomon's own recipe. Every model is judged
the same way: encoded by gnomon's runtime, nDCG@10 of the first 600 dev queries over all documents, cut at 128
tokens. Results of stages that are not run stay as they are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import Beir, beir, mean_ndcg
from bench.record import RESULTS, write

MODEL = "all-MiniLM-L6-v2"
TOKENS, BATCH, DEV_QUERIES = 128, 64, 600
EQUAL: dict[str, Any] = {"lr": 5e-5, "weight_decay": 0.01, "epochs": 1, "batch_size": BATCH, "seed": 1}
WARMUP = 0.1
BEST: dict[str, Any] = {"lr": 1e-4, "epochs": 3, "batch_size": 128}
BEST_OBJECTIVE: dict[str, Any] = {"direction": "both", "matryoshka": {"dims": [0, 256, 128, 64]}}
SHORT: dict[str, Any] = {"lr": 1e-4, "epochs": 4, "batch_size": 128}
SHORT_OBJECTIVE: dict[str, Any] = {
    "direction": "both",
    "matryoshka": {"dims": [0, 256, 128], "weights": [1, 1, 2]},
}
LAST: dict[str, Any] = {"lr": 5e-5, "epochs": 1, "batch_size": 128}
LAST_OBJECTIVE: dict[str, Any] = {
    "direction": "both",
    "matryoshka": {"dims": [0, 128], "weights": [1, 4]},
}
"""For vectors that will be cut to 128 dimensions: these count double, and in a last epoch four times."""
PREFIX = 128
STAGES = ("start", "speed", "reference", "equal", "best", "short", "shorter")


def main() -> None:
    """Run the stages and write results/train.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--reference-python", required=True)
    arguments.add_argument("--stages", default=",".join(STAGES[1:]))
    arguments.add_argument("--threads", type=int, default=2, help="of reference, equal and best")
    arguments.add_argument("--folder", type=Path, help="keep the models here")
    given = arguments.parse_args()
    path = RESULTS / "train.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    kept: dict[str, Any] = {name: found[name] for name in STAGES if name in found}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(given.reference_python, folder, given.threads)
        for stage in given.stages.split(","):
            kept[stage] = getattr(bench, stage)()
            print(stage, json.dumps(kept[stage])[:400], flush=True)
            body: dict[str, Any] = {"model": MODEL, "set": "insuranceqa", "tokens": TOKENS, **kept}
            write("train", body)


class Bench:
    """The stages."""

    def __init__(self, python: str, folder: Path, threads: int) -> None:
        from gnomon.encode import locate

        self.python, self.folder, self.threads = python, folder, threads
        self.base = locate(MODEL).folder
        self.data = dev()
        self.pairs = train_pairs()

    def start(self) -> dict[str, Any]:
        """The model that all begin with."""
        return {"ndcg_at_10": judged(self.base, self.data)}

    def speed(self, steps: int = 20) -> dict[str, Any]:
        """Pairs a CPU second on one thread, in turn: gnomon, then the reference with and without bf16."""
        rounds = []
        for _ in range(2):
            own = self._gnomon("speed", threads=1, steps=steps, **EQUAL)
            theirs = self._reference("speed", threads=1, steps=steps, bf16=True, **EQUAL)
            rounds.append({"gnomon": own["pairs_a_cpu_s"], "reference_bf16": theirs["pairs_a_cpu_s"]})
        plain = self._reference("speed", threads=1, steps=steps // 2, bf16=False, **EQUAL)
        ratios = [round(one["gnomon"] / one["reference_bf16"], 2) for one in rounds]
        return {"rounds": rounds, "ratios": ratios, "reference_fp32": plain["pairs_a_cpu_s"]}

    def reference(self) -> dict[str, Any]:
        """sentence-transformers: one epoch, bf16."""
        found = self._reference("reference", threads=self.threads, bf16=True, **EQUAL)
        return {**found, "ndcg_at_10": judged(self.folder / "reference", self.data)}

    def equal(self) -> dict[str, Any]:
        """gnomon: the same."""
        found = self._gnomon("equal", threads=self.threads, **EQUAL)
        return {**found, "ndcg_at_10": judged(self.folder / "equal", self.data)}

    def best(self) -> dict[str, Any]:
        """gnomon's own recipe for this set, within 45 minutes."""
        return self._with_prefix("best", BEST, BEST_OBJECTIVE)

    def short(self) -> dict[str, Any]:
        """For vectors of 128 dimensions. It goes on where it was stopped: its times are of what was left."""
        return self._with_prefix("short", SHORT, SHORT_OBJECTIVE)

    def shorter(self) -> dict[str, Any]:
        """From there, one more epoch."""
        return self._with_prefix("shorter", LAST, LAST_OBJECTIVE, backbone=self.folder / "short")

    def _with_prefix(self, name: str, optim: dict[str, Any], objective: dict[str, Any], **more: Any) -> dict[str, Any]:
        settings = {**EQUAL, **optim, **more}
        found = self._gnomon(name, threads=self.threads, objective=objective, **settings)
        whole = judged(self.folder / name, self.data)
        prefix = judged(self.folder / name, self.data, dim=PREFIX)
        return {
            **found,
            "settings": {**optim, "objective": objective},
            "ndcg_at_10": whole,
            f"ndcg_at_10_of_{PREFIX}_dimensions": prefix,
            "share_kept": round(prefix / whole, 4),
        }

    def _gnomon(
        self,
        name: str,
        *,
        threads: int,
        steps: int | None = None,
        objective: dict[str, Any] | None = None,
        backbone: Path | None = None,
        **optim: Any,
    ) -> dict[str, Any]:
        import torch

        from gnomon.train import fit, read_recipe

        torch.set_num_threads(threads)
        rows = self.folder / "pairs.jsonl"
        rows.write_text("".join(json.dumps({"query": q, "positive": d}) + "\n" for q, d in self.pairs))
        recipe = read_recipe(
            {
                "model": {"backbone": str(backbone or self.base), "max_tokens": TOKENS},
                "data": {"sources": [{"path": str(rows)}]},
                "objective": objective or {},
                "dev": {"map": 0},
                "optim": {**optim, **({"steps": steps} if steps else {}), "warmup": WARMUP},
                "output": {"folder": str(self.folder / name), "checkpoint_every": 0},
            }
        )
        stamps: list[tuple[float, float]] = []

        def stamp(progress: Any) -> None:
            if progress.stage == "training":
                stamps.append((time.process_time(), time.perf_counter()))

        report = fit(recipe, progress=stamp, resume=name == "short")
        (cpu, wall), (last_cpu, last_wall) = stamps[0], stamps[-1]
        return figures(
            len(stamps), (len(stamps) - 1) * optim["batch_size"], last_cpu - cpu, wall_s=last_wall - wall
        ) | {
            "steps": report.steps,
            "steps_timed": len(stamps),
            "precision": report.precision,
        }

    def _reference(self, name: str, *, threads: int, steps: int | None = None, bf16: bool, **optim: Any) -> Any:
        (self.folder / "pairs.json").write_text(json.dumps(self.pairs))
        total = steps or optim["epochs"] * -(-len(self.pairs) // optim["batch_size"])
        job = {
            "model": str(self.base), "pairs": str(self.folder / "pairs.json"), "max_tokens": TOKENS,
            "folder": str(self.folder / name), "threads": threads, "steps": steps, "bf16": bf16,
            "warmup": int(WARMUP * total), **optim,
        }  # fmt: skip
        (self.folder / "job.json").write_text(json.dumps(job))
        script = Path(__file__).with_name("train_reference.py")
        command = [self.python, str(script), str(self.folder / "job.json")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        found = figures(answer["steps"], answer["pairs"], answer["cpu_s"], wall_s=answer["wall_s"])
        return found | {"threads": threads, "bf16": bf16, "versions": answer["versions"]}


def figures(steps: int, pairs: int, cpu_s: float, *, wall_s: float) -> dict[str, Any]:
    """From the end of the first step to the end of the last."""
    return {
        "steps": steps,
        "pairs": pairs,
        "cpu_s": round(cpu_s, 1),
        "wall_s": round(wall_s, 1),
        "pairs_a_cpu_s": round(pairs / cpu_s, 2),
    }


def train_pairs() -> list[tuple[str, str]]:
    """Every question of the train split with each of its answers."""
    data = beir("insuranceqa", "train")
    texts = {row["_id"]: row["text"] for row in data.documents}
    return [(data.queries[q], texts[d]) for q, grades in data.relevant.items() for d, grade in grades.items() if grade]


def dev() -> Beir:
    """The first 600 dev queries in the order of the judgments, over all documents."""
    data = beir("insuranceqa", "dev")
    asked = list(data.relevant)[:DEV_QUERIES]
    return Beir(data.documents, {q: data.queries[q] for q in asked}, {q: data.relevant[q] for q in asked})


def judged(folder: Path, data: Beir, dim: int | None = None) -> float:
    """Dense nDCG@10, texts cut at 128 tokens, of the first `dim` dimensions."""
    import warnings
    from dataclasses import replace

    from gnomon.encode.layout.model import read_layout
    from gnomon.encode.settings import EncoderSettings
    from gnomon.encode.transformer import TransformerEncoder

    layout = replace(read_layout(folder, name=folder.name), max_tokens=TOKENS)
    encoder = TransformerEncoder(layout, EncoderSettings(dim=dim))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        documents = encoder.encode([row["text"] for row in data.documents], role="document").data
        queries = encoder.encode(list(data.queries.values()), role="query").data
    names = [row["_id"] for row in data.documents]
    run = {}
    for query, scores in zip(data.queries, queries @ documents.T, strict=True):
        best = np.argsort(-scores, kind="stable")[:100]
        run[query] = {names[i]: float(scores[i]) for i in best}
    return round(mean_ndcg(data.relevant, run), 4)


if __name__ == "__main__":
    main()
