"""What docs/training-figures.md is made of, from the results of six benchmarks; what has not run is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BENCHMARKS = ("train", "train_kinds", "train_rerank", "words", "context", "seen")
STAGES = ("start", "speed", "reference", "equal", "best", "short", "shorter")
KINDS = ("sts", "shared", "dual", "words", "bi", "late", "cross")
METHODS = ("word2vec", "cbow", "fasttext", "glove", "glove-text8", "glove-less-2")
MODELS = {
    "start": "the model they begin with",
    "reference": "sentence-transformers, bf16",
    "equal": "gnomon, equal settings",
    "best": "gnomon, best recipe",
    "short": "gnomon, for 128 dimensions",
    "shorter": "gnomon, that and an epoch more",
}
PREFIXES = {
    "best": "the best recipe",
    "short": "the recipe for 128 dimensions",
    "shorter": "that with an epoch more",
}
KIND_NAMES = {
    "sts": "scored pairs (STS-B, CoSENT)",
    "shared": "from random weights, one tower",
    "dual": "from random weights, two towers",
    "bi": "bi-encoder from MiniLM",
    "late": "late interaction from MiniLM",
    "cross": "cross-encoder, matched tokens, taught",
}
Results = dict[str, Any]
Row = tuple[Any, ...]


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    found = {name: results(name) for name in BENCHMARKS}
    train, stages = found["train"] or {}, (found["train_kinds"] or {}).get("stages", {})
    return {
        "runs": [(n, r["when"][:10], r["commit"], r["machine"]["python"]) for n, r in found.items() if r],
        "tokens": train.get("tokens", 128),
        "beside": [_model(train[stage], stage, name) for stage, name in MODELS.items() if stage in train],
        "prefixes": [(of, train[at]["share_kept"]) for at, of in PREFIXES.items() if "share_kept" in train.get(at, {})],
        "speed": _speed(train.get("speed")),
        "missing_stages": [stage for stage in STAGES if stage not in train],
        "kinds": [_gain(name, stages[k], gain) for k, name in KIND_NAMES.items() for gain in _gains(stages, k)],
        "bm25": stages.get("words"),
        "missing_kinds": [stage for stage in KINDS if stage not in stages],
        "rerank": found["train_rerank"] and _rerank(found["train_rerank"]["sets"]),
        "words": found["words"] and _words(found["words"]),
        "context": found["context"] and _in_context(found["context"]),
        "seen": found["seen"] and _seen(found["seen"]),
    }


def _model(one: Results, stage: str, name: str) -> Row:
    timed = stage != "short" and "wall_s" in one  # that one may have been stopped in between
    minutes = f"{one['wall_s'] / 60:.1f}" if timed else ""
    return name, f"{one['ndcg_at_10']:.4f}", one.get("steps", ""), one.get("pairs_a_cpu_s", ""), minutes


def _speed(speed: Results | None) -> Results | None:
    if not speed:
        return None
    both = zip(speed["rounds"], speed["ratios"], strict=True)
    return {**speed, "rows": [(one["gnomon"], one["reference_bf16"], ratio) for one, ratio in both]}


def _gains(stages: Results, kind: str) -> list[Results]:
    return list(stages.get(kind, {}).get("gains", ()))


def _gain(name: str, one: Results, gain: Results) -> Row:
    low, high = gain["interval"]
    interval = "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    where = (f"{gain['set']} ({gain['split']})", gain["metric"])
    numbers = (f"{gain['start']:.4f}", f"{gain['end']:.4f}", interval)
    return (name, *where, *numbers, gain["outcome"] or "", round(one["whole_cpu_s"] / 60))


def _rerank(sets: Results) -> Results:
    """Means and verdicts, set by set."""
    means, verdicts = list[Row](), list[Row]()
    for name, one in sets.items():
        apart = one["apart"]
        for system, mean in one["means"].items():
            own = f"{apart['means'][system]:.4f}"
            means.append((name, one["queries"], system, f"{mean:.4f}", apart["queries"], own))
        for verdict in one["verdicts"]:
            low, high = verdict["interval"]
            figures = (f"{verdict['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", verdict["outcome"])
            verdicts.append((name, verdict["candidate"], verdict["baseline"], *figures))
    return {"means": means, "verdicts": verdicts}


def _words(found: Results) -> Results:
    rows = []
    for name, one in found["runs"].items():
        analogies = one["analogies"]
        alike = [f"{one[task]['Spearman'][0]:.3f}" for task in ("wordsim353", "simlex999")]
        covered = f"{analogies['covered'] / analogies['n']:.0%}"
        rows.append((name, f"{analogies['3CosAdd']:.1%}", covered, *alike, round(one["cpu_s"] / 60)))
    return {**found, "rows": rows, "missing": [one for one in METHODS if one not in found["runs"]]}


def _in_context(found: Results) -> Results:
    rows = []
    for name, one in found["ways"].items():
        both = (one["accuracy"], one["ROC AUC"])
        rows.append((name, *("{:.3f} [{:.3f}, {:.3f}]".format(v["value"], *v["interval"]) for v in both)))
    return {**found, "rows": rows}


def _seen(found: Results) -> Results:
    rows = []
    for name, one in found["models"].items():
        for when in ("start", "trained"):
            own = one[when]
            same = "yes" if own["same_space"] else "no"
            rows.append((name, when, f"{own['overlap']:.2f}", f"{own['cosine']:.3f}", same))
    return {**found, "rows": rows}
