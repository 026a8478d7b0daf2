"""One encoder or two: the same documents served by both, searched and answered from.

    python -m bench encoders SHARED DUAL [--beside all-MiniLM-L6-v2] [--kept FOLDER] [--limit N]

SHARED and DUAL are model folders: what `python -m bench train_kinds --stages shared,dual --folder FOLDER`
left. Search is compared on InsuranceQA's dev questions, over all its documents; answers, quoted without a
language model, on CovidQA, about which neither has learned anything. Each question of CovidQA is answered,
whatever the confidence: its threshold was measured with another encoder. `--beside` measures one more model.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gnomon
from bench.data import DATA
from bench.record import write
from gnomon.answer.evaluation.evaluate import AnswerReport, compare_with_saved, evaluate_answers
from gnomon.answer.evaluation.metrics import F1
from gnomon.answer.evaluation.questions import read_questions
from gnomon.answer.settings import AskSettings
from gnomon.collection import Collection
from gnomon.collection.settings import Mode
from gnomon.core.contracts import Encoder
from gnomon.encode.settings import EncoderSettings
from gnomon.evaluate import Run, compare, load_dataset, summary
from gnomon.evaluate.comparison import Verdict

MODES: tuple[Mode, ...] = ("dense", "hybrid")
METRIC = "nDCG@10"
TIMED = 300


def main() -> None:
    """Serve, search, answer, and write results/encoders.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("shared", type=Path)
    arguments.add_argument("dual", type=Path)
    arguments.add_argument("--beside", default="", help="one more model, such as all-MiniLM-L6-v2")
    arguments.add_argument("--kept", type=Path, help="keep the collections here, and use those that are there")
    arguments.add_argument("--limit", type=int, help="only so many of CovidQA's questions")
    given = arguments.parse_args()
    models = {"shared": str(given.shared), "dual": str(given.dual)}
    if given.beside:
        models["beside"] = given.beside
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.kept or Path(scratch)
        figures = {
            "models": {name: described(model) for name, model in models.items()},
            "search": search(models, folder),
            "answers": answers(models, folder, given.limit),
        }
    write("encoders", {"beside": given.beside, **figures})


def described(model: str) -> dict[str, Any]:
    """A model's size, and what a question and documents cost it on one thread."""
    from gnomon.encode.hub.locate import locate

    encoder = gnomon.load_encoder(model, settings=EncoderSettings(threads=1))
    folder = Path(locate(model).folder)
    questions = list(load_dataset(DATA / "insuranceqa", split="dev").judged.values())[:TIMED]
    return {
        "mb": round(sum(p.stat().st_size for p in folder.rglob("*.safetensors")) / 1e6, 1),
        "dim": encoder.space.dim,
        "question_ms": round(1000 * statistics.median(timed(encoder, one) for one in questions), 2),
    }


def timed(encoder: Encoder, question: str) -> float:
    """Processor seconds of one question."""
    started = time.process_time()
    encoder.encode([question], role="query")
    return time.process_time() - started


def served(name: str, model: str, corpus: str, *, folder: Path) -> tuple[Collection, dict[str, Any]]:
    """A set's documents in a collection of this model, and what putting them in took."""
    settings = gnomon.CollectionSettings(model=model)
    kb = gnomon.open(folder / f"{corpus}-{name}", settings=settings)
    cpu, wall = time.process_time(), time.perf_counter()
    report = kb.index([DATA / corpus / "corpus.jsonl.gz"])
    took = {"cpu_s": round(time.process_time() - cpu, 1), "wall_s": round(time.perf_counter() - wall, 1)}
    return kb, took if report.embedded else {}


def search(models: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """InsuranceQA's dev questions over all its documents."""
    dataset = load_dataset(DATA / "insuranceqa", split="dev")
    runs: dict[Mode, dict[str, Run]] = {mode: {} for mode in MODES}
    took, words = {}, None
    for name, model in models.items():
        kb, took[name] = served(name, model, "insuranceqa", folder=folder)
        with kb:
            for mode in MODES:
                runs[mode][name] = kb.run(dataset.judged, mode=mode)
            words = words or kb.run(dataset.judged, mode="lexical")
    found: dict[str, Any] = {"queries": len(dataset.judged), "index": took, "modes": {}}
    for mode, by_model in runs.items():
        verdict = compare(by_model["shared"], by_model["dual"], dataset.relevant, metric=METRIC)
        means = {name: asdict(summary(run, dataset.relevant, [METRIC])[0]) for name, run in by_model.items()}
        found["modes"][mode] = {"scores": means, "verdict": plain(verdict)}
    if words is not None:
        found["lexical"] = asdict(summary(words, dataset.relevant, [METRIC])[0])
    return found


def answers(models: Mapping[str, str], folder: Path, limit: int | None) -> dict[str, Any]:
    """CovidQA's questions, all answered by quoting."""
    questions = read_questions(DATA / "covidqa" / "qa.jsonl.gz").first(limit)
    reports: dict[str, AnswerReport] = {}
    for name, model in models.items():
        kb, _ = served(name, model, "covidqa", folder=folder)
        with kb:
            reports[name] = evaluate_answers(kb, questions, settings=AskSettings(abstain_below=0.0))
        print(name, {score.metric: round(score.mean, 4) for score in reports[name].scores}, flush=True)
    saved = {name: values[F1] for name, values in reports["shared"].values.items()}
    verdict = compare_with_saved(reports["dual"], saved, ("shared", "dual"))
    return {
        "questions": len(questions.questions),
        "scores": {name: [asdict(score) for score in report.scores] for name, report in reports.items()},
        "curves": {name: [asdict(point) for point in report.curve] for name, report in reports.items()},
        "verdict": plain(verdict),
    }


def plain(verdict: Verdict) -> dict[str, Any]:
    """A verdict without the single questions."""
    body = {name: value for name, value in verdict.to_json().items() if name != "changed"}
    return {**body, "explained": verdict.explain()}


if __name__ == "__main__":
    main()
