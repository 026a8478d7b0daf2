"""Checks by fixed limits and of the index: the model, the stored vectors, the index's recall, latency."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from gnomon.collection import Collection
from gnomon.collection.catalog import canaries, queries
from gnomon.collection.catalog.canaries import TOLERANCE
from gnomon.collection.serving.shared_space import for_role
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import SpaceMismatch, TruncatedText
from gnomon.core.ranking import Ranking
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval
from gnomon.monitor.alarms import CheckWithTests
from gnomon.monitor.drift import MORE_DATA_HINTS
from gnomon.monitor.report import MIN_RECALL_QUERIES, Check
from gnomon.monitor.samples import Sample, chunk_ids_at, read_chunks, read_vectors, read_vectors_in_parts

SLOWER, SLOWER_MS = 3.0, 20.0
"""Latency is an alarm above so many times the baseline's, plus so many ms."""
TOP_K = 10
MIN_RECALL = 0.98
"""Of the recall that the index had when the baseline was taken."""
_RESAMPLES = 10_000
_MAX_EXAMPLES = 5
_VECTORS_HINT = "gnomon doctor COLLECTION --fix finds all of them, and replaces them with the right vectors"
_MODEL_HINT = "restore the former model files or runtime; to use a new model: gnomon migrate COLLECTION --to MODEL"
_SERVER_HINT = (
    "the provider changed the model: index nothing more, as vectors of before and after must not be mixed; make a "
    "version of another model, or of this one as it is now: gnomon migrate COLLECTION --to MODEL#NAME"
)


def check_canaries(kb: Collection) -> tuple[CheckWithTests, Encoder | None]:
    """Whether the model still makes the same vectors for both roles; with the encoder, if so."""
    try:
        encoder: Encoder | None = kb.encoder
        for_role(kb.encoder, "document")  # of two, it is the documents' whose vectors are kept
    except SpaceMismatch as error:
        mismatch: SpaceMismatch | None = error
        encoder = _unchecked(kb)
    else:
        mismatch = None
    with kb.internals.catalog.read() as connection:
        kept = canaries.kept(connection, kb.version.space_id)
    found = {} if encoder is None else kept.cosines(for_role(encoder, "document"))
    cosines = {role: [round(value, 6) for value in values] for role, values in found.items()}
    low = {role: min(values) for role, values in cosines.items()}
    figures = {"cosines": cosines, "tolerance": kept.tolerance}
    failed = [role for role, value in low.items() if not value >= kept.tolerance]
    if mismatch is None and not failed:
        least = min(low.values(), default=1.0)
        check = Check(
            "canaries",
            "ok",
            f"the model makes the same vectors (cosine {least:.5f})",
            figures=figures,
        )
        return CheckWithTests(check), encoder
    message = "" if mismatch is None else mismatch.message
    if failed:
        least_of = ", ".join(f"{role} {low[role]:.4f}" for role in low)
        message = (
            f"texts of known vectors get other vectors from {kb.version.model} (least cosine: {least_of}; "
            f"{kept.tolerance:g} is required)"
        )
        if len(failed) < len(low):
            message += f": only {failed[0]} texts, as when their prompt was changed, truncated or left out"
    hint = _SERVER_HINT if isinstance(encoder, MeteredEncoder) else _MODEL_HINT
    check = Check("canaries", "alarm", message, cause="model changed", hint=hint, figures=figures)
    return CheckWithTests(check), None


def _unchecked(kb: Collection) -> Encoder | None:
    """The encoder without the check that it just failed; None if it is another model by its settings."""
    version = kb.version
    encoder = kb.internals.encoders.load_unchecked(version)
    return encoder if encoder.space == version.space else None


def time_searches(kb: Collection, texts: Sequence[str]) -> dict[str, float]:
    """p50 and p95 of single searches in ms, after one that loads the indexes."""
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


def check_latency(kb: Collection, texts: Sequence[str], before: Mapping[str, float] | None) -> CheckWithTests:
    """Whether searches take several times as long as for the baseline; measured twice before an alarm."""
    if not texts:
        return CheckWithTests(Check("latency", "not enough data", "no query to time", hint=MORE_DATA_HINTS["queries"]))
    now = time_searches(kb, texts)
    if before is not None and _is_slower(now, before):
        again = time_searches(kb, texts)
        now = again if again["p50"] < now["p50"] else now
    message = f"p50 {now['p50']:.1f} ms, p95 {now['p95']:.1f} ms"
    if before is None:
        return CheckWithTests(Check("latency", "baseline taken", message, figures=now))
    message += f"; {before['p50']:.1f} and {before['p95']:.1f} ms when the baseline was taken"
    figures = {**now, "baseline_p50": before["p50"], "baseline_p95": before["p95"]}
    if not _is_slower(now, before):
        return CheckWithTests(Check("latency", "ok", message, figures=figures))
    hint = "see what else runs on the machine, and how the collection has grown: gnomon status COLLECTION"
    return CheckWithTests(Check("latency", "alarm", message, cause="slower", hint=hint, figures=figures))


def _is_slower(now: Mapping[str, float], before: Mapping[str, float]) -> bool:
    """Whether both p50 and p95 are: a few slow searches are no alarm."""
    return all(now[key] > SLOWER * before[key] + SLOWER_MS for key in ("p50", "p95"))


def check_vectors(
    kb: Collection, encoder: Encoder | None, count: int, *, random: np.random.Generator
) -> CheckWithTests:
    """Encodes the texts of random stored vectors again: how many vectors are not the model's."""
    if encoder is None:
        return CheckWithTests(Check("vectors", "not checked", "the model is not the one that made them"))
    version = kb.version
    with kb.internals.catalog.read() as connection:
        ids = queries.all_ids(connection, version.chunking_id)
        ids = random.choice(ids, min(count, len(ids)), replace=False)
        stored = read_vectors(connection, version, ids)
        chunks, changed = read_chunks(connection, stored.ids.tolist())
    kept = ~np.isin(stored.ids, changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        fresh = encoder.encode([chunk.embed_text for chunk in chunks], role="document").pooled()
    near = paired_cosines(stored.data[kept], fresh)
    foreign = [chunk.document_id for chunk, cosine in zip(chunks, near, strict=True) if not cosine >= TOLERANCE]
    bad = len(foreign) + len(stored.missing) + len(stored.broken) + len(changed)
    low, high = share_interval(bad, len(ids))
    figures = {
        "checked": len(ids), "bad": bad, "share": bad / len(ids), "low": low, "high": high,
        "other_vector": len(foreign), "missing": len(stored.missing), "zero_or_broken": len(stored.broken),
        "other_text": len(changed), "least_cosine": float(near.min()) if len(near) else None,
    }  # fmt: skip
    if not bad:
        message = f"{len(ids):,} encoded again are the same (at most {high:.1%} of all differ, 95% interval)"
        return CheckWithTests(Check("vectors", "ok", message, figures=figures))
    kinds = {
        f"not near the model's (cosine under {TOLERANCE})": len(foreign),
        "zero, NaN or truncated": len(stored.broken), "missing": len(stored.missing), "of another text": len(changed),
    }  # fmt: skip
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
    share = f"{low:.1%} to {high:.1%} of all"
    message = f"{bad} of {len(ids):,} stored vectors are damaged or foreign: {found}; {share}"
    shown = tuple(dict.fromkeys(foreign))[:_MAX_EXAMPLES]
    check = Check(
        "vectors",
        "alarm",
        message,
        cause="index damaged",
        hint=_VECTORS_HINT,
        figures=figures,
        examples=shown,
    )
    return CheckWithTests(check)


def check_recall(kb: Collection, sample: Sample, before: float | None) -> CheckWithTests:
    """The recall of the served index, and how many vectors of the catalog are unusable."""
    if kb.version.space.similarity == "maxsim":
        return CheckWithTests(
            Check("recall", "not checked", "samples are means of token vectors, which MaxSim does not rank")
        )
    if len(sample) < MIN_RECALL_QUERIES:
        message = f"{len(sample)} of {MIN_RECALL_QUERIES} vectors to search with"
        return CheckWithTests(Check("recall", "not enough data", message, hint="index more documents"))
    per_query, broken, missing = recalls(kb, sample.rows)
    mean, floor = float(per_query.mean()), MIN_RECALL * (1.0 if before is None else before)
    figures = {
        "recall": mean, "queries": len(sample), "source": sample.source, "least": floor,
        "missing": missing, "zero_or_broken": broken,
    }  # fmt: skip
    message = f"the index finds {mean:.1%} of the {TOP_K} nearest of {len(sample)} vectors ({sample.source})"
    hint = "gnomon doctor COLLECTION --fix rebuilds the indexes from the catalog"
    if broken or missing:
        message += f"; {broken:,} vectors of the catalog are zero, NaN or truncated, {missing:,} are missing"
        check = Check("recall", "alarm", message, cause="index damaged", hint=_VECTORS_HINT, figures=figures)
        return CheckWithTests(check)
    alarm_message = f"{message}; {floor:.1%} are expected"
    return CheckWithTests(
        Check("recall", "ok", message, figures=figures), {"recall": below_p(per_query, floor)}, alarm_message,
        "index damaged", hint,
    )  # fmt: skip


def below_p(shares: Array, floor: float) -> float:
    """The p-value of the hypothesis that the mean of shares in [0, 1] is at least `floor`, by Gaffke (2005).

    The value 1 is added to the sample, and all get random weights: p is how often the weighted mean is `floor`
    or more.
    """
    random = np.random.default_rng(0)
    weights = random.standard_exponential((_RESAMPLES, len(shares) + 1))
    means = weights @ np.append(shares, 1.0) / weights.sum(axis=1)
    return float((np.count_nonzero(means >= floor) + 1) / (_RESAMPLES + 1))


def recalls(kb: Collection, rows: Array) -> tuple[Array, int, int]:
    """The recall of each query [n], and the numbers of broken and missing vectors."""
    version, view = kb.version, kb.internals.indexes
    queries = Vectors(rows, version.space)
    served = view.dense.search(queries, k=TOP_K)
    truth = [Ranking.empty() for _ in range(len(rows))]
    broken = missing = 0
    with kb.internals.catalog.read() as connection:
        ids, _ = chunk_ids_at(connection, version, view.dense_at)
        for part in read_vectors_in_parts(connection, version, ids):
            broken, missing = broken + len(part.broken), missing + len(part.missing)
            if len(part.ids):
                exact = ExactIndex(version.space)
                exact.add(part.ids, Vectors(part.data, version.space))
                pairs = zip(truth, exact.search(queries, k=TOP_K), strict=True)
                truth = [_merged(one, other) for one, other in pairs]
    shares = [_share(found, true) for found, true in zip(served, truth, strict=True)]
    return np.array(shares), broken, missing


def _merged(one: Ranking, other: Ranking) -> Ranking:
    ids, scores = np.concatenate([one.ids, other.ids]), np.concatenate([one.scores, other.scores])
    best = np.argsort(-scores, kind="stable")[:TOP_K]
    return Ranking(ids[best], scores[best])


def _share(found: Ranking, true: Ranking) -> float:
    """The share of the true nearest that is found; one as near as the last of them counts too."""
    if not len(true):
        return 1.0
    hits = np.isin(true.ids, found.ids)
    last = float(true.scores[-1])
    # Equal texts have equal scores: it does not matter which of them is found.
    ties = np.isclose(true.scores, last, rtol=1e-5, atol=1e-6) & ~hits
    spare = np.count_nonzero(np.isclose(found.scores, last, rtol=1e-5, atol=1e-6) & ~np.isin(found.ids, true.ids))
    return float((hits.sum() + min(int(ties.sum()), int(spare))) / len(true))
