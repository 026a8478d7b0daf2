"""Which model made these vectors: texts are encoded again, and the vectors compared."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from gnomon.core.contracts import Array, Encoder, Role
from gnomon.core.errors import GnomonError
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.cards import all_cards, card_for
from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval


@dataclass(frozen=True)
class Candidate:
    """A model that may have made vectors: its name, what loads it, and what loads it without its prompts."""

    name: str
    load: Callable[[], Encoder]
    bare: Callable[[], Encoder] | None = None


def found_at(model: str) -> Path | None:
    """Where a model lies on this machine, by its folder or in one of the caches; None where it does not."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    card = card_for(model)
    hub_id, revision = (card.hub_id, card.revision) if card else (model, "")
    return find_on_this_machine(SourceSettings.from_environment(), hub_id, revision)


def candidates(dim: int, *, but: Sequence[str] = ()) -> list[Candidate]:
    """The known models on this machine whose vectors have so many numbers, or may be cut to as many.

    `but` are names that are left out. Models in gnomon's cache that have no card are tried as well.
    """
    found: dict[str, Candidate] = {}
    for card in all_cards():
        if dim == card.dim or dim in card.dims_matryoshka:
            folder = found_at(card.name)
            if folder is not None and not {card.name, card.hub_id, str(folder)} & set(but):
                found[card.name] = _candidate(card.name)
    for hub_id in _others():
        if card_for(hub_id) is None and hub_id not in but and _dim(hub_id) == dim:
            found[hub_id] = _candidate(hub_id)
    return list(found.values())


def named(models: Sequence[str]) -> list[Candidate]:
    """Models that the caller names: loaded as any other, so fetched where they are not here."""
    return [_candidate(model) for model in models]


def _candidate(model: str) -> Candidate:
    def load(prompts: Mapping[str, str] | None = None) -> Encoder:
        from gnomon.encode.load import load_encoder

        return load_encoder(model, prompts=prompts)

    return Candidate(model, load, partial(load, {"query": "", "document": ""}))


def _others() -> list[str]:
    """The hub ids of all models in gnomon's own cache."""
    home = SourceSettings.from_environment().cache / "models"
    if not home.is_dir():
        return []
    return sorted(path.name.replace("--", "/", 1) for path in home.iterdir() if "--" in path.name)


def _dim(hub_id: str) -> int | None:
    """A model's dimensions by its files; None where they say nothing, or it is no model of single vectors."""
    from gnomon.encode.layout.model import read_layout

    folder = found_at(hub_id)
    try:
        return None if folder is None else read_layout(folder, name=hub_id).dim
    except (GnomonError, OSError, ValueError, KeyError):
        return None


SAME = 0.99
"""The cosine from which on a vector counts as a model's own: runtimes, precisions and codes of 8 bits stay
above it, another model's vectors are far below."""
Verdict = Literal["one", "partly", "mixed", "none", "unknown"]


@dataclass(frozen=True)
class Maker:
    """A model that made some of the vectors.

    `how` is what about the encoding differs from a document's: a query's, without prompt, cut to dimensions.
    `share` is that of all vectors with its 95 % interval, `cosine` the median of those that it made.
    """

    model: str
    how: str
    vectors: int
    share: float
    low: float
    high: float
    cosine: float


@dataclass(frozen=True)
class Made:
    """Who made the vectors: `one` model, one and something else (`partly`), several (`mixed`), `none` of
    those tried, or `unknown`: none was tried.

    `nearest` are all that were tried, with their median cosine over the whole sample, best first.
    """

    verdict: Verdict
    sampled: int
    makers: tuple[Maker, ...] = ()
    nearest: tuple[tuple[str, float], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def unexplained(self) -> int:
        """Vectors of the sample that no model that was tried made."""
        return self.sampled - sum(maker.vectors for maker in self.makers)

    @property
    def said(self) -> str:
        """The verdict in a sentence."""
        if self.verdict == "unknown":
            return "no model was there to compare with"
        if self.verdict == "none":
            near = f": the nearest, {self.nearest[0][0]}, has a median cosine of {self.nearest[0][1]:.2f}"
            return f"none of the {len(self.nearest)} models tried made them{near if self.nearest else ''}"
        first = self.makers[0]
        name = first.model + (f" ({first.how})" if first.how else "")
        if self.verdict == "one":
            return f"{name} made them: median cosine {first.cosine:.4f} of {self.sampled}"
        if self.verdict == "partly":
            return (
                f"{name} made {first.share:.0%} of them ({first.low:.0%} to {first.high:.0%}), median cosine "
                f"{first.cosine:.4f}; the others are of none of the models tried"
            )
        parts = [
            f"{maker.share:.0%} ({maker.low:.0%} to {maker.high:.0%}) are of {maker.model}"
            + (f" ({maker.how})" if maker.how else "")
            for maker in self.makers
        ]
        if self.unexplained:
            parts.append(f"{self.unexplained / self.sampled:.0%} are of none of the models tried")
        return "vectors are mixed: " + ", ".join(parts)


def makers(candidates: Sequence[Candidate], texts: Sequence[str], rows: Array, progress: ProgressCallback) -> Made:
    """Encode the texts with each candidate, as documents and as queries, and give each vector to its maker.

    `rows` are finite and not zero, float32 [texts, dim].
    """
    if not texts or not candidates:
        return Made("unknown", len(texts))
    wanted, tried, failed = np.asarray(rows, dtype=np.float32), [], []
    for candidate in candidates:
        progress(Progress("encoding", message=f"encoding {len(texts)} texts with {candidate.name}"))
        try:
            ways = list(_ways(candidate, texts, wanted))
        except GnomonError as error:
            failed.append(f"{candidate.name}: {error.message}")
            continue
        tried += [(candidate.name, how, paired_cosines(wanted, made)) for how, made in ways]
    return _judged(tried, len(texts), tuple(failed))


def _judged(tried: list[tuple[str, str, Array]], count: int, failed: tuple[str, ...]) -> Made:
    if not tried:
        return Made("unknown", count, failed=failed)
    best: dict[str, float] = {}
    for name, _, near in tried:
        best[name] = max(best.get(name, -1.0), float(np.median(near)))
    nearest = tuple(sorted(best.items(), key=lambda pair: -pair[1]))
    found, left = [], np.ones(count, dtype=bool)
    while left.any():
        # The way that explains most first; of equals the one that is nearest, then the one tried first.
        scores = [(int((c[left] >= SAME).sum()), float(c[left].mean())) for _, _, c in tried]
        at = max(range(len(tried)), key=lambda i: (scores[i][0], round(scores[i][1], 6), -i))
        if not scores[at][0]:
            break
        name, how, near = tried[at]
        own = left & (near >= SAME)
        low, high = share_interval(int(own.sum()), count)
        share, median = float(own.mean()), float(np.median(near[own]))
        found.append(Maker(name, how, int(own.sum()), share, low, high, median))
        left &= ~own
    if not found:
        return Made("none", count, (), nearest, failed)
    verdict: Verdict = "mixed" if len(found) > 1 else "partly" if left.any() else "one"
    return Made(verdict, count, tuple(found), nearest, failed)


def _ways(candidate: Candidate, texts: Sequence[str], wanted: Array) -> Iterator[tuple[str, Array]]:
    """What the model may have been given, and its vectors: cut to `dim` where they are longer.

    Nothing where they are shorter, or several a text.
    """
    encoder, dim = candidate.load(), wanted.shape[1]
    if encoder.space.similarity == "maxsim" or encoder.space.dim < dim:
        return
    cut = f"cut to {dim} of {encoder.space.dim} dimensions" if encoder.space.dim > dim else ""
    seen: list[Array] = []
    for how, other, role in _asked(candidate, encoder):
        made = encoded(other(), texts, role)[:, :dim]
        if any(np.allclose(made, before, atol=1e-6) for before in seen):
            continue  # no prompt tells the roles apart
        seen.append(made)
        yield ", ".join(part for part in (how, cut) if part), made
        if (paired_cosines(wanted, made) >= SAME).all():
            return


def _asked(candidate: Candidate, encoder: Encoder) -> Iterator[tuple[str, Callable[[], Encoder], Role]]:
    yield "", lambda: encoder, "document"
    yield "as queries", lambda: encoder, "query"
    if candidate.bare is not None:
        yield "without prompts", candidate.bare, "document"


def encoded(encoder: Encoder, texts: Sequence[str], role: Role) -> Array:
    """Vectors of texts; a text that is too long is cut, as it was when its vector was made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return encoder.encode(list(texts), role=role).data
