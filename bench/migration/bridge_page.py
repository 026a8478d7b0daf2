"""docs/embedding-adapter.md and its picture, from results/bridge.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"
# Okabe and Ito: told apart by colour-blind eyes too.
_COLOURS = {"hot": "#D55E00", "random": "#0072B2", "naive": "#999999", "old": "#222222"}
_NAMES = {
    "hot": "adapter, most-searched first",
    "random": "adapter, any order",
    "naive": "no adapter: both models' vectors in one index",
}
_HEAD = """# An embedding adapter between two models

Written by `bench/migration/bridge.py` from `bench/results/bridge.json`; do not edit.

While a new version is being built, most passages only have a vector of the old model. An *embedding adapter* is
a map from the new model's space to the old one, fitted on passages that both models have embedded. With it the
new model's queries are answered before its build is done: re-embedded passages are scored by their new vectors,
the others by their old ones through the adapter, on one scale of scores.

`gnomon migrate kb --to MODEL --adapter` fits one before it builds; `--hot-first --query-log FILE` embeds the
documents first that the queries of a log find most often. Until the gate is passed the old version answers as
before; the new model's answers come from `gnomon search kb QUESTION --version v2`, or
`gnomon.migrate.dual_index_retriever(kb, "v2").search(question)` in Python, with what each hit was found by.

Here from {old} to {new}; passages as `gnomon index` cuts them, searched by meaning
alone; parts of both sets, whose documents include all relevant ones. Maps are fitted on passages
of other documents of the set, as in a collection so large that they are a small part of it; chosen
and measured with queries of the training split. The maps' settings were settled on those too, but by people
who had seen figures of the judged ones in earlier rounds, and the bound of {min_pairs:,} pairs was set by
what the tables below show of them: what is kept is thus a little too good.

"""
_MAPS = """## The maps

`recall`: the share of the new model's own {recall_at} nearest of up to {max_held_out:,} passages that the map
was not fitted on, for training queries; `old model`: what the old model finds of them by itself. `first`: how
high the map puts the passage that the new model puts first, among those that are searched (mean reciprocal
rank, all training queries). nDCG@10 is that of the judged queries, before any passage is re-embedded; `kept` is
the share of the old version's, with a 95 % interval.

- `rotation`: orthogonal Procrustes (Schönemann 1966), about the means.
- `affine`: ridge regression from new to old vectors, of half the rank.
- `scores`: ridge regression from old to new vectors, transposed: it guesses the new model's scores.
- `ranked`: starts as `rotation` and is trained (Adam) for the new model's neighbours: the softmax over a
  passage's scores with others is to be the new model's. It is linear.
- `residual`: `ranked` with a hidden layer of 128 beside it, trained on in the same way.

`scores` is not tried by default: on scifact it puts the new model's first passage lower than any other map
does, which `recall` does not see, and in both sets judged queries find less by it than by `rotation`.
`residual` is not tried by default either: it takes more than twice as long and finds no more of the nearest.

"""
_OVER = """## During the build

![Quality against the share that is re-embedded](images/bridge.png)

Queries are asked unequally often (Zipf: the n-th most asked one n times less than the first); quality is what
users see. The order of re-embedding is from a log of {logged} such queries, answered through the
adapter: no judgment is used. *The most-asked tenth* are {tenth} queries.

"""
_LIMITS = """## What to know

- An adapter is refused below a recall of {min_recall:g} (`AdapterSettings.min_recall`), and if the old model's
  own recall is as high. Recall near 1 is out of reach: two models never agree so far on passages that were not
  re-embedded.
- Fewer than {min_pairs:,} pairs are refused too (`min_pairs`): the tables show what they lose, although
  recall among their own held-out passages is high. The passages that a map is fitted on are not embedded again.
- In the middle of a build in any order quality may be lower than at its beginning: true scores are ranked
  against calibrated ones. The effect is smaller with the most-searched first.
- The passages must be the same in both versions: with another passage length there are no pairs.
"""


def write_page(record: Mapping[str, Any]) -> None:
    """The page and the picture."""
    sets = record["sets"]
    _plot(sets, DOCS / "images" / "bridge.png")
    settings = record["settings"]
    lines = [_HEAD.format(old=record["from"], new=record["to"], **settings)]
    lines += ["| set | documents | passages | queries | old nDCG@10 | new nDCG@10 | adapter nDCG@10 | kept |\n"]
    lines += ["|---|---|---|---|---|---|---|---|\n"]
    for name, one in sets.items():
        chosen = one["bridge"]["chosen"]
        lines += [
            f"| {name} | {one['documents']:,} | {one['passages']:,} | {one['queries']} | {one['old']:.3f} | "
            f"{one['new']:.3f} | {chosen['ndcg']:.3f} ({chosen['kind']}) | {_kept(chosen)} |\n"
        ]
    lines += ["\n", _MAPS.format(**settings)]
    for name, one in sets.items():
        lines += [
            f"### {name}\n\n",
            "| map | pairs | recall | old model | first | nDCG@10 | kept | fitted in, CPU s |\n",
        ]
        lines += ["|---|---|---|---|---|---|---|---|\n"]
        fitted = one["bridge"]
        for row in [*fitted["kinds"].values(), *fitted["fewer_pairs"]]:
            lines += [
                f"| {row['kind']} | {row['pairs']:,} | {row['recall']:.3f} | "
                f"{row['recall_of_old_model']:.3f} | {row['first']:.3f} | {row['ndcg']:.3f} | "
                f"{_kept(row)} | {row['cpu_s']} |\n"
            ]
        lines += ["\n"]
    tenth = " and ".join(str(one["queries"] // 10) for one in sets.values())
    lines += [_OVER.format(logged=f"{record['logged']:,}", tenth=tenth)]
    for name, one in sets.items():
        lines += _during_build(name, one)
    (DOCS / "embedding-adapter.md").write_text("".join([*lines, _LIMITS.format(**settings)]), encoding="utf-8")


def _kept(row: Mapping[str, Any]) -> str:
    return f"{row['kept']:.1%} ({row['low']:.1%} to {row['high']:.1%})"


def _during_build(name: str, one: Mapping[str, Any]) -> list[str]:
    shares, tenth = one["shares"], one["tenth"]
    lines = [f"### {name}\n\n", "| re-embedded | " + " | ".join(f"{share:.0%}" for share in shares) + " |\n"]
    lines += ["|---" * (len(shares) + 1) + "|\n"]
    for key, title in _NAMES.items():
        lines += [f"| {title} | " + " | ".join(f"{value:.3f}" for value in one["asked"][key]) + " |\n"]
    for key in ("hot", "random"):
        lines += [f"| most-asked tenth: {_NAMES[key]} | " + " | ".join(f"{v:.3f}" for v in tenth[key]) + " |\n"]
    gap = tenth["less_than_new_after_a_tenth"]["hot"]
    low, high = gap["interval"]
    return [
        *lines,
        f"\nOld version until done: {one['old_asked']:.3f}, then {one['new_asked']:.3f}. Most-asked tenth: "
        f"{tenth['old']:.3f}, then {tenth['new']:.3f}; with a tenth re-embedded, most-searched first, it is "
        f"{gap['mean']:+.3f} off the new version (95 %: {low:+.3f} to {high:+.3f}).\n\n",
    ]


def _plot(sets: Mapping[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(sets), 7), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(sets), squeeze=False)
    for column, (name, one) in enumerate(sets.items()):
        share = [100 * value for value in one["shares"]]
        for row, (values, old, new, title) in enumerate(
            [
                (one["asked"], one["old_asked"], one["new_asked"], "all queries, as often as asked"),
                (one["tenth"], one["tenth"]["old"], one["tenth"]["new"], "the most-asked tenth"),
            ]
        ):
            axes = panels[row][column]
            axes.plot([0, 100, 100], [old, old, new], "--", color=_COLOURS["old"], label="old version until done")
            for key, label in _NAMES.items():
                axes.plot(share, values[key], "o-", color=_COLOURS[key], label=label, markersize=4)
            axes.set_title(f"{name}: {title}", fontsize=10)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("re-embedded, %")
            axes.set_ylabel("nDCG@10")
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(frameon=False, fontsize=8, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
