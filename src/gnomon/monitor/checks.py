"""Whether the vectors kept are those of the model, and whether the index finds what they say."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import select

from gnomon.collection import Collection
from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.spaces import TOLERANCE
from gnomon.core.contracts import Array, Encoder, Role
from gnomon.core.errors import SpaceMismatch, TruncatedText
from gnomon.core.ranking import Ranking
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.kernels.drift import mmd_test, tell_apart
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval
from gnomon.monitor import samples
from gnomon.monitor.alarms import Finding
from gnomon.monitor.report import Cause, Check, Map
from gnomon.monitor.samples import Sample
from gnomon.monitor.settings import LEAST, LEAST_ASKED, WatchSettings

SLOWER, SLOWER_MS = 3.0, 20.0
"""How many times the baseline's latency, and how much more besides, is an alarm."""
_SHOWN = 5
_POINTS = 300
_MODEL_STEP = (
    "go back to the former model files or runtime; a new model goes in by gnomon migrate COLLECTION --to MODEL"
)


def canaries(kb: Collection) -> tuple[Finding, Encoder | None]:
    """Whether the model still makes the vectors that it made, for both roles; and the encoder, if so."""
    try:
        encoder: Encoder | None = kb.encoder
    except SpaceMismatch as error:
        mismatch: SpaceMismatch | None = error
        encoder = _unchecked(kb)
    else:
        mismatch = None
    cosines = {} if encoder is None else _canary_cosines(kb, encoder)
    low = {role: min(values) for role, values in cosines.items()}
    figures = {"cosines": cosines, "tolerance": TOLERANCE}
    failed = [role for role, value in low.items() if not value >= TOLERANCE]
    if mismatch is None and not failed:
        least = min(low.values(), default=1.0)
        check = Check(
            "canaries",
            "ok",
            f"the model makes the vectors that it made (cosine {least:.5f})",
            figures=figures,
        )
        return Finding(check), encoder
    said = "" if mismatch is None else mismatch.message
    if failed:
        found = ", ".join(f"{role} {low[role]:.4f}" for role in low)
        said = f"texts of known vectors are encoded otherwise (least cosine: {found}; {TOLERANCE} is needed)"
        if len(failed) < len(low):
            said += f": only {failed[0]} texts, as when their prompt was changed, cut or left out"
    check = Check("canaries", "alarm", said, cause="model changed", hint=_MODEL_STEP, figures=figures)
    return Finding(check), None


def _unchecked(kb: Collection) -> Encoder | None:
    """The encoder without the check that it just failed, to be looked at; None where it is another model."""
    version = kb.version
    encoder = kb.internals.encoders.load_unchecked(version)
    return encoder if encoder.space == version.space else None


def _canary_cosines(kb: Collection, encoder: Encoder) -> dict[str, list[float]]:
    table = schema.canaries.c
    with kb.internals.catalog.read() as connection:
        wanted = select(table.role, table.text, table.vector).where(table.space_id == kb.version.space_id)
        rows = connection.execute(wanted).all()
    found: dict[str, list[float]] = {}
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        own = [row for row in rows if row.role == role]
        if own:
            then = np.stack([np.frombuffer(row.vector, dtype="<f4") for row in own])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncatedText)
                now = encoder.encode([row.text for row in own], role=role).data
            found[role] = [round(float(value), 6) for value in paired_cosines(then, now)]
    return found


def drift(name: str, before: Array, now: Sample, settings: WatchSettings, seed: int) -> tuple[Finding, Map | None]:
    """Two tests of whether a sample differs from the baseline's, and the texts that are the newest."""
    few = min(len(before), len(now))
    if few < LEAST:
        which = "the baseline" if len(before) < LEAST else now.source
        said = f"{few} of {LEAST} {name}, {which}"
        step = _MORE[name]
        return Finding(Check(name, "not enough data", said, hint=step)), None
    distance = mmd_test(before, now.rows, permutations=settings.permutations, seed=seed)
    apart = tell_apart(before, now.rows, permutations=settings.permutations, seed=seed)
    tests = {f"{name}: MMD": distance.p_value, f"{name}: classifier": apart.p_value}
    newest = np.argsort(-apart.scores)
    distinct = dict.fromkeys(now.labels[at] for at in newest) if now.labels else {}
    figures = {
        "before": len(before), "now": len(now), "source": now.source,
        "mmd_squared": distance.squared, "mmd_p": distance.p_value,
        "classifier_auc": apart.auc, "classifier_p": apart.p_value,
    }  # fmt: skip
    sizes = f"{len(now):,} {name} against {len(before):,} of the baseline"
    distance_p, classifier_p = f"{distance.p_value:.3g}", f"{apart.p_value:.3g}"
    said = f"{sizes}: MMD p = {distance_p}, classifier p = {classifier_p}"
    alarm = (
        f"{sizes} differ: MMD p = {distance_p}; a classifier tells them apart, p = {classifier_p}, AUC {apart.auc:.2f}"
    )
    check = Check(name, "ok", said, figures=figures, examples=tuple(list(distinct)[:_SHOWN]))
    return Finding(check, tests, alarm, _CHANGED[name], _STEPS[name]), _map(before, now.rows, seed)


_CHANGED: Mapping[str, Cause] = {"queries": "queries changed", "documents": "documents changed"}
_MORE = {
    "queries": "give more recent queries with --queries FILE, one a line; a baseline of fewer is taken anew "
    "with --set-baseline",
    "documents": "watch drift once there are more documents, then --set-baseline",
}
_STEPS = {
    "queries": "look at the newest texts; judge some of them to see whether they are answered (gnomon eval "
    "queries), and take the change in with --set-baseline when it is meant",
    "documents": "look at the newest texts; when the change is meant, take it in with --set-baseline",
}


def _map(before: Array, now: Array, seed: int) -> Map:
    """The plane of the difference of the means and of the widest spread besides."""
    random = np.random.default_rng(seed)
    parts = [
        rows[random.choice(len(rows), min(_POINTS, len(rows)), replace=False)].astype(np.float64)
        for rows in (before, now)
    ]
    centre = before.mean(axis=0)
    across = now.mean(axis=0) - centre
    across = across / max(float(np.linalg.norm(across)), 1e-12)
    pooled = np.concatenate(parts) - centre
    rest = pooled - np.outer(pooled @ across, across)
    wide = np.linalg.svd(rest, full_matrices=False)[2][0]
    axes = np.stack([across, wide], axis=1)
    return Map((parts[0] - centre) @ axes, (parts[1] - centre) @ axes)


def timed(kb: Collection, texts: Sequence[str]) -> dict[str, float]:
    """p50 and p95 of single searches, in ms; the first, which loads, left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        kb.search(texts[0])
        seconds = []
        for text in texts:
            started = time.perf_counter()
            kb.search(text)
            seconds.append(time.perf_counter() - started)
    low, high = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50": round(float(low), 3), "p95": round(float(high), 3), "n": len(seconds)}


def latency(kb: Collection, texts: Sequence[str], before: Mapping[str, float] | None) -> Finding:
    """Whether searches take several times as long as they did; measured again before that is said."""
    if not texts:
        return Finding(Check("latency", "not enough data", "no query to time", hint=_MORE["queries"]))
    now = timed(kb, texts)
    if before is not None and _is_slower(now, before):
        again = timed(kb, texts)
        now = again if again["p50"] < now["p50"] else now
    said = f"p50 {now['p50']:.1f} ms, p95 {now['p95']:.1f} ms"
    if before is None:
        return Finding(Check("latency", "baseline taken", said, figures=now))
    said += f"; {before['p50']:.1f} and {before['p95']:.1f} ms when the baseline was taken"
    figures = {**now, "baseline_p50": before["p50"], "baseline_p95": before["p95"]}
    if not _is_slower(now, before):
        return Finding(Check("latency", "ok", said, figures=figures))
    step = "see what else runs on the machine, and how the collection has grown: gnomon status COLLECTION"
    return Finding(Check("latency", "alarm", said, cause="slower", hint=step, figures=figures))


def _is_slower(now: Mapping[str, float], before: Mapping[str, float]) -> bool:
    """Both the usual and the slow searches must be: one slow moment is none."""
    return all(now[key] > SLOWER * before[key] + SLOWER_MS for key in ("p50", "p95"))


K = 10
LEAST_RECALL = 0.98
"""Of the recall that the index had when the baseline was taken."""
_RESAMPLES = 10_000
_INDEX_CHECKS_SHOWN = 5
_VECTORS_STEP = "gnomon doctor COLLECTION --fix finds all of them, and puts the right vectors in their place"


def vectors_check(
    kb: Collection, encoder: Encoder | None, settings: WatchSettings, random: np.random.Generator
) -> Finding:
    """A sample of stored vectors against the same texts encoded again: how many are not the model's."""
    if encoder is None:
        return Finding(Check("vectors", "not looked at", "the model is not the one that made them"))
    version = kb.version
    with kb.internals.catalog.read() as connection:
        ids = queries.all_ids(connection, version.chunking_id)
        ids = random.choice(ids, min(settings.checked, len(ids)), replace=False)
        held = samples.stored(connection, version, ids)
        chunks, other = samples.texts(connection, held.ids.tolist())
    kept = ~np.isin(held.ids, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        fresh = encoder.encode([chunk.embed_text for chunk in chunks], role="document").data
    near = paired_cosines(held.data[kept], fresh)
    foreign = [chunk.document_id for chunk, cosine in zip(chunks, near, strict=True) if not cosine >= TOLERANCE]
    bad = len(foreign) + len(held.missing) + len(held.broken) + len(other)
    low, high = share_interval(bad, len(ids))
    figures = {
        "checked": len(ids), "bad": bad, "share": bad / len(ids), "low": low, "high": high,
        "other_vector": len(foreign), "missing": len(held.missing), "zero_or_broken": len(held.broken),
        "other_text": len(other), "least_cosine": float(near.min()) if len(near) else None,
    }  # fmt: skip
    if not bad:
        said = f"{len(ids):,} made again are the same (at most {high:.1%} can be others, 95% interval)"
        return Finding(Check("vectors", "ok", said, figures=figures))
    kinds = {
        f"not near the model's (cosine under {TOLERANCE})": len(foreign),
        "zero, NaN or cut": len(held.broken), "missing": len(held.missing), "of another text": len(other),
    }  # fmt: skip
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    share = f"{low:.1%} to {high:.1%} of all"
    said = f"{bad} of {len(ids):,} stored vectors are damaged or foreign: {found}; {share}"
    shown = tuple(dict.fromkeys(foreign))[:_INDEX_CHECKS_SHOWN]
    check = Check(
        "vectors",
        "alarm",
        said,
        cause="index damaged",
        hint=_VECTORS_STEP,
        figures=figures,
        examples=shown,
    )
    return Finding(check)


def recall_check(kb: Collection, asked: Sample, before: float | None) -> Finding:
    """What the served index finds of the ten nearest, and how many vectors of the catalog are unusable."""
    if len(asked) < LEAST_ASKED:
        said = f"{len(asked)} of {LEAST_ASKED} vectors to search with"
        return Finding(Check("recall", "not enough data", said, hint="index more documents"))
    per_query, broken, missing = recalls(kb, asked.rows)
    mean, floor = float(per_query.mean()), LEAST_RECALL * (1.0 if before is None else before)
    figures = {
        "recall": mean, "queries": len(asked), "source": asked.source, "least": floor,
        "missing": missing, "zero_or_broken": broken,
    }  # fmt: skip
    said = f"the index finds {mean:.1%} of the {K} nearest of {len(asked)} vectors ({asked.source})"
    step = "gnomon doctor COLLECTION --fix makes the indexes anew from the catalog"
    if broken or missing:
        said += f"; {broken:,} vectors of the catalog are zero, NaN or cut, {missing:,} are missing"
        check = Check("recall", "alarm", said, cause="index damaged", hint=_VECTORS_STEP, figures=figures)
        return Finding(check)
    alarm = f"{said}; {floor:.1%} are expected"
    return Finding(
        Check("recall", "ok", said, figures=figures), {"recall": below_p(per_query, floor)}, alarm,
        "index damaged", step,
    )  # fmt: skip


def below_p(shares: Array, floor: float) -> float:
    """The p-value of shares whose true mean is at least `floor`: Gaffke's bound (2005), turned round.

    The worst possible value, 1, joins the sample, and all get random weights: p is how often the weighted
    mean is `floor` or more.
    """
    random = np.random.default_rng(0)
    weights = random.standard_exponential((_RESAMPLES, len(shares) + 1))
    means = weights @ np.append(shares, 1.0) / weights.sum(axis=1)
    return float((np.count_nonzero(means >= floor) + 1) / (_RESAMPLES + 1))


def recalls(kb: Collection, rows: Array) -> tuple[Array, int, int]:
    """Each query's share of the nearest that the served index finds; broken and missing vectors."""
    version, view = kb.version, kb.internals.indexes
    queries = Vectors(rows, version.space)
    served = view.dense.search(queries, k=K)
    truth = [Ranking.empty() for _ in range(len(rows))]
    broken = missing = 0
    with kb.internals.catalog.read() as connection:
        ids, _ = samples.served_and_true(connection, version, view.dense_at)
        for part in samples.all_stored(connection, version, ids):
            broken, missing = broken + len(part.broken), missing + len(part.missing)
            if len(part.ids):
                exact = ExactIndex(version.space)
                exact.add(part.ids, Vectors(part.data, version.space))
                pairs = zip(truth, exact.search(queries, k=K), strict=True)
                truth = [_merged(one, other) for one, other in pairs]
    shares = [_share(found, true) for found, true in zip(served, truth, strict=True)]
    return np.array(shares), broken, missing


def _merged(one: Ranking, other: Ranking) -> Ranking:
    ids, scores = np.concatenate([one.ids, other.ids]), np.concatenate([one.scores, other.scores])
    best = np.argsort(-scores, kind="stable")[:K]
    return Ranking(ids[best], scores[best])


def _share(found: Ranking, true: Ranking) -> float:
    """Of the true nearest, how many are found; one that is as near as the last of them counts too."""
    if not len(true):
        return 1.0
    hits = np.isin(true.ids, found.ids)
    last = float(true.scores[-1])
    # Equal texts have equal scores: which of them is named is no difference.
    ties = np.isclose(true.scores, last, rtol=1e-5, atol=1e-6) & ~hits
    spare = np.count_nonzero(np.isclose(found.scores, last, rtol=1e-5, atol=1e-6) & ~np.isin(found.ids, true.ids))
    return float((hits.sum() + min(int(ties.sum()), int(spare))) / len(true))
