"""How well "not in these documents" is told: measures the confidence and its threshold.

    python -m bench abstain [--folder WORK] [--only-signals]

Both ship as `tools/fit/abstention.py` fitted them, on development sets alone; here each of these is left out of a fit
once, and COVID-QA is only measured. Writes results/abstain.json, docs/abstaining.md and its picture. What was found is
kept in the work folder, so that a second run searches nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tools.fit.abstention import FOREIGN, WHOLE, even_threshold, fit, log_odds, removals, share

import gnomon
from bench import pages
from bench.answers.abstain_fit import WANTED, answered_at, auc, compared, curve
from bench.answers.abstain_page import draw
from bench.answers.abstain_sets import DEVELOPMENT, SCORES, TEST, Asked, asked, sampled
from bench.data import DATA
from bench.record import spread, write
from gnomon.answer.abstention import SIGNAL_NAMES, compute_signals
from gnomon.answer.context import select_passages
from gnomon.answer.fitted import FittedModel, load_fitted
from gnomon.answer.settings import ContextSettings
from gnomon.core.ranking import Query
from gnomon.evaluate.datasets import load_dataset

_TIMED = 60
_IN_MODES = 150


def main() -> None:
    """Measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only-signals", action="store_true", help="compute the signals that the fit takes")
    given = arguments.parse_args()
    sets = {case.label: asked(case, "hybrid", given.folder) for case in DEVELOPMENT}
    if given.only_signals:
        return
    model = load_fitted("abstention")
    threshold = math.log(model.threshold / (1 - model.threshold))
    left_out = {name: _left_out(sets, name) for name in sets}
    print(json.dumps(left_out, indent=1))
    record: dict[str, Any] = {
        "weights": dict(model.weights),
        "bias": model.bias,
        "threshold": model.threshold,
        "left_out": left_out,
        "alone": {name: _alone(sets, name) for name in SIGNAL_NAMES},
        "test": measured(model, threshold, asked(TEST, "hybrid", given.folder)),
        "modes": {
            mode: brief(model, threshold, asked(replace(TEST, questions=_IN_MODES), mode, given.folder))
            for mode in ("dense", "lexical")
        },
        "cost_ms": cost(given.folder),
    }
    write("abstain", record)
    draw(record["test"])
    pages.write("abstaining")


def _odds(model: FittedModel, one: Asked) -> dict[str, Any]:
    return log_odds(model.weights, model.bias, one)


def _left_out(sets: Mapping[str, Asked], name: str) -> dict[str, Any]:
    """What a model of the other sets is worth on this one, at a threshold of the others."""
    others = [one for other, one in sets.items() if other != name]
    weights, bias = fit(others)
    threshold = even_threshold(others, [log_odds(weights, bias, one) for one in others])
    return brief(FittedModel(weights, bias, share(threshold)), threshold, sets[name])


def brief(model: FittedModel, threshold: float, one: Asked) -> dict[str, Any]:
    """Each kind of removal: the area under the curve beside the simple scores', and the shares."""
    odds = _odds(model, one)
    return {
        "questions": len(one.questions),
        "evidence_found": round(float(one.evidence[WHOLE].mean()), 4),
        "answered": _of(odds[WHOLE] >= threshold),
        **{
            kind: {
                "abstained": _of(odds[kind] < threshold),
                "auc": round(auc(odds[WHOLE], odds[kind]), 4),
                "auc_with_evidence": round(auc(odds[WHOLE][one.evidence[WHOLE]], odds[kind]), 4),
                "answered_at_80": round(answered_at(odds[WHOLE], odds[kind]), 4),
                "simple": {
                    name: round(auc(one.scores[WHOLE][:, at], one.scores[kind][:, at]), 4)
                    for at, name in enumerate(SCORES)
                },
            }
            for kind in (*removals(odds), FOREIGN)
        },
    }


def _of(flags: Any) -> float:
    return round(float(flags.mean()), 4)


def _alone(sets: Mapping[str, Asked], name: str) -> float:
    """A signal by itself: the mean over sets and kinds of removal of its area under the curve."""
    at = SIGNAL_NAMES.index(name)
    areas = [
        auc(one.signals[WHOLE][:, at], one.signals[kind][:, at])
        for one in sets.values()
        for kind in removals(one.signals)
    ]
    return round(sum(areas) / len(areas), 4)


def measured(model: FittedModel, threshold: float, one: Asked) -> dict[str, Any]:
    """The test set, with intervals and curves, against each simple score."""
    odds, made = _odds(model, one), brief(model, threshold, one)
    for kind in removals(odds):
        made[kind]["against"], made[kind]["curves"] = {}, {"confidence": curve(odds[WHOLE], odds[kind])}
        for at, name in enumerate(SCORES):
            there, gone = one.scores[WHOLE][:, at], one.scores[kind][:, at]
            made[kind]["against"][name] = compared(odds[WHOLE], odds[kind], there, simple_gone=gone)
            made[kind]["curves"][name] = curve(there, gone)
        made[kind]["goal"] = WANTED
    return made


def cost(folder: Path) -> dict[str, Any]:
    """Milliseconds of processor time that signals take beyond search and passages, on one thread."""
    dataset = load_dataset(DATA / TEST.name, split=TEST.split)
    questions: Sequence[str] = [dataset.judged[name] for name in sampled(dataset, _TIMED)]
    encoder = gnomon.load_encoder("all-MiniLM-L6-v2", settings=gnomon.EncoderSettings(threads=1))
    taken = []
    with gnomon.open(folder / TEST.label, encoder=encoder) as kb:
        retriever = kb.retriever()
        for text in questions:
            ranking = retriever([Query(text)], k=30)[0]
            passages = select_passages(kb, ranking, ContextSettings())
            started = time.process_time()
            compute_signals(kb, text, ranking, passages=passages)
            taken.append(1000 * (time.process_time() - started))
    return {**spread(taken[5:], 1), "runs": len(taken) - 5}


if __name__ == "__main__":
    main()
