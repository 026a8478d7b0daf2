"""What docs/abstaining.md is made of, and its picture, from the figures of `abstain.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tools.fit.abstention import FOREIGN

from bench import pages
from bench.answers.abstain_sets import ARTICLE, DOCUMENT

PICTURE = pages.DOCS / "images" / "abstaining.png"
# Okabe and Ito: told apart by colour-blind eyes too.
_BLUE, _ORANGE, _GREEN, _GREY, _INK = "#0072B2", "#D55E00", "#009E73", "#767676", "#222222"
_LINES = (
    ("confidence", "confidence", _BLUE, 2.6),
    ("cosine", "top cosine", _ORANGE, 1.6),
    ("bm25", "top BM25 score", _GREEN, 1.6),
    ("fused", "top fused score", _GREY, 1.6),
)

_SIGNALS = {
    "chunk": "cosine of question and best candidate, with passages drawn from the corpus at 0",
    "sentence": "the same of the best sentence among six that hold most of the question's words",
    "mass": "mean rarity of the question's words that the first passage holds",
    "rarest": "rarity of the rarest of these",
}


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("abstain")
    test = figures["test"]
    return {
        "signals": [
            (f"`{name}`", _SIGNALS[name], f"{weight:.2f}", f"{figures['alone'][name]:.3f}")
            for name, weight in figures["weights"].items()
        ],
        "against": [(kind, _against(test[kind]["against"])) for kind in (DOCUMENT, ARTICLE)],
        "abstained": [f"{test[kind]['abstained']:.1%} ({kind})" for kind in _kinds(test)],
        "sets": [row for name, own in figures["left_out"].items() for row in _set(name, own)],
        "modes": [row for mode, own in figures["modes"].items() for row in _mode(mode, own)],
    }


def _against(scores: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The confidence, then each simple score with the confidence's difference to it."""
    metrics = ("auc", "answered_at_80")
    first = next(iter(scores.values()))
    rows = [("confidence", *(_interval(first[metric]["model"]) for metric in metrics))]
    for name, label, _, _ in _LINES[1:]:
        own = (scores[name][metric] for metric in metrics)
        rows.append((label, *(f"{_interval(o['simple'])}; difference {_interval(o['difference'])}" for o in own)))
    return rows


def _interval(figure: Sequence[float]) -> str:
    return f"{figure[0]:.3f} [{figure[1]:.3f}, {figure[2]:.3f}]"


def _kinds(own: Mapping[str, Any]) -> list[str]:
    return [kind for kind in (DOCUMENT, ARTICLE, FOREIGN) if kind in own]


def _set(name: str, own: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for at, kind in enumerate(_kinds(own)):
        one = own[kind]
        head = ("", "") if at else (name, f"{own['evidence_found']:.1%}")
        shares = (own["answered"], one["abstained"], one["answered_at_80"])
        areas = (one["auc"], max(one["simple"].values()))
        yield (*head, kind, *(f"{area:.3f}" for area in areas), *(f"{share:.1%}" for share in shares))


def _mode(mode: str, own: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    score = "cosine" if mode == "dense" else "bm25"
    for at, kind in enumerate(_kinds(own)):
        one = own[kind]
        areas, shares = (one["auc"], one["simple"][score]), (own["answered"], one["abstained"])
        yield ("" if at else mode, kind, *(f"{area:.3f}" for area in areas), *(f"{share:.1%}" for share in shares))


def draw(test: Mapping[str, Any]) -> None:
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
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, facecolor="white")


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
