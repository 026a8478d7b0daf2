"""A task's report: figures with intervals, and the vectors and cosines that they are computed of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.core.similarity import normalise
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import bootstrap_interval


@dataclass(frozen=True, slots=True)
class TaskFigure:
    """A number with its 95 % interval; `low` and `high` are None where there is no interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.4f}, {self.high:.4f}]"
        return f"{self.name} {self.value:.4f}{interval}"


@dataclass(frozen=True)
class TaskReport:
    """A model's figures on one task. `covered` of `n` items could be measured."""

    task: str
    model: str
    figures: tuple[TaskFigure, ...]
    n: int
    covered: int
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> TaskFigure:
        """The figure of that name. Raises KeyError where there is none."""
        found = {figure.name: figure for figure in self.figures}
        return found[name]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def with_interval(name: str, statistic: Callable[..., float], *columns: Shaped[np.ndarray, " n"]) -> TaskFigure:
    """The statistic of paired columns with its 95 % bootstrap interval; see `bootstrap_interval`.

    >>> with_interval("mean", lambda x: float(x.mean()), np.array([1.0, 1.0, 1.0])).low
    1.0
    """
    low, high = bootstrap_interval(statistic, *columns) or (None, None)
    return TaskFigure(name, statistic(*columns), low, high)


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
            expected="a model with one vector a text",
            hint="measure it on a retrieval set with --data",
        )
    distinct = list(dict.fromkeys(texts))
    known = [text for text, count in zip(distinct, encoder.count_tokens(distinct, role=role), strict=True) if count]
    rows = np.zeros((len(distinct) + 1, encoder.space.dim), dtype=np.float32)
    place = {text: at for at, text in enumerate(known)}
    if known:
        rows[: len(known)] = normalise(encoder.encode(known, role=role).data)
    at = np.array([place.get(text, len(distinct)) for text in texts], dtype=np.int64)
    return rows[at], at < len(distinct)


def pair_cosines(
    encoder: Encoder, pairs: Sequence[tuple[str, str]], *, role: Role
) -> tuple[Float[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
    """The cosine of each pair, and whether the model knows both texts."""
    rows, known = unit_vectors(encoder, [text for pair in pairs for text in pair], role=role)
    return paired_cosines(rows[0::2], rows[1::2]), np.asarray(known[0::2] & known[1::2])


def require_two(covered: int, n: int, model: str) -> None:
    """Raise InvalidInput where fewer than two items can be measured."""
    if covered < 2:
        raise InvalidInput(
            f"{covered} of {n} items that {model} knows",
            expected="at least two",
            hint="see whether the file's language and the model's go together",
        )
