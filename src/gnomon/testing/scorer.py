"""What every scorer must do, checked from outside: the whole test of a new one is `check_scorer(it)`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gnomon.core.contracts import Scorer
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.testing.encoder import ODDITIES, TEXTS
from gnomon.testing.expect import expect, refuses

_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class _Case:
    scorer: Scorer
    query: str
    texts: tuple[str, ...]
    tolerance: float

    def score(self, texts: Sequence[str], query: str | None = None) -> _Array:
        scores: object = self.scorer.score(self.query if query is None else query, texts)
        if not isinstance(scores, np.ndarray):
            raise AssertionError(f"score gives {type(scores).__name__}, not an array")
        return scores

    def agree(self, one: _Array, other: _Array, otherwise: str) -> None:
        apart = float(np.abs(one - other).max()) if len(one) == len(other) and len(one) else 0.0
        expect(
            len(one) == len(other) and apart <= self.tolerance,
            f"{otherwise} (apart by {apart:.2g}, allowed {self.tolerance:.2g})",
        )


def check_scorer(
    scorer: Scorer,
    *,
    query: str = "How does a sundial tell the time?",
    texts: Sequence[str] = TEXTS,
    tolerance: float = 1e-3,
) -> None:
    """Raise AssertionError with one sentence for every promise of `Scorer` that this one breaks.

    `texts` are at least three different texts. `tolerance` is how far two scores of one pair may lie apart
    when the text is scored in other company.
    """
    if len(set(texts)) < 3 or len(set(texts)) != len(texts):
        raise InvalidInput(f"{len(texts)} texts to check with", wanted="at least three, all different")
    case = _Case(scorer, query, tuple(texts), tolerance)
    broken = []
    for check in CHECKS:
        try:
            check(case)
        except AssertionError as failure:
            broken.append(str(failure))
    broken = list(dict.fromkeys(broken))
    if broken:
        raise AssertionError(
            f"{type(scorer).__name__} breaks {len(broken)} promises:\n- " + "\n- ".join(broken)
        )


def _one_score_a_text(case: _Case) -> None:
    scores = case.score(case.texts)
    expect(scores.shape == (len(case.texts),), f"{len(case.texts)} texts gave scores of shape {scores.shape}")
    expect(scores.dtype.kind == "f", f"scores are {scores.dtype}, not floating point")
    expect(bool(np.isfinite(scores).all()), "some scores are not finite")
    expect(case.score([]).shape == (0,), "no texts must give no scores")


def _texts_and_query_matter(case: _Case) -> None:
    scores = case.score(case.texts)
    expect(float(np.ptp(scores)) > 0, "all texts get one score")
    other = case.score(case.texts, case.texts[0])
    expect(not np.array_equal(scores, other), "another query gets the same scores")


def _order_is_kept(case: _Case) -> None:
    backward = case.score(case.texts[::-1])[::-1]
    case.agree(case.score(case.texts), backward, "scores are not in the order of the texts")


def _neighbours_do_not_matter(case: _Case) -> None:
    together = case.score(case.texts)
    alone = np.concatenate([case.score([text]) for text in case.texts])
    case.agree(together, alone, "a text's score depends on the texts beside it")
    many = case.score(case.texts * 20)
    case.agree(together, many[-len(case.texts) :], "a text's score depends on how many are scored")


def _repeats(case: _Case) -> None:
    case.agree(case.score(case.texts), case.score(case.texts), "the same call twice differs")


def _wrong_input_is_refused(case: _Case) -> None:
    wrong: dict[str, Any] = {"a lone string": "text", "None among texts": ["a", None], "bytes": [b"a"]}
    for what, texts in wrong.items():
        refuses(partial(case.score, texts), InvalidInput, f"scoring {what}")
    query: Any = None
    refuses(lambda: case.scorer.score(query, ["a"]), InvalidInput, "a query that is no string")


def _oddities_are_scored_or_refused(case: _Case) -> None:
    for name, text in ODDITIES.items():
        for query, texts in ((case.query, [case.texts[0], text]), (text, [case.texts[0], case.texts[1]])):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", TruncatedText)
                    scores = case.score(texts, query)
            except InvalidInput:
                continue
            except Exception as error:
                raise AssertionError(f"{name} raises {type(error).__name__}, not InvalidInput") from error
            expect(scores.shape == (2,) and bool(np.isfinite(scores).all()), f"{name} spoils the scores")


def _threads_agree(case: _Case) -> None:
    wanted = case.score(case.texts)
    with ThreadPoolExecutor(4) as threads:
        for scores in threads.map(case.score, [case.texts] * 12):
            case.agree(scores, wanted, "four threads at once get other scores than one")


CHECKS: tuple[Callable[[_Case], None], ...] = (
    _one_score_a_text,
    _texts_and_query_matter,
    _order_is_kept,
    _neighbours_do_not_matter,
    _repeats,
    _wrong_input_is_refused,
    _oddities_are_scored_or_refused,
    _threads_agree,
)
