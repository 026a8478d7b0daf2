"""docs/abstaining.md and its picture from the figures of abstain.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.fit.abstention import FOREIGN, WHOLE

from bench.answers.abstain_sets import ARTICLE, DOCUMENT

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PICTURE = DOCS / "abstaining.md", DOCS / "images" / "abstaining.png"
# Okabe and Ito: told apart by colour-blind eyes too.
_BLUE, _ORANGE, _GREEN, _GREY, _INK = "#0072B2", "#D55E00", "#009E73", "#767676", "#222222"
_LINES = (
    ("confidence", "confidence", _BLUE, 2.6),
    ("cosine", "top cosine", _ORANGE, 1.6),
    ("bm25", "top BM25 score", _GREEN, 1.6),
    ("fused", "top fused score", _GREY, 1.6),
)

HEAD = """\
# Saying "not in these documents"

Written by `bench/answers/abstain.py` from `bench/results/abstain.json`; do not edit.

Before an answer is given, a confidence says how likely it is that the passages hold one. Below a threshold
the outcome is "not in these documents"; the passages are still shown. The confidence is a logistic model of
four signals, the same for every collection and mode:

| signal | what it is | weight | alone: AUC |
|---|---|---|---|
"""

MEANING = {
    "chunk": "cosine of question and best candidate, with passages drawn from the corpus at 0",
    "sentence": "the same of the best sentence among six that hold most of the question's words",
    "mass": "mean rarity of the question's words that the first passage holds",
    "rarest": "rarity of the rarest of these",
}

METHOD = """
*AUC* is how often a question with its documents there scores above one without them; 0.5 is chance. Alone:
mean over the development sets and kinds of removal.

Documents are taken away by restricting the search to all others. *Document removed*: all relevant ones, and
nothing else, so that for COVID-QA the rest of the very article stays, 120 words on either side of the
evidence included. *Article removed*: every part of the article. *Another set's question*: one about something
else altogether, which nothing was removed for.

Weights and threshold were fitted on rhdh_docs, XQuAD (English), InsuranceQA (train), SciFact (train) and
Cranfield; COVID-QA is only measured. All with all-MiniLM-L6-v2 in hybrid mode. The threshold, {threshold}, is
where both errors are alike on the development sets: on average as many questions are answered whose documents
are there as are abstained on whose documents are not.

## COVID-QA

![What is answered against what is abstained on](images/abstaining.png)

{questions} questions; a passage that may be cited holds the evidence of {evidence:.1%} while it is there.

| removed | score | AUC | answered where 80 % are abstained on |
|---|---|---|---|
"""

THRESHOLD = """
Intervals are 95 % (paired bootstrap over questions). *Difference* is the confidence's to that score.

At the default threshold {answered:.1%} of the questions are answered with everything there. Abstained on are
"""

SETS = """
## Other sets, each left out of the fit

A model of the other four sets, with their threshold. *Top score*: the best of the fused score, the cosine and
BM25 on that very set.

| set | evidence found | removed | AUC | top score's | answered | abstained | answered at 80 % abstained |
|---|---|---|---|---|---|---|---|
"""

MODES = """
## Other modes, on COVID-QA

The same weights and threshold.

| mode | removed | AUC | top cosine's or BM25's | answered | abstained |
|---|---|---|---|---|---|
"""

TAIL = """
## What it costs

{cost[median]} ms of processor time a question beyond search and passages, on one thread (median of
{cost[runs]}; {cost[min]} to {cost[max]}): the question and at most six sentences are encoded.

## What to expect

A threshold is a trade-off, and yours may be another: `AskSettings(abstain_below=...)`, 0 never abstains. A
question about something else altogether is told well. One whose article is there and whose passage is not is
told badly: neighbouring passages speak of the same things in the same words, and where the evidence was not
among the first passages to begin with, nothing that is looked at changes when it goes. A collection that says
everything many times over, as InsuranceQA does, has an answer still when the judged ones are gone. In dense
mode the first passage holds fewer of the question's words, and more is abstained on at the same threshold.
"""


def write_page(record: Mapping[str, Any]) -> None:
    """Both."""
    PAGE.write_text(page(record), encoding="utf-8")
    plot(record["test"], PICTURE)


def page(record: Mapping[str, Any]) -> str:
    """The page for people."""
    test = record["test"]
    weights = [
        f"| `{name}` | {MEANING[name]} | {weight:.2f} | {record['alone'][name]:.3f} |"
        for name, weight in record["weights"].items()
    ]
    lines = ["\n".join(weights)]
    lines.append(
        METHOD.format(
            threshold=record["threshold"], questions=test["questions"], evidence=test["evidence_found"]
        ).rstrip("\n")
    )
    lines += [row for kind in (DOCUMENT, ARTICLE) for row in _against(kind, test[kind]["against"])]
    kinds = [f"{test[kind]['abstained']:.1%} ({kind})" for kind in (DOCUMENT, ARTICLE, FOREIGN)]
    lines.append(THRESHOLD.format(answered=test["answered"]).rstrip("\n"))
    lines.append(", ".join(kinds) + ".")
    lines.append(SETS.rstrip("\n"))
    lines += [row for name, own in record["left_out"].items() for row in _set(name, own)]
    lines.append(MODES.rstrip("\n"))
    lines += [row for mode, own in record["modes"].items() for row in _mode(mode, own)]
    return HEAD + "\n".join(lines) + "\n" + TAIL.format(cost=record["cost_ms"])


def _against(kind: str, against: Mapping[str, Any]) -> list[str]:
    first = next(iter(against.values()))
    own, share = (_with(first[what]["model"]) for what in ("auc", "answered_at_80"))
    rows = [f"| {kind} | confidence | {own} | {share} |"]
    for name, label, _, _ in _LINES[1:]:
        other = against[name]
        cells = [
            f"{_with(other[what]['simple'])}; difference {_with(other[what]['difference'])}"
            for what in ("auc", "answered_at_80")
        ]
        rows.append(f"| | {label} | {cells[0]} | {cells[1]} |")
    return rows


def _with(figure: Sequence[float]) -> str:
    return f"{figure[0]:.3f} [{figure[1]:.3f}, {figure[2]:.3f}]"


def _kinds(own: Mapping[str, Any]) -> list[str]:
    return [kind for kind in (DOCUMENT, ARTICLE, FOREIGN) if kind in own]


def _set(name: str, own: Mapping[str, Any]) -> list[str]:
    rows = []
    for at, kind in enumerate(_kinds(own)):
        one = own[kind]
        head = f"{name} | {own['evidence_found']:.1%}" if at == 0 else " | "
        rows.append(
            f"| {head} | {kind} | {one['auc']:.3f} | {max(one['simple'].values()):.3f} "
            f"| {own['answered']:.1%} | {one['abstained']:.1%} | {one['answered_at_80']:.1%} |"
        )
    return rows


def _mode(mode: str, own: Mapping[str, Any]) -> list[str]:
    score = "cosine" if mode == "dense" else "bm25"
    return [
        f"| {mode if at == 0 else ''} | {kind} | {own[kind]['auc']:.3f} | {own[kind]['simple'][score]:.3f} "
        f"| {own['answered']:.1%} | {own[kind]['abstained']:.1%} |"
        for at, kind in enumerate(_kinds(own))
    ]


def plot(test: Mapping[str, Any], path: Path) -> None:
    """A panel for each kind of removal: the share answered over the share abstained on."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.4, 4.7), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, (DOCUMENT, ARTICLE), strict=True):
        _panel(axes, kind, test[kind]["curves"])
        axes.plot(
            test[kind]["abstained"],
            test["answered"],
            "o",
            color=_BLUE,
            markersize=8,
            label="default threshold",
        )
    panels[0].set_ylabel("answered, everything there", color=_INK)
    panels[0].legend(frameon=False, fontsize=9, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def _panel(axes: Any, kind: str, curves: Mapping[str, Any]) -> None:
    for name, label, colour, width in _LINES:
        across, up = zip(*curves[name], strict=True)
        axes.plot(across, up, color=colour, linewidth=width, label=label)
    axes.plot([0, 1], [1, 0], color=_GREY, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.plot([0.8, 0.8, 1], [1, 0.8, 0.8], color=_INK, linewidth=1, linestyle=(0, (5, 3)))
    axes.text(0.99, 0.99, "goal", ha="right", va="top", fontsize=9, color=_INK)
    axes.set_title(f"COVID-QA, {kind}", loc="left", fontsize=11, color=_INK)
    axes.set_xlabel(f"abstained on, {kind}", color=_INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.01)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


__all__ = ["WHOLE", "page", "plot", "write_page"]
