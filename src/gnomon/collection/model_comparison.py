"""Models on a user's own judged queries: quality with intervals, cost and time of each, and which one to take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.catalog.vector_cache import stored_type
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation_corpus import (
    Indexing,
    corpus_of,
    document_texts,
    evaluation_folder,
    index_once,
    read_indexing,
)
from gnomon.collection.opening import open_collection
from gnomon.collection.settings import CollectionSettings, Mode
from gnomon.collection.systems import CollectionSystem, SystemRun, search_collection
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.ranking import Query
from gnomon.core.serialize import to_plain
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vector_types import record_type
from gnomon.encode import card_for
from gnomon.evaluate.comparison import MIN_QUERIES, DecisionRule, PairedValues, Verdict, judge
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import Metric, Score, parse_metric, per_query, summary
from gnomon.evaluate.significance import holm_adjusted, sign_flip_p
from gnomon.kernels.statistics import pareto_front

TIMED_QUERIES = 50
"""Queries that are searched one by one to measure the time of one."""
_WARM_UP = 3


@dataclass(frozen=True)
class TrialSettings:
    """How models are tried: the collection's `mode`, the `metrics` (the first one decides), the loss that is still
    accepted (`margin`), the error rate of all verdicts together (`alpha`), `k` results a query, and the most USD that
    embedding the corpus may cost for one model of a provider (`max_cost`; None: as much as it takes).

    Raises InvalidInput for values out of range.
    """

    mode: Mode = "dense"
    metrics: tuple[str, ...] = ("nDCG@10", "recall@10")
    margin: float = 0.01
    alpha: float = 0.05
    k: int = 100
    max_cost: float | None = None

    def __post_init__(self) -> None:
        DecisionRule(self.margin, self.alpha)
        if self.max_cost is not None and not self.max_cost >= 0:
            raise InvalidInput(f"max_cost = {self.max_cost}", expected="an amount in USD: 0 or more")
        if self.mode == "lexical":
            raise InvalidInput("models in the mode 'lexical'", expected="dense or hybrid: keyword search uses no model")
        cutoffs = [parse_metric(name).cutoff or 0 for name in self.metrics]
        if not cutoffs or self.k < max(1, *cutoffs):
            raise InvalidInput(
                f"{self.k} results a query for {', '.join(self.metrics) or 'no metric'}",
                expected="at least one metric, and results as far as it looks",
            )


@dataclass(frozen=True)
class Trial:
    """One model's figures; where it failed, `error` and `hint` say why, and the figures are empty.

    `ms_per_query` is the median time of one search, the encoding of the query included. `usd` is what embedding
    the corpus costs by the list price: 0 for a model that runs here, None where no price is known.
    """

    model: str
    dim: int = 0
    bytes_per_vector: int = 0
    indexing: Indexing = field(default_factory=Indexing)
    usd: float | None = None
    ms_per_query: float = 0.0
    scores: tuple[Score, ...] = ()
    searched: SystemRun | None = field(default=None, repr=False)
    error: str = ""
    hint: str = ""

    @property
    def title(self) -> str:
        """The model's name; of a folder, its last part."""
        return Path(self.model).name if Path(self.model).expanduser().is_dir() else self.model

    @property
    def mean(self) -> float:
        """The mean of the metric that decides."""
        return self.scores[0].mean if self.scores else 0.0


@dataclass(frozen=True)
class ModelComparison:
    """Trials in the order of the names, and a verdict on each model against the best, best first.

    `best` has the highest mean of the first metric; `chosen` is the cheapest, then fastest, of the models that are
    shown not to be worse than it by the margin. `front` are the models that no other beats in quality and time at
    once. Empty where no model could be tried.
    """

    dataset: DataSet
    settings: TrialSettings
    trials: tuple[Trial, ...]
    verdicts: tuple[Verdict, ...] = ()
    best: str = ""
    chosen: str = ""
    front: tuple[str, ...] = ()

    def trial(self, model: str) -> Trial:
        """The trial of a model."""
        return next(trial for trial in self.trials if trial.model == model)

    def explain(self) -> str:
        """Which model to take, and what these queries do not decide, in one paragraph."""
        return " ".join(_sentences(self))

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return {
            "data": self.dataset.name,
            "split": self.dataset.split,
            "documents": None if self.dataset.documents is None else len(self.dataset.documents),
            "queries": len(self.dataset.judged),
            "settings": to_plain(self.settings),
            "models": [_trial_json(trial, self) for trial in self.trials],
            "verdicts": [{**verdict.to_json(), "explained": verdict.explain()} for verdict in self.verdicts],
            "best": self.best,
            "chosen": self.chosen,
            "front": list(self.front),
            "explained": self.explain(),
        }


def compare_models(
    models: Sequence[str],
    dataset: DataSet,
    *,
    settings: TrialSettings | None = None,
    progress: ProgressCallback = no_progress,
) -> ModelComparison:
    """Index the data set's corpus with each model, once, in gnomon's cache, and search it for every judged query.

    A model that fails (not found, no key, a budget exhausted) has its error in its trial, and the others go on; what
    was embedded is kept, and the next call carries on there. Intervals are BCa bootstrap's, verdicts paired
    randomisation tests, corrected for all pairs of models since the best is chosen by the same queries
    (p-values by Holm, intervals by Bonferroni). Raises InvalidInput for fewer than two different models and for a data
    set without a corpus or judged queries.
    """
    settings = settings or TrialSettings()
    if len(set(models)) < max(2, len(models)):
        raise InvalidInput(
            f"models {', '.join(models) or 'none'}", expected="two or more different models", hint="name each once"
        )
    corpus_of(dataset)
    if not dataset.judged:
        raise InvalidInput(f"the data set {dataset.name!r} has no judged query", expected="queries with judgments")
    trials = tuple(_tried(model, dataset, settings, progress=progress) for model in models)
    return judged_trials(ModelComparison(dataset, settings, trials))


def _tried(model: str, dataset: DataSet, settings: TrialSettings, *, progress: ProgressCallback) -> Trial:
    progress(Progress("loading", message=f"trying {model}"))
    try:
        return _try(model, dataset, settings, progress=progress)
    except GnomonError as error:
        return Trial(model, error=error.message, hint=error.hint)


def _try(model: str, dataset: DataSet, settings: TrialSettings, *, progress: ProgressCallback) -> Trial:
    from gnomon.encode import load_encoder

    corpus = corpus_of(dataset)
    encoder = load_encoder(model, progress=progress)
    folder = evaluation_folder(corpus, encoder.space.fingerprint)
    if isinstance(encoder, MeteredEncoder) and not read_indexing(folder).complete:
        _require_affordable(model, encoder, corpus, max_cost=settings.max_cost, progress=progress)
    with open_collection(folder, settings=CollectionSettings(model=model), encoder=encoder) as kb:
        note = index_once(kb, corpus, model, progress=progress)
        system = CollectionSystem(model, folder, settings.mode)
        searched = search_collection(kb, dataset, system, k=settings.k, progress=progress)
        milliseconds = measure_search(kb, list(dataset.judged.values())[:TIMED_QUERIES], settings.mode)
    indexing = read_indexing(folder)
    return Trial(
        model,
        dim=encoder.space.dim,
        bytes_per_vector=record_type(stored_type(encoder.space, "document"), encoder.space.dim).itemsize,
        indexing=indexing,
        usd=cost_usd(model, indexing.tokens),
        ms_per_query=milliseconds,
        scores=summary(searched.run, searched.relevant, settings.metrics),
        searched=replace(searched, notes=(*searched.notes, note)),
    )


def _require_affordable(
    model: str, encoder: MeteredEncoder, corpus: Path, *, max_cost: float | None, progress: ProgressCallback
) -> None:
    """Say what embedding the corpus costs, before any of it is sent. Raises InvalidInput where it is too much."""
    tokens = sum(encoder.count_tokens(list(document_texts(corpus)), role="document"))
    known = encoder.price is not None
    cost = (encoder.price or 0.0) * tokens / 1e6
    costs = f"costs about {cost:,.4f} USD" if known else "has no known price"
    progress(Progress("loading", message=f"{model}: embedding about {tokens:,} tokens {costs}"))
    if max_cost is not None and (cost > max_cost or not known):
        raise InvalidInput(
            f"embedding about {tokens:,} tokens with {model} {costs}; "
            f"{max_cost:,.4f} USD are allowed, nothing was sent",
            expected="a cost within the limit",
            hint="raise --max-cost (max_cost in Python), or try fewer documents with --limit",
        )


def cost_usd(model: str, tokens: int) -> float | None:
    """The list price of embedding so many tokens; 0 for a model that runs here, None where no price is known."""
    card = card_for(model)
    if card is None or not card.provider:
        return 0.0
    return None if card.price is None else card.price.of_tokens(tokens)


def measure_search(kb: Collection, queries: Sequence[str], mode: Mode, *, k: int = 10) -> float:
    """The median milliseconds of one search, its query encoded anew, one after the other."""
    retriever = kb.retriever(mode)
    retriever([Query(text) for text in queries[:_WARM_UP]], k=k)
    seconds = []
    for text in queries:
        started = time.perf_counter()
        retriever([Query(text)], k=k)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)


def judged_trials(comparison: ModelComparison) -> ModelComparison:
    """The comparison with the verdicts on its trials, and its choice."""
    settings = comparison.settings
    tried = {trial.model: trial for trial in comparison.trials if trial.scores}
    if not tried:
        return comparison
    best = max(tried.values(), key=lambda trial: (trial.mean, -trial.ms_per_query)).model
    verdicts = _verdicts(tried, best, settings)
    fit = [best, *(verdict.candidate for verdict in verdicts if verdict.outcome in ("better", "not worse"))]
    chosen = min(
        (tried[name] for name in fit), key=lambda t: (float("inf") if t.usd is None else t.usd, t.ms_per_query)
    )
    on_front = pareto_front(
        np.array([trial.ms_per_query for trial in tried.values()]), np.array([trial.mean for trial in tried.values()])
    )
    front = tuple(name for name, kept in zip(tried, on_front, strict=True) if kept)
    return replace(comparison, verdicts=verdicts, best=best, chosen=chosen.model, front=front)


def _verdicts(tried: Mapping[str, Trial], best: str, settings: TrialSettings) -> tuple[Verdict, ...]:
    metric = parse_metric(settings.metrics[0])
    values = {name: _values(trial, metric) for name, trial in tried.items()}
    if len(values[best]) < MIN_QUERIES or len(tried) < 2:
        return ()
    names = sorted(tried, key=lambda name: (name != best, -tried[name].mean))
    pairs = [PairedValues(metric.name, values[a], values[b], (a, b)) for a, b in combinations(names, 2)]
    p_values = holm_adjusted([sign_flip_p(pair.differences) for pair in pairs])
    rule = DecisionRule(settings.margin, settings.alpha, comparisons=len(pairs))
    return tuple(judge(pair, rule, p_value=p) for pair, p in zip(pairs, p_values, strict=True) if pair.names[0] == best)


def _values(trial: Trial, metric: Metric) -> dict[str, float]:
    if trial.searched is None:
        return {}
    return per_query(trial.searched.run, trial.searched.relevant, [metric])[metric]


def _sentences(comparison: ModelComparison) -> list[str]:
    if not comparison.chosen:
        failed = "; ".join(f"{trial.title}: {trial.error}" for trial in comparison.trials)
        return [f"No model could be tried: {failed}."]
    chosen, best = comparison.trial(comparison.chosen), comparison.trial(comparison.best)
    metric, margin = chosen.scores[0].metric, comparison.settings.margin
    said = [f"Take {chosen.title}: {metric} {chosen.mean:.3f}, {chosen.ms_per_query:.1f} ms a query{_price(chosen)}."]
    if chosen is best:
        said.append("No other model here has a higher mean.")
    else:
        times = best.ms_per_query / max(chosen.ms_per_query, 1e-9)
        faster = f" and {times:.1f} times as fast" if times >= 1.1 else ""
        said.append(f"It is not worse than {best.title} ({best.mean:.3f}) by {margin:g} or more{faster}.")
    by_outcome: dict[str, list[str]] = {}
    for verdict in comparison.verdicts:
        title = comparison.trial(verdict.candidate).title
        settle = f", about {verdict.queries_to_settle:,} queries would settle it" if verdict.queries_to_settle else ""
        by_outcome.setdefault(verdict.outcome, []).append(f"{title} ({verdict.difference:+.3f}{settle})")
    if undecided := by_outcome.get("undecided"):
        said.append(f"These queries do not decide between {best.title} and {_listed(undecided)}.")
    if worse := by_outcome.get("worse"):
        said.append(f"Worse than {best.title}: {_listed(worse)}.")
    if not comparison.verdicts and len([trial for trial in comparison.trials if trial.scores]) > 1:
        said.append(f"With fewer than {MIN_QUERIES} judged queries there is no verdict: judge more of them.")
    if without := [trial.title for trial in comparison.trials if trial.error]:
        said.append(f"Not tried: {_listed(without)}.")
    return said


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _price(trial: Trial) -> str:
    return f", ${trial.usd:,.2f} for the corpus" if trial.usd else ""


def _trial_json(trial: Trial, comparison: ModelComparison) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(replace(trial, searched=None))
    del plain["searched"]
    run = trial.searched.run.about if trial.searched else {}
    notes = list(trial.searched.notes) if trial.searched else []
    return {**plain, "space": run.get("space"), "on_front": trial.model in comparison.front, "notes": notes}
