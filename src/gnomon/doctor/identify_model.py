"""Identifies the model that made vectors: encodes their texts again and compares."""

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
from gnomon.core.files import is_folder
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.renamed import renamed_fields
from gnomon.encode.cards import all_cards, card_for
from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval

SAME_MODEL_COSINE = 0.99
"""A vector with at least this cosine counts as a model's own: other runtimes, precisions and 8-bit codes stay
above it, other models' vectors are far below."""
IdentificationVerdict = Literal["one", "partly", "mixed", "none", "unknown"]


@dataclass(frozen=True)
class IdentifiedModel:
    """A model that made some of the vectors.

    `how` says how the encoding differs from a document's: as queries, without prompts, truncated. `share` is the
    share of all vectors, with its 95 % interval; `cosine` is the median of those that it made.
    """

    model: str
    how: str
    vectors: int
    share: float
    low: float
    high: float
    cosine: float


@renamed_fields(makers="models", said="summary")
@dataclass(frozen=True)
class ModelIdentification:
    """Who made the vectors: `one` model, one and something else (`partly`), several (`mixed`), `none` of
    those tried, or `unknown`: none was tried.

    `nearest` are all models tried, with their median cosine over the whole sample, best first.
    """

    verdict: IdentificationVerdict
    sampled: int
    models: tuple[IdentifiedModel, ...] = ()
    nearest: tuple[tuple[str, float], ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def unexplained(self) -> int:
        """Sampled vectors that no tried model made."""
        return self.sampled - sum(model.vectors for model in self.models)

    @property
    def summary(self) -> str:
        """The verdict in a sentence."""
        if self.verdict == "unknown":
            return "there was no model to compare with"
        if self.verdict == "none":
            near = f": the nearest, {self.nearest[0][0]}, has a median cosine of {self.nearest[0][1]:.2f}"
            return f"none of the {len(self.nearest)} models tried made them{near if self.nearest else ''}"
        first = self.models[0]
        name = first.model + (f" ({first.how})" if first.how else "")
        if self.verdict == "one":
            return f"{name} made them: median cosine {first.cosine:.4f} of {self.sampled}"
        if self.verdict == "partly":
            return (
                f"{name} made {first.share:.0%} of them ({first.low:.0%} to {first.high:.0%}), median cosine "
                f"{first.cosine:.4f}; the others are of none of the models tried"
            )
        parts = [
            f"{model.share:.0%} ({model.low:.0%} to {model.high:.0%}) are of {model.model}"
            + (f" ({model.how})" if model.how else "")
            for model in self.models
        ]
        if self.unexplained:
            parts.append(f"{self.unexplained / self.sampled:.0%} are of none of the models tried")
        return "vectors are mixed: " + ", ".join(parts)


@dataclass(frozen=True)
class CandidateModel:
    """A model that may have made vectors. `load` loads it, `bare` loads it without its prompts."""

    name: str
    load: Callable[[], Encoder]
    bare: Callable[[], Encoder] | None = None


def local_folder(model: str) -> Path | None:
    """A model's folder on this machine, its own or in one of the caches; None if there is none."""
    folder = Path(model).expanduser()
    if is_folder(folder):
        return folder
    card = card_for(model)
    if card is not None and not card.hub_id:  # a provider's
        return None
    hub_id, revision = (card.hub_id, card.revision) if card else (model, "")
    return find_on_this_machine(SourceSettings.from_environment(), hub_id, revision)


def installed_candidates(dim: int, *, exclude: Sequence[str] = ()) -> list[CandidateModel]:
    """The known models on this machine whose vectors have `dim` dimensions, or can be truncated to them.

    `exclude` are names. Models in gnomon's cache without a card are included.
    """
    found: dict[str, CandidateModel] = {}
    for card in all_cards():
        if card.one_vector and (dim == card.dim or dim in card.dims_matryoshka):
            folder = local_folder(card.name)
            if folder is not None and not {card.name, card.hub_id, str(folder)} & set(exclude):
                found[card.name] = _candidate(card.name)
    for hub_id in _cached_models():
        if card_for(hub_id) is None and hub_id not in exclude and _dim(hub_id) == dim:
            found[hub_id] = _candidate(hub_id)
    return list(found.values())


def named_candidates(models: Sequence[str]) -> list[CandidateModel]:
    """The models of these names; loading one downloads it if it is not on this machine."""
    return [_candidate(model) for model in models]


def _candidate(model: str) -> CandidateModel:
    def load(prompts: Mapping[str, str] | None = None) -> Encoder:
        from gnomon.encode.load import load_encoder

        return load_encoder(model, prompts=prompts)

    return CandidateModel(model, load, partial(load, {"query": "", "document": ""}))


def _cached_models() -> list[str]:
    """The hub ids of all models in gnomon's own cache."""
    home = SourceSettings.from_environment().cache / "models"
    if not is_folder(home):
        return []
    return sorted(path.name.replace("--", "/", 1) for path in home.iterdir() if "--" in path.name)


def _dim(hub_id: str) -> int | None:
    """A model's dimensions by its files; None where they are unknown, or a text has several vectors."""
    from gnomon.encode.layout.model import read_layout

    folder = local_folder(hub_id)
    try:
        return None if folder is None else read_layout(folder, name=hub_id).dim
    except (GnomonError, OSError, ValueError, KeyError):
        return None


def identify_models(
    candidates: Sequence[CandidateModel], texts: Sequence[str], rows: Array, *, progress: ProgressCallback
) -> ModelIdentification:
    """Encode the texts with each candidate, as documents and as queries, and attribute each vector to a model.

    `rows` are finite and not zero, float32 [texts, dim].
    """
    if not texts or not candidates:
        return ModelIdentification("unknown", len(texts))
    wanted, tried, failed = np.asarray(rows, dtype=np.float32), [], []
    for candidate in candidates:
        progress(Progress("encoding", message=f"encoding {len(texts)} texts with {candidate.name}"))
        try:
            variants = list(_variants(candidate, texts, wanted))
        except GnomonError as error:
            failed.append(f"{candidate.name}: {error.message}")
            continue
        tried += [(candidate.name, how, paired_cosines(wanted, vectors)) for how, vectors in variants]
    return _attribute(tried, len(texts), tuple(failed))


def _attribute(tried: list[tuple[str, str, Array]], count: int, failed: tuple[str, ...]) -> ModelIdentification:
    if not tried:
        return ModelIdentification("unknown", count, failed=failed)
    best: dict[str, float] = {}
    for name, _, near in tried:
        best[name] = max(best.get(name, -1.0), float(np.median(near)))
    nearest = tuple(sorted(best.items(), key=lambda pair: -pair[1]))
    found, left = [], np.ones(count, dtype=bool)
    while left.any():
        # The variant that explains most vectors first; of equals the nearest, then the one tried first.
        scores = [(int((c[left] >= SAME_MODEL_COSINE).sum()), float(c[left].mean())) for _, _, c in tried]
        at = max(range(len(tried)), key=lambda i: (scores[i][0], round(scores[i][1], 6), -i))
        if not scores[at][0]:
            break
        name, how, near = tried[at]
        own = left & (near >= SAME_MODEL_COSINE)
        low, high = share_interval(int(own.sum()), count)
        share, median = float(own.mean()), float(np.median(near[own]))
        found.append(IdentifiedModel(name, how, int(own.sum()), share, low, high, median))
        left &= ~own
    if not found:
        return ModelIdentification("none", count, (), nearest, failed)
    verdict: IdentificationVerdict = "mixed" if len(found) > 1 else "partly" if left.any() else "one"
    return ModelIdentification(verdict, count, tuple(found), nearest, failed)


def _variants(candidate: CandidateModel, texts: Sequence[str], wanted: Array) -> Iterator[tuple[str, Array]]:
    """How the model may have been used, and its vectors, truncated to `dim` where they are longer.

    Nothing where they are shorter, or several for a text.
    """
    encoder, dim = candidate.load(), wanted.shape[1]
    if encoder.space.similarity == "maxsim" or encoder.space.dim < dim:
        return
    cut = f"truncated to {dim} of {encoder.space.dim} dimensions" if encoder.space.dim > dim else ""
    seen: list[Array] = []
    for how, load, role in _uses(candidate, encoder):
        vectors = encode_texts(load(), texts, role)[:, :dim]
        if any(np.allclose(vectors, before, atol=1e-6) for before in seen):
            continue  # no prompt distinguishes the roles
        seen.append(vectors)
        yield ", ".join(part for part in (how, cut) if part), vectors
        if (paired_cosines(wanted, vectors) >= SAME_MODEL_COSINE).all():
            return


def _uses(candidate: CandidateModel, encoder: Encoder) -> Iterator[tuple[str, Callable[[], Encoder], Role]]:
    yield "", lambda: encoder, "document"
    yield "as queries", lambda: encoder, "query"
    if candidate.bare is not None:
        yield "without prompts", candidate.bare, "document"


def encode_texts(encoder: Encoder, texts: Sequence[str], role: Role) -> Array:
    """Vectors of texts, float32 [texts, dim]: of late interaction the mean of each text's tokens.

    Too long a text is truncated, without a warning.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return encoder.encode(list(texts), role=role).pooled()
