"""The report of a comparison of models: one HTML page, and a plot of quality against the time of a query."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gnomon.collection.model_comparison import ModelComparison, Trial
from gnomon.core.errors import InvalidInput
from gnomon.core.files import write_atomic
from gnomon.evaluate.plot import ParetoPoint, plot_pareto
from gnomon.html import render

HEAD = ("model", "95% interval", "ms a query", "indexed in, s", "USD", "dimensions", "bytes a vector")


def plot_comparison(comparison: ModelComparison, path: str | Path) -> Path:
    """Draw quality against the milliseconds of a query. Raises as `plot_pareto` does."""
    points = [
        ParetoPoint(
            name=trial.title,
            cost=trial.ms_per_query,
            quality=trial.mean,
            interval=(trial.scores[0].low, trial.scores[0].high),
            on_front=trial.model in comparison.front,
        )
        for trial in comparison.trials
        if trial.scores
    ]
    return plot_pareto(points, path, cost="milliseconds a query", quality=comparison.settings.metrics[0])


def write_comparison(comparison: ModelComparison, path: str | Path) -> Path:
    """Write the page. Returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, comparison_page(comparison))
    return path


def comparison_page(comparison: ModelComparison) -> str:
    """The page: the verdict first, then what it rests on."""
    metrics = comparison.settings.metrics
    tried = sorted((trial for trial in comparison.trials if trial.scores), key=lambda trial: -trial.mean)
    png, no_picture = _picture(comparison)
    return render(
        "gnomon.collection",
        "models.html",
        title=f"Models on {comparison.dataset.name}",
        explained=comparison.explain(),
        about=_about(comparison),
        head=(HEAD[0], metrics[0], HEAD[1], *metrics[1:], *HEAD[2:]),
        models=[_row(trial) for trial in tried],
        numbers=tuple(range(1, len(HEAD) + len(metrics))),
        verdicts=[(verdict.candidate, verdict.outcome, verdict.explain()) for verdict in comparison.verdicts],
        failed=[(trial.model, trial.error, trial.hint) for trial in comparison.trials if trial.error],
        png=png,
        no_picture=no_picture,
    )


def _about(comparison: ModelComparison) -> list[tuple[str, str]]:
    data, settings = comparison.dataset, comparison.settings
    documents = f", {len(data.documents):,} documents" if data.documents else ""
    return [
        ("data", f"{', '.join(dict.fromkeys(filter(None, (data.name, data.split))))}{documents}"),
        ("queries", f"{len(data.judged):,}"),
        ("search", f"{settings.mode}, {settings.k} results a query"),
        (
            "accepted loss",
            f"{settings.margin:g} of {settings.metrics[0]}, at a significance level of {settings.alpha:g}",
        ),
    ]


def _row(trial: Trial) -> tuple[str, ...]:
    first, *others = trial.scores
    return (
        trial.title,
        f"{first.mean:.4f}",
        f"{first.low:.4f} to {first.high:.4f}",
        *(f"{score.mean:.4f}" for score in others),
        f"{trial.ms_per_query:.1f}",
        f"{trial.indexing.seconds:,.0f}" if trial.indexing.seconds else "",
        "" if trial.usd is None else f"{trial.usd:,.2f}",
        str(trial.dim),
        f"{trial.bytes_per_vector:,}",
    )


def _picture(comparison: ModelComparison) -> tuple[bytes, str]:
    """The plot as PNG; or why there is none."""
    if not comparison.chosen:
        return b"", ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return plot_comparison(comparison, Path(folder) / "models.png").read_bytes(), ""
        except InvalidInput as error:
            return b"", f"No picture: {error.message} ({error.hint})."
