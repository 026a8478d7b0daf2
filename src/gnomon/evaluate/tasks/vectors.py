"""Unit vectors of texts for the tasks: each text encoded once, and texts unknown to a model left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.kernels.similarity import normalise


def unit_vectors(
    encoder: Encoder, texts: Sequence[str], *, role: Role
) -> tuple[Float[np.ndarray, "texts dim"], Bool[np.ndarray, " texts"]]:
    """A normalised row a text, and whether the model knows the text at all (else the row is zero).

    A static model knows a text by its tokens; a transformer knows every text.
    Raises InvalidInput for models with several vectors a text.
    """
    if encoder.space.similarity == "maxsim":
        raise InvalidInput(
            f"{encoder.space.short}, with several vectors a text",
            wanted="a model with one vector a text",
            next_step="measure it on a retrieval set with --data",
        )
    distinct = list(dict.fromkeys(texts))
    known = [
        text for text, count in zip(distinct, encoder.count_tokens(distinct, role=role), strict=True) if count
    ]
    rows = np.zeros((len(distinct) + 1, encoder.space.dim), dtype=np.float32)
    place = {text: at for at, text in enumerate(known)}
    if known:
        rows[: len(known)] = normalise(encoder.encode(known, role=role).data)
    at = np.array([place.get(text, len(distinct)) for text in texts], dtype=np.int64)
    return rows[at], at < len(distinct)


def cosines(
    encoder: Encoder, pairs: Sequence[tuple[str, str]], *, role: Role
) -> tuple[Float[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
    """The cosine of each pair, and whether the model knows both texts."""
    rows, known = unit_vectors(encoder, [text for pair in pairs for text in pair], role=role)
    products = np.einsum("ij,ij->i", rows[0::2].astype(np.float64), rows[1::2].astype(np.float64))
    return np.asarray(products), np.asarray(known[0::2] & known[1::2])


def require_two(covered: int, n: int, model: str) -> None:
    """Raise InvalidInput where fewer than two items can be measured."""
    if covered < 2:
        raise InvalidInput(
            f"{covered} of {n} items that {model} knows",
            wanted="at least two",
            next_step="see whether the file's language and the model's go together",
        )
