"""Words in context: does a word mean the same in two sentences? From the model's token vectors.

WiC, Pilehvar and Camacho-Collados 2019 (arXiv:1808.09121).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.evaluate.tasks.report import TaskReport, require_two
from gnomon.evaluate.tasks.rows import TEXTS, Row, number_of, read_rows, text_of
from gnomon.evaluate.tasks.text_pairs import ScoredPairs, pair_figures, positives

FIELDS = {
    **TEXTS,
    **{
        name: (name, *others)
        for name, *others in (
            ("start1", "s1_start"),
            ("end1", "s1_end"),
            ("start2", "s2_start"),
            ("end2", "s2_end"),
        )
    },
    "label": ("label", "gold", "same"),
}


class TokenStates(Protocol):
    """A text's token vectors and where each token is in the text, in characters."""

    @property
    def vectors(self) -> Float[np.ndarray, "tokens dim"]:
        """The last hidden state."""
        ...

    @property
    def offsets(self) -> Int[np.ndarray, "tokens 2"]:
        """Start and end of each token."""
        ...


@runtime_checkable
class TokenEncoder(Protocol):
    """An encoder that gives token vectors."""

    @property
    def space(self) -> Space:
        """The space of its text vectors."""
        ...

    def tokens(self, texts: Sequence[str], *, role: Role = "document") -> Sequence[TokenStates]:
        """Each text's token vectors."""
        ...


def measure_words_in_context(encoder: object, path: Path, *, fit: Path | None, role: Role) -> TaskReport:
    """Accuracy at the threshold that is best on `fit`, AUC and average precision of the word's two cosines.

    Raises InvalidInput for encoders without token vectors.
    """
    if not isinstance(encoder, TokenEncoder):
        raise InvalidInput(
            f"{type(encoder).__name__}, which gives no token vectors",
            expected="a transformer model: its token vectors depend on their context",
            hint="take another model, or another task",
        )
    scored, n = _scored(encoder, path, role)
    fitted = None if fit is None else _scored(encoder, fit, role)[0]
    covered = len(scored[0])
    notes = []
    if covered < n:
        notes.append(f"{n - covered} pairs left out, whose word is beyond max_tokens")
    if fit is None:
        notes.append("no data to fit a threshold on: give --fit for an accuracy that means something")
    return TaskReport("context", encoder.space.name, pair_figures(scored, fitted), n, covered, tuple(notes))


def _scored(encoder: TokenEncoder, path: Path, role: Role) -> tuple[ScoredPairs, int]:
    rows = read_rows(path, FIELDS)
    positive, _ = positives(rows, path)
    spans = [_span(row, "a", "1") for row in rows] + [_span(row, "b", "2") for row in rows]
    states = encoder.tokens([text for text, _, _ in spans], role=role)
    words = [word_vector(own, start, end) for own, (_, start, end) in zip(states, spans, strict=True)]
    both = list(zip(words[: len(rows)], words[len(rows) :], strict=True))
    known = np.array([first is not None and second is not None for first, second in both])
    require_two(int(known.sum()), len(rows), encoder.space.name)
    near = [float(first @ second) for first, second in both if first is not None and second is not None]
    return (np.array(near), positive[known]), len(rows)


def word_vector(states: TokenStates, start: int, end: int) -> Float[np.ndarray, " dim"] | None:
    """The mean of the tokens that overlap the span, of unit length; None where the model read none of it."""
    inside = (states.offsets[:, 0] < end) & (states.offsets[:, 1] > start)
    if not inside.any():
        return None
    mean = states.vectors[inside].mean(0, keepdims=True, dtype=np.float64)
    return np.asarray(normalise(mean, allow_zero=True)[0])


def _span(row: Row, name: str, number: str) -> tuple[str, int, int]:
    text = text_of(row, name)
    start, end = number_of(row, f"start{number}"), number_of(row, f"end{number}")
    if not (start.is_integer() and end.is_integer() and 0 <= start < end <= len(text)):
        raise InvalidInput(
            f"{row[0]}: characters {start:g} to {end:g} of a text of {len(text)}",
            expected="where the word begins and ends in its sentence, in characters",
            hint="correct the row",
        )
    return text, int(start), int(end)
