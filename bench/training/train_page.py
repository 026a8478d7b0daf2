"""docs/training-figures.md from the results of five benchmarks.

    python -m bench train_page

Figures that are not there are named as not measured. Measures nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results"
FIGURES = HERE.parent / "docs" / "training-figures.md"
BENCHMARKS = ("train", "train_kinds", "train_rerank", "words", "context", "seen")
STAGES = ("start", "speed", "reference", "equal", "best", "short", "shorter")
KINDS = ("sts", "shared", "dual", "words", "bi", "late", "cross")
Results = dict[str, Any]

HEAD = """\
# Training, measured

Written by `bench/training/train_page.py` from `bench/results`; do not edit. How to train: [training.md](training.md).

| benchmark | when | commit | Python |
|---|---|---|---|
"""
BESIDE = """
## Beside sentence-transformers

all-MiniLM-L6-v2 trained on the pairs of InsuranceQA's train split, texts cut at {tokens} tokens. *Equal*:
one epoch of the same pairs, with the same batch, rate, schedule, loss and precision. *Best*: a recipe of
gnomon's own. Every model is judged alike: encoded by gnomon's runtime, the first 600 dev queries over all
documents.

"""
KINDS_HEAD = """
## The other kinds

Each row is the report of one run.

"""
KIND_NAMES = {
    "sts": "scored pairs (STS-B, CoSENT)",
    "shared": "from random weights, one tower",
    "dual": "from random weights, two towers",
    "bi": "bi-encoder from MiniLM",
    "late": "late interaction from MiniLM",
    "cross": "cross-encoder, matched tokens, taught",
}
RERANK_HEAD = """
## Which kind ranks best

Models from all-MiniLM-L6-v2, trained for one epoch on the same 6,000 pairs of InsuranceQA's train split and
all of SciFact's: the bi-encoder over all documents and over BM25's first 100, the others over these 100.
Texts were cut at 256 tokens. Verdicts as `gnomon compare` gives them. *Questions apart* have no right
document that was right for a training question too: what is known of a document helps with the others.

*cross* matches tokens (`head = "maxsim"`). It begins as the late interaction model, reads pairs of at most
224 tokens, and learns the order that bi-encoder, late interaction and BM25 together give five documents at a
time: each pair above with others twice (SciFact: five times), and InsuranceQA's other training questions
once, without their answers. *late-taught* is the late interaction model after 7,200 of the same lessons.

"""
WORDS_HEAD = """
## Word vectors

Trained on {corpus}, 200 dimensions, one worker. *Analogies*: the share that is right
(3CosAdd) of those whose words are all known. The rest is Spearman's correlation with people's judgments.

"""
CONTEXT_HEAD = """
## Words in context

{set}, {model}.
Does the cosine of the word's vectors say that two sentences use it in one sense?
More in [context.md](context.md).

"""
SEEN_HEAD = """
## Two seeds

One recipe and one set of data with two seeds. *Neighbours* is the share of a text's {k} nearest that both
models agree on, {chance:.2f} by chance. *Cosine* is that of the two models' vectors of one text. More in
[seen.md](seen.md).

"""


def main() -> None:
    """Write the page."""
    FIGURES.write_text(figures_page(read_results()), encoding="utf-8")


def read_results(folder: Path = RESULTS) -> Results:
    """What each benchmark found, by its name; those that did not run are left out."""
    paths = {name: folder / f"{name}.json" for name in BENCHMARKS}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.is_file()}


def figures_page(found: Results) -> str:
    """The whole page; what is not there is named."""
    rows = [(n, r["when"][:10], r["commit"], r["machine"]["python"]) for n, r in found.items()]
    out = [HEAD, *map(row, rows)]
    out.append(beside(found.get("train", {})))
    out.append(kinds(found.get("train_kinds", {}).get("stages", {})))
    if "train_rerank" in found:
        out.append(rerank(found["train_rerank"]["sets"]))
    else:
        out.append(missing(["train_rerank"]))
    makers = {"words": words, "context": context, "seen": seen}
    for name, make in makers.items():
        out.append(make(found[name]) if name in found else f"\n## {name.title()}\n\n{missing([name])}")
    return "".join(out)


def beside(found: Results) -> str:
    """gnomon and sentence-transformers."""
    names = {
        "start": "the model they begin with",
        "reference": "sentence-transformers, bf16",
        "equal": "gnomon, equal settings",
        "best": "gnomon, best recipe",
        "short": "gnomon, for 128 dimensions",
        "shorter": "gnomon, that and an epoch more",
    }
    out = [BESIDE.format(tokens=found.get("tokens", 128))]
    if any(stage in found for stage in names):
        out.append(head("model", "nDCG@10", "steps", "pairs a CPU second", "minutes"))
    for stage, name in names.items():
        if one := found.get(stage):
            timed = stage != "short" and "wall_s" in one  # that one may have been stopped in between
            wall = f"{one['wall_s'] / 60:.1f}" if timed else ""
            out.append(
                row(
                    (
                        name,
                        f"{one['ndcg_at_10']:.4f}",
                        one.get("steps", ""),
                        one.get("pairs_a_cpu_s", ""),
                        wall,
                    )
                )
            )
    of_stages = {
        "best": "the best recipe",
        "short": "the recipe for 128 dimensions",
        "shorter": "that with an epoch more",
    }
    for stage, of in of_stages.items():
        if kept := found.get(stage, {}).get("share_kept"):
            out.append(f"\nOf the nDCG@10 of {of} the first 128 dimensions keep {kept:.1%}.\n")
    if speed := found.get("speed"):
        out.append("\nSteps of both in turn, one thread, pairs a CPU second:\n\n")
        out.append(head("gnomon", "sentence-transformers, bf16", "ratio"))
        both = zip(speed["rounds"], speed["ratios"], strict=True)
        out += [row((one["gnomon"], one["reference_bf16"], ratio)) for one, ratio in both]
        out.append(f"\nsentence-transformers in float32: {speed['reference_fp32']}.\n")
    return "".join(out) + missing(stage for stage in STAGES if stage not in found)


def kinds(stages: Results) -> str:
    """Every run's gains."""
    out = [KINDS_HEAD]
    if any(stage in stages for stage in KIND_NAMES):
        out.append(head("run", "set", "metric", "start", "trained", "95 % interval", "verdict", "CPU minutes"))
    for stage, name in KIND_NAMES.items():
        one = stages.get(stage, {})
        for gain in one.get("gains", ()):
            low, high = gain["interval"]
            interval = "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
            measured = (gain["metric"], f"{gain['start']:.4f}", f"{gain['end']:.4f}", interval)
            where = f"{gain['set']} ({gain['split']})"
            out.append(row((name, where, *measured, gain["outcome"] or "", round(one["whole_cpu_s"] / 60))))
    if bm25 := stages.get("words"):
        out.append("\nBM25 alone: " + ", ".join(f"{name} {value:.4f}" for name, value in bm25.items()) + ".\n")
    return "".join(out) + missing(stage for stage in KINDS if stage not in stages)


def rerank(sets: Results) -> str:
    """Means and verdicts, set by set."""
    out = [RERANK_HEAD, head("set", "questions", "system", "nDCG@10", "questions apart", "nDCG@10")]
    for name, one in sets.items():
        apart = one["apart"]
        for system, mean in one["means"].items():
            own = f"{apart['means'][system]:.4f}"
            out.append(row((name, one["queries"], system, f"{mean:.4f}", apart["queries"], own)))
    out += ["\n", head("set", "candidate", "against", "difference", "interval", "verdict")]
    for name, one in sets.items():
        for verdict in one["verdicts"]:
            low, high = verdict["interval"]
            figures = (f"{verdict['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", verdict["outcome"])
            out.append(row((name, verdict["candidate"], verdict["baseline"], *figures)))
    return "".join(out)


def words(found: Results) -> str:
    """Word vectors by method."""
    out = [WORDS_HEAD.format(**found)]
    out.append(head("method", "analogies", "covered", "WordSim-353", "SimLex-999", "CPU minutes"))
    for name, one in found["runs"].items():
        asked = one["analogies"]
        alike = [f"{one[name]['Spearman'][0]:.3f}" for name in ("wordsim353", "simlex999")]
        covered = f"{asked['covered'] / asked['n']:.0%}"
        out.append(row((name, f"{asked['3CosAdd']:.1%}", covered, *alike, round(one["cpu_s"] / 60))))
    absent = [
        one
        for one in ("word2vec", "cbow", "fasttext", "glove", "glove-text8", "glove-less-2")
        if one not in found["runs"]
    ]
    return "".join(out) + missing(absent)


def context(found: Results) -> str:
    """Words in two sentences."""
    out = [CONTEXT_HEAD.format(**found), head("vectors", "accuracy", "ROC AUC")]
    for name, one in found["ways"].items():
        both = (one["accuracy"], one["ROC AUC"])
        out.append(row((name, *("{:.3f} [{:.3f}, {:.3f}]".format(v["value"], *v["interval"]) for v in both))))
    return "".join(out)


def seen(found: Results) -> str:
    """What two seeds have in common."""
    out = [SEEN_HEAD.format(**found), head("model", "when", "neighbours", "cosine", "same space")]
    for name, one in found["models"].items():
        for when in ("start", "trained"):
            own = one[when]
            same = "yes" if own["same_space"] else "no"
            out.append(row((name, when, f"{own['overlap']:.2f}", f"{own['cosine']:.3f}", same)))
    return "".join(out)


def missing(names: Iterable[str]) -> str:
    """What was not measured, in words."""
    left = ", ".join(names)
    return f"\nNot measured yet: {left}.\n" if left else ""


def head(*names: str) -> str:
    """A table's head."""
    return row(names) + "|" + "---|" * len(names) + "\n"


def row(cells: Iterable[Any]) -> str:
    """A table's row."""
    return f"| {' | '.join(str(cell) for cell in cells)} |\n"


if __name__ == "__main__":
    main()
