"""Pictures of an embedding map: three stages of it, an animation, and the curve of alignment and uniformity."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput
from gnomon.kernels.geometry import principal_plane
from gnomon.train.report.embedding_map import EmbeddingMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours: told apart by colour-blind eyes too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6914", "#555555")
_INK, _SOFT = "#222222", "#767676"
_BETWEEN, _MOVING_MS, _STILL_MS = 3, 120, 700


@dataclass(frozen=True, eq=False)
class EmbeddingPlane:
    """Points [stage, text, 2] of queries and documents in one plane, and the variance that it holds."""

    queries: Float[np.ndarray, "stages queries 2"]
    documents: Float[np.ndarray, "stages documents 2"]
    share: float

    @classmethod
    def of(cls, stages: EmbeddingMap) -> EmbeddingPlane:
        """One plane for all stages, so that they can be compared: that of the anchors' own texts.

        The other texts, of the curve, are NaN.
        """
        anchors = sorted({a.query for a in stages.tracked.anchors})
        found = sorted({d for a in stages.tracked.anchors for d in (*a.positives, *a.negatives)})
        shown = np.concatenate([stages.queries[:, anchors], stages.documents[:, found]], axis=1)
        number, count, dim = shown.shape
        points, share = principal_plane(shown.reshape(-1, dim))
        placed = points.reshape(number, count, 2)
        queries = np.full((*stages.queries.shape[:2], 2), np.nan)
        documents = np.full((*stages.documents.shape[:2], 2), np.nan)
        queries[:, anchors], documents[:, found] = placed[:, : len(anchors)], placed[:, len(anchors) :]
        return cls(queries, documents, share)

    @property
    def limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ends of both axes, with a little room."""
        every = np.concatenate([self.queries.reshape(-1, 2), self.documents.reshape(-1, 2)])
        low, high = np.nanmin(every, axis=0), np.nanmax(every, axis=0)
        room = 0.08 * np.maximum(high - low, 1e-6)
        (left, below), (right, above) = (low - room).tolist(), (high + room).tolist()
        return (left, right), (below, above)


def draw_map(stages: EmbeddingMap, path: Path) -> Path:
    """Three panels as a PNG: the first stage, the middle one, the last. Raises InvalidInput without matplotlib."""
    plane = EmbeddingPlane.of(stages)
    last = len(stages.steps) - 1
    shown = sorted({0, last // 2, last})
    with figures() as new:
        figure = new((4.1 * len(shown), 4.9))
        for axes, stage in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
            _panel(axes, stages, plane, stage=stage)
            axes.set_title(_title(stages, stage), fontsize=10, color=_INK, loc="left", parse_math=False)
        _legend(figure, stages, plane.share)
        figure.savefig(path, format="png", facecolor="white")
    return path


def draw_animation(stages: EmbeddingMap, path: Path) -> Path:
    """The map from stage to stage as a GIF, points moving straight. Raises InvalidInput without matplotlib."""
    plane, last = EmbeddingPlane.of(stages), len(stages.steps) - 1
    images = []
    with figures() as new:
        from PIL import Image

        figure = new((4.4, 4.4), dpi=80, constrained=False)
        axes = figure.add_axes((0.02, 0.02, 0.96, 0.86))
        for stage, share in _frames(last):
            axes.clear()
            _panel(axes, stages, plane, stage=stage, share=share)
            axes.set_title(_title(stages, stage), fontsize=9, color=_INK, loc="left", parse_math=False)
            figure.canvas.draw()
            images.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))
    still = [_STILL_MS, *[_MOVING_MS] * (len(images) - 2), 2 * _STILL_MS][-len(images) :]
    images[0].save(path, format="GIF", save_all=True, append_images=images[1:], duration=still, loop=0)
    return path


def draw_curve(stages: EmbeddingMap, path: Path) -> Path:
    """Alignment and uniformity over the steps as a PNG. Raises InvalidInput without matplotlib."""
    rows = stages.curve()
    count = len(rows) - stages.ended
    with figures() as new:
        figure = new((8.2, 3.4))
        for axes, at, name in zip(figure.subplots(1, 2), (1, 2), ("alignment", "uniformity"), strict=True):
            axes.plot([r[0] for r in rows[:count]], [r[at] for r in rows[:count]], "o-", color=_COLOURS[0])
            if stages.ended:
                axes.plot([rows[-1][0]], [rows[-1][at]], "*", color=_COLOURS[1], markersize=13)
            axes.set_title(f"{name} (lower is better)", fontsize=10, color=_INK, loc="left")
            axes.set_xlabel("step", color=_SOFT)
            axes.tick_params(colors=_SOFT, labelsize=9)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        figure.savefig(path, format="png", facecolor="white")
    return path


@contextmanager
def figures() -> Iterator[Any]:
    """A function that makes figures of a size. Raises InvalidInput if matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InvalidInput(
            "matplotlib, which draws the map, is not installed",
            expected="the extra `plot`",
            hint="pip install 'gnomon[plot]'",
        ) from error

    def new(size: tuple[float, float], *, dpi: int = 100, constrained: bool = True) -> Any:
        figure = Figure(figsize=size, dpi=dpi, layout="constrained" if constrained else None)
        FigureCanvasAgg(figure)
        return figure

    with warnings.catch_warnings():
        # Scripts that the font lacks are drawn as boxes, with a warning for each letter.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield new


def _panel(axes: Axes, stages: EmbeddingMap, plane: EmbeddingPlane, *, stage: int, share: float = 0.0) -> None:
    """One stage, or a `share` of the way to the next."""
    after = min(stage + 1, len(stages.steps) - 1)
    queries = (1 - share) * plane.queries[stage] + share * plane.queries[after]
    documents = (1 - share) * plane.documents[stage] + share * plane.documents[after]
    for number, anchor in enumerate(stages.tracked.anchors):
        colour, at = _COLOURS[number % len(_COLOURS)], queries[anchor.query]
        right, wrong = documents[list(anchor.positives)], documents[list(anchor.negatives)]
        for point in right:
            axes.plot(*zip(at, point, strict=True), color=colour, linewidth=1, alpha=0.55)
        axes.scatter(wrong[:, 0], wrong[:, 1], marker="x", s=34, color=colour, linewidth=1.2, alpha=0.8)
        axes.scatter(right[:, 0], right[:, 1], s=44, color=colour)
        axes.scatter(at[0], at[1], marker="*", s=210, color=colour, edgecolor="white", zorder=3)
    across, along = plane.limits
    axes.set_xlim(*across)
    axes.set_ylim(*along)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#CCCCCC")


def _title(stages: EmbeddingMap, stage: int) -> str:
    near, far = stages.cosines(stage)
    last = stages.ended and stage == len(stages.steps) - 1
    name = f"kept: step {stages.steps[stage]:,}" if last else f"step {stages.steps[stage]:,}"
    return f"{name}\ncosine to positives {near:.2f}, to negatives {far:.2f}"


def _legend(figure: Any, stages: EmbeddingMap, share: float) -> None:
    """The anchors' words below the panels: text, not mathematics, whatever signs it holds."""
    lines = [
        (_short(stages.tracked.queries[anchor.query]), _COLOURS[number % len(_COLOURS)])
        for number, anchor in enumerate(stages.tracked.anchors)
    ]
    signs = "star: query, dot: its documents, cross: documents that only share its words"
    note = f"{signs}. The plane holds {share:.0%} of the variance"
    height = figure.get_figheight()
    room = 0.2 * (len(lines) + 1.5) / height
    figure.get_layout_engine().set(rect=(0, room, 1, 1 - room))
    for number, (words, colour) in enumerate([*lines, (note, _SOFT)]):
        y = room - 0.2 * (number + 0.75) / height
        figure.text(0.012, y, words, fontsize=9, color=colour, parse_math=False)


def _short(text: str, longest: int = 110) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _frames(last: int) -> list[tuple[int, float]]:
    """A stage and a share of the way to the next.

    >>> _frames(1)
    [(0, 0.0), (0, 0.3333333333333333), (0, 0.6666666666666666), (1, 0.0)]
    """
    moving = [(stage, part / _BETWEEN) for stage in range(last) for part in range(_BETWEEN)]
    return [*moving, (last, 0.0)]
