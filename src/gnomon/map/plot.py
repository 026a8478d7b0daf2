"""The map as a picture: points by cluster, with their words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gnomon.core.errors import InvalidInput, missing_extra
from gnomon.core.files import replacing, storage_errors
from gnomon.map.collection_map import CollectionMap
from gnomon.map.fits import ProjectionName

_FORMATS = (".png", ".svg", ".pdf")
# Paul Tol's "muted" scheme (https://personal.sron.nl/~pault): told apart by colour-blind eyes too; used in turn.
_COLOURS = ("#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499")


def plot_map(drawn: CollectionMap, path: str | Path, *, projection: ProjectionName = "pca") -> Path:
    """Draw all chunks, coloured by cluster, with three words at each cluster's middle. The suffix decides the format.

    Raises InvalidInput for another suffix than .png, .svg and .pdf, without matplotlib, and as `points` does.
    """
    target = Path(path)
    if target.suffix not in _FORMATS:
        raise InvalidInput(f"a picture {target.name!r}", expected=f"a file that ends in {', '.join(_FORMATS)}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", extra="plot") from error
    state, points = drawn.state(), drawn.points(projection)
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots()
    colours = np.array(_COLOURS)[points.clusters % len(_COLOURS)] if len(points) else []
    size = float(np.clip(20_000 / max(1, len(points)), 0.3, 12))
    axes.scatter(points.positions[:, 0], points.positions[:, 1], c=colours, s=size, linewidths=0, rasterized=True)
    for label in state.clusters:
        if label.size:
            x, y = np.median(points.positions[points.clusters == label.cluster], axis=0)
            box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1}
            axes.text(x, y, label.text, fontsize=7, ha="center", va="center", bbox=box, parse_math=False)
    axes.set_axis_off()
    share = f", {state.variance:.0%} of the variance" if projection == "pca" else ""
    axes.set_title(f"{len(points):,} passages of {state.version.name}, {projection}{share}", fontsize=9, loc="left")
    with storage_errors(target.parent), replacing(target) as beside:
        figure.savefig(beside, format=target.suffix[1:], dpi=160, facecolor="white")
    return target
