"""Whether the vectors kept are those of the model, and whether the index finds what they say."""

from __future__ import annotations

import warnings

import numpy as np

from gnomon.collection import Collection, reads
from gnomon.collection.model import TOLERANCE
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import TruncatedText
from gnomon.core.ranking import Ranking
from gnomon.core.vectors import Vectors
from gnomon.evolve.watching import stored
from gnomon.evolve.watching.checks import cosines
from gnomon.evolve.watching.report import Check
from gnomon.evolve.watching.samples import Sample
from gnomon.evolve.watching.settings import LEAST_ASKED, WatchSettings
from gnomon.evolve.watching.verdicts import Finding
from gnomon.index.exact import ExactIndex
from gnomon.kernels.binomial import share_interval

K = 10
LEAST_RECALL = 0.98
"""Of the recall that the index had when the baseline was taken."""
_RESAMPLES = 10_000
_SHOWN = 5
_VECTORS_STEP = "gnomon doctor COLLECTION --fix finds all of them, and puts the right vectors in their place"


def vectors_check(
    kb: Collection, encoder: Encoder | None, settings: WatchSettings, random: np.random.Generator
) -> Finding:
    """A sample of stored vectors against the same texts encoded again: how many are not the model's."""
    if encoder is None:
        return Finding(Check("vectors", "not looked at", "the model is not the one that made them"))
    version = kb.version
    with kb._catalog.read() as connection:
        ids = reads.all_ids(connection, version.chunking_id)
        ids = random.choice(ids, min(settings.checked, len(ids)), replace=False)
        held = stored.stored(connection, version, ids)
        chunks, other = stored.texts(connection, held.ids.tolist())
    kept = ~np.isin(held.ids, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        fresh = encoder.encode([chunk.embed_text for chunk in chunks], role="document").data
    near = cosines(held.data[kept], fresh)
    foreign = [
        chunk.document_id for chunk, cosine in zip(chunks, near, strict=True) if not cosine >= TOLERANCE
    ]
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
    shown = tuple(dict.fromkeys(foreign))[:_SHOWN]
    check = Check(
        "vectors",
        "alarm",
        said,
        cause="index damaged",
        next_step=_VECTORS_STEP,
        figures=figures,
        examples=shown,
    )
    return Finding(check)


def recall_check(kb: Collection, asked: Sample, before: float | None) -> Finding:
    """What the served index finds of the ten nearest, and how many vectors of the catalog are unusable."""
    if len(asked) < LEAST_ASKED:
        said = f"{len(asked)} of {LEAST_ASKED} vectors to search with"
        return Finding(Check("recall", "not enough data", said, next_step="index more documents"))
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
        check = Check(
            "recall", "alarm", said, cause="index damaged", next_step=_VECTORS_STEP, figures=figures
        )
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
    version, view = kb.version, kb.view()
    queries = Vectors(rows, version.space)
    served = view.dense.search(queries, k=K)
    truth = [Ranking.empty() for _ in range(len(rows))]
    broken = missing = 0
    with kb._catalog.read() as connection:
        ids, _ = stored.served_and_true(connection, version, view.dense_at)
        for part in stored.all_stored(connection, version, ids):
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
    spare = np.count_nonzero(
        np.isclose(found.scores, last, rtol=1e-5, atol=1e-6) & ~np.isin(found.ids, true.ids)
    )
    return float((hits.sum() + min(int(ties.sum()), int(spare))) / len(true))
