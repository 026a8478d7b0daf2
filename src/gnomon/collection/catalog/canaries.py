"""Canaries: texts whose vectors are kept, so that a model that changed under the same name shows.

A model of this machine makes the same vectors for ever, but for rounding. A server's own vectors of the same text may
differ from request to request, so they are made several times when its first version is, and what they differ by is
kept as the tolerance.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from jaxtyping import Float
from sqlalchemy import Connection, insert, select, update

from gnomon.collection.catalog import schema, spending
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.contracts import Array, Encoder, Role
from gnomon.core.errors import InvalidVectors, SpaceMismatch
from gnomon.core.usage import MeteredEncoder, Usage
from gnomon.encode.stored import unrounded
from gnomon.kernels.similarity import paired_cosines

Canary = tuple[Role, str]
CANARIES: tuple[Canary, ...] = (
    ("document", "The gnomon is the part of a sundial that casts the shadow."),
    ("document", "def parse(path): return json.loads(path.read_text())"),
    ("document", "Zürich, 42 km — größer als 3,5 % (naïve café)."),
    ("query", "how does a sundial tell the time?"),
    ("query", "read a JSON file"),
)
"""Those of a model of this machine."""
SERVER_CANARIES: tuple[Canary, ...] = (
    *CANARIES,
    ("document", "The patient was given 5 mg of the drug twice a day for three weeks."),
    ("document", "Either party may end this agreement by giving ninety days' notice in writing."),
    ("document", "La bibliothèque ferme à dix-huit heures, sauf le mercredi."),
    ("document", "猫は窓のそばで眠っている。"),
    ("document", "| city | inhabitants |\n|---|---|\n| Lima | 10,092,000 |"),
    ("query", "side effects of the drug"),
    ("query", "how long is the notice period"),
    ("query", "wann schließt die Bibliothek?"),
    ("query", "猫はどこで寝ていますか"),
    ("query", "population of Lima"),
    ("query", "error: cannot open shared object file"),
)
"""Those of a server: eight of each role, some hundred tokens in all."""
TOLERANCE = 0.999
"""The lowest cosine between a canary's stored and fresh vector that counts as the same model: bf16 and fp32
differ by less than 0.0005."""
_ROLES: tuple[Role, ...] = ("document", "query")
_REPEATS = 3
_NOISE_FACTOR = 4.0
"""How much farther than ever at creation a canary may be later: its largest difference of few trials is exceeded."""
_MOST_NOISE = 0.02
"""A cosine distance between vectors of the same text at which nothing can be told any more."""
_EVERY = timedelta(days=1)


@dataclass(frozen=True, eq=False)
class Canaries:
    """The texts with their vectors, and the lowest cosine at which a fresh vector is still the same model's.

    `usage` is what a server charged for making them.
    """

    texts: tuple[Canary, ...]
    vectors: Float[np.ndarray, "texts dim"]
    tolerance: float = TOLERANCE
    usage: tuple[tuple[Role, Usage], ...] = field(default=())

    def cosines(self, encoder: Encoder) -> dict[Role, list[float]]:
        """The cosine of each text's vector now to the one kept, by role."""
        near = paired_cosines(self.vectors, _encoded(encoder, self.texts))
        return {
            role: [float(value) for value, (own, _) in zip(near, self.texts, strict=True) if own == role]
            for role in _ROLES
            if any(own == role for own, _ in self.texts)
        }

    def check(self, encoder: Encoder) -> None:
        """Raise SpaceMismatch where the encoder no longer makes these vectors."""
        near = paired_cosines(self.vectors, _encoded(encoder, self.texts))
        for cosine, (_, text) in zip(near, self.texts, strict=True):
            if not cosine >= self.tolerance:
                raise _changed(encoder, text, cosine=float(cosine), tolerance=self.tolerance)


def make_canaries(encoder: Encoder) -> Canaries:
    """The canaries of an encoder. A server is sent those that it reads whole three times, in orders that differ.

    Raises InvalidVectors where it gives vectors of the same text that are far apart.
    """
    encoder = unrounded(encoder)  # rounding to bits makes much of little: the model itself is checked
    if not isinstance(encoder, MeteredEncoder):
        return Canaries(CANARIES, _encoded(encoder, CANARIES))
    texts = tuple(each for each in SERVER_CANARIES if _fits(encoder, each))
    spent: dict[Role, Usage] = dict.fromkeys(_ROLES, Usage())
    trials = []
    for turn in range(_REPEATS):
        order = np.roll(np.arange(len(texts)), turn)
        rows = np.zeros((len(order), encoder.space.dim), dtype=np.float32)
        for role in _ROLES:
            at = [int(i) for i in order if texts[i][0] == role]
            for batch in encoder.encode_batches([texts[i][1] for i in at], role=role):
                rows[[at[i] for i in batch.positions]] = batch.vectors.pooled()
                spent[role] += batch.usage
        trials.append(rows)
    noise = max(float(1 - paired_cosines(one, other).min()) for one, other in _pairs(trials))
    if not noise <= _MOST_NOISE:
        raise InvalidVectors(
            f"{encoder.space.name} gives the same text vectors of cosine {1 - noise:.4f} from one request to the next",
            expected=f"cosine {1 - _MOST_NOISE} or more: several models seem to answer under one name",
            hint="name one model with its version, or one server behind the address",
        )
    tolerance = min(TOLERANCE, 1 - _NOISE_FACTOR * noise)
    return Canaries(texts, trials[0], tolerance, tuple(spent.items()))


def store(connection: Connection, space_id: int, model: str, *, canaries: Canaries) -> None:
    """Keep the canaries of a space that is new, and what they cost."""
    rows = [
        {"space_id": space_id, "role": role, "text": text, "vector": vector.astype("<f4").tobytes()}
        for (role, text), vector in zip(canaries.texts, canaries.vectors, strict=True)
    ]
    connection.execute(insert(schema.canaries), rows)
    if canaries.usage:
        table = schema.spaces
        values = {"tolerance": canaries.tolerance, "checked": _now().isoformat()}
        connection.execute(update(table).where(table.c.id == space_id).values(**values))
        spending.record(connection, {(model, role): usage for role, usage in canaries.usage})


def kept(connection: Connection, space_id: int) -> Canaries:
    """The canaries of a space."""
    table, space = schema.canaries.c, schema.spaces.c
    rows = connection.execute(select(table.role, table.text, table.vector).where(table.space_id == space_id)).all()
    tolerance = connection.execute(select(space.tolerance).where(space.id == space_id)).scalar_one()
    vectors = np.stack([np.frombuffer(row.vector, dtype="<f4") for row in rows]) if rows else np.zeros((0, 1), "f4")
    return Canaries(tuple((row.role, row.text) for row in rows), vectors, tolerance or TOLERANCE)


def check_daily(catalog: Catalog, space_id: int, encoder: Encoder) -> None:
    """Check a server's canaries where that was not done for a day. Raises SpaceMismatch where it changed its model."""
    space = schema.spaces
    with catalog.read() as connection:
        checked = connection.execute(select(space.c.checked).where(space.c.id == space_id)).scalar_one()
        if checked and _now() - datetime.fromisoformat(checked) < _EVERY:
            return
        canaries = kept(connection, space_id)
    canaries.check(encoder)
    with catalog.write() as connection:
        connection.execute(update(space).where(space.c.id == space_id).values(checked=_now().isoformat()))


def _changed(encoder: Encoder, text: str, *, cosine: float, tolerance: float) -> SpaceMismatch:
    encoder = unrounded(encoder)
    found = f"{encoder.space.short} encodes the canary {text[:40]!r} at cosine {cosine:.4f} to its stored vector"
    if isinstance(encoder, MeteredEncoder):
        return SpaceMismatch(
            f"{found}: the model behind {encoder.space.name} is not the one any more that made those",
            expected=f"cosine {tolerance:.4f} or more, as measured of this server when the version was made",
            hint="nothing was embedded: vectors of before and after must not be mixed. Make a version of another "
            "model, or of this one as it is now, under a name of your own after a #: "
            f"gnomon migrate COLLECTION --to '{encoder.space.name}#{_now().date()}'",
        )
    return SpaceMismatch(
        f"{found}: the model or its runtime changed under the same fingerprint",
        expected=f"cosine {tolerance} or more",
        hint="go back to the former runtime, or index into a new collection",
    )


def _encoded(encoder: Encoder, canaries: Sequence[Canary]) -> Array:
    encoder = unrounded(encoder)
    rows = np.zeros((len(canaries), encoder.space.dim), dtype=np.float32)
    for role in _ROLES:
        at = [i for i, (own, _) in enumerate(canaries) if own == role]
        if at:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a tiny model may truncate a canary, always in the same way
                rows[at] = encoder.encode([canaries[i][1] for i in at], role=role).pooled()
    return rows


def _fits(encoder: Encoder, canary: Canary) -> bool:
    role, text = canary
    return encoder.count_tokens([text], role=role)[0] <= encoder.max_tokens


def _pairs(trials: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    for number, one in enumerate(trials):
        for other in trials[number + 1 :]:
            yield one, other


def _now() -> datetime:
    return datetime.now(UTC)
