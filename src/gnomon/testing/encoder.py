"""What every scorer must do, checked from outside: the whole test of a new one is `check_scorer(it)`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from gnomon.core.contracts import Encoder, Role, Scorer
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.core.vectors import Vectors
from gnomon.testing.expect import expect, refuses

TEXTS = (
    "The sun throws the pointer's shadow on the dial.",
    "tea",
    "A long winter, a short spring: the almond trees were late, and nobody in the valley could remember when "
    "the bees had last come out so slowly from their hives beside the northern wall.",
    "SELECT name FROM users WHERE id = 42;",
    "Wer nicht fragt, bleibt dumm.",
    "How do I renew a passport?",
    "3.14159 2.71828 1.41421",
)
ODDITIES = {
    "an empty text": "",
    "blanks only": " \t\n ",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 ok 👍🏽",
    "right-to-left text": "שלום עולם مرحبا \u202eabc\u202c",
    "a NUL": "before\x00after",
    "a lone surrogate": "before\ud800after",
    "combining marks": "e\u0301" + "\u0300" * 40,
    "invisible characters": "\u200b\ufeff\u00ad",
    "one very long word": "a" * 3000,
    "Chinese": "日晷的指针叫做晷针。",
}
LONGEST_TRIED = 20_000  # tokens: an encoder that reads more is not given an over-long text
SAME_CALL = 1e-6


@dataclass(frozen=True)
class _Case:
    encoder: Encoder
    texts: tuple[str, ...]
    tolerance: float

    def encode(self, texts: Sequence[str], role: Role = "document") -> Vectors:
        return self.encoder.encode(texts, role=role)


def check_encoder(encoder: Encoder, *, texts: Sequence[str] = TEXTS, tolerance: float = 5e-4) -> None:
    """Raise AssertionError with one sentence for every promise of `Encoder` that this one breaks.

    `texts` are at least three different texts, none over-long. `tolerance` is how far two vectors of one
    text may lie apart when it is encoded in other company: 1 - cosine for vectors of length 1, and for
    others the squared distance over twice the product of the lengths.
    """
    if len(set(texts)) < 3 or len(set(texts)) != len(texts):
        raise InvalidInput(f"{len(texts)} texts to check with", expected="at least three, all different")
    case = _Case(encoder, tuple(texts), tolerance)
    broken = []
    for check in CHECKS:
        try:
            check(case)
        except AssertionError as failure:
            broken.append(str(failure))
    if broken:
        raise AssertionError(f"{type(encoder).__name__} breaks {len(broken)} promises:\n- " + "\n- ".join(broken))


def drift(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """How far two items lie apart: 1 - cosine for vectors of length 1; infinite for other shapes.

    >>> drift(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    if one.shape != other.shape:
        return float("inf")
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    squared = float(((one.astype(np.float64) - other) ** 2).sum())
    return squared / (2 * lengths) if lengths else squared


def _items(vectors: Vectors) -> list[np.ndarray[Any, Any]]:
    if vectors.starts is None:
        return list(vectors.data)
    return np.split(vectors.data, vectors.starts[1:]) if len(vectors.starts) else []


def _agree(one: Vectors, other: Vectors, *, within: float, otherwise: str) -> None:
    pairs = list(zip(_items(one), _items(other), strict=False))
    worst = max((drift(a, b) for a, b in pairs), default=0.0)
    expect(
        len(one) == len(other) and worst <= within,
        f"{otherwise} (apart by {worst:.2g}, allowed {within:.2g})",
    )


def _space_matches(case: _Case) -> None:
    vectors = case.encode(case.texts)
    expect(isinstance(vectors, Vectors), f"encode gives {type(vectors).__name__}, not Vectors")
    expect(vectors.space == case.encoder.space, "its vectors are of another space than encoder.space")
    expect(vectors.space.dim == case.encoder.space.dim, "encoder.space has other dimensions than its vectors")
    expect(case.encoder.space == case.encoder.space, "encoder.space changes from one look to the next")


def _one_item_a_text(case: _Case) -> None:
    count = len(case.encode(case.texts))
    expect(count == len(case.texts), f"{len(case.texts)} texts gave {count} items")
    count = len(case.encode(tuple(case.texts[:2])))
    expect(count == 2, f"a tuple of 2 texts gave {count} items")


def _items_have_rows(case: _Case) -> None:
    vectors = case.encode(case.texts)
    many = vectors.space.similarity == "maxsim"
    expect((vectors.starts is not None) == many, "starts are for the similarity maxsim and for no other")
    longer = [len(item) for item in _items(case.encode(["sundial", "sundial " * 12]))]
    expect(not many or longer[1] > longer[0], "a longer document has no more token vectors than one word")


def _nothing_gives_nothing(case: _Case) -> None:
    for role in get_args(Role):
        vectors = case.encode([], role)
        expect(len(vectors) == 0, f"no texts gave {len(vectors)} items")
        expect(vectors.space == case.encoder.space, "no texts gave vectors of another space")
    expect(list(case.encoder.count_tokens([], role="query")) == [], "no texts gave token counts")


def _texts_differ(case: _Case) -> None:
    items = _items(case.encode(case.texts))
    for at, one in enumerate(items):
        for other in range(at):
            alike = drift(one, items[other]) <= case.tolerance
            expect(not alike, f"two different texts, {at} and {other}, got the same vector")


def _order_is_kept(case: _Case) -> None:
    forward, backward = case.encode(case.texts), case.encode(case.texts[::-1])
    backward = backward.take(np.arange(len(backward))[::-1])
    _agree(forward, backward, within=case.tolerance, otherwise="items are not in the order of the texts")


def _neighbours_do_not_matter(case: _Case) -> None:
    together = case.encode(case.texts)
    alone = Vectors.concatenate([case.encode([text]) for text in case.texts])
    _agree(together, alone, within=case.tolerance, otherwise="a text's vector depends on the texts beside it")
    many = case.encode(case.texts * 30)
    some = many.take(np.arange(len(many))[-len(case.texts) :])
    _agree(together, some, within=case.tolerance, otherwise="a text's vector depends on how many are encoded")


def _duplicates_are_equal(case: _Case) -> None:
    vectors = case.encode([case.texts[0], *case.texts, case.texts[0]])
    ends = vectors.take([0, 0]), vectors.take([1, len(vectors) - 1])
    _agree(*ends, within=case.tolerance, otherwise="one text given three times got different vectors")


def _repeats(case: _Case) -> None:
    for role in get_args(Role):
        one, other = case.encode(case.texts, role), case.encode(case.texts, role)
        _agree(one, other, within=SAME_CALL, otherwise=f"the same call twice differs for role {role!r}")


def _unit_norm(case: _Case) -> None:
    similarity = case.encoder.space.similarity
    if similarity not in ("cosine", "maxsim"):
        return
    for role in get_args(Role):
        lengths = np.linalg.norm(case.encode(case.texts, role).data, axis=1)
        off = float(np.abs(lengths - 1).max())
        expect(off <= 1e-3, f"{similarity} vectors must have length 1; for role {role!r} one is off by {off:.2g}")


def _wrong_input_is_refused(case: _Case) -> None:
    wrong: dict[str, Any] = {"a lone string": "text", "None among texts": ["a", None], "bytes": [b"a"]}
    calls: tuple[Callable[..., object], ...] = (case.encoder.encode, case.encoder.count_tokens)
    for name, call in zip(("encode", "count_tokens"), calls, strict=True):
        for what, texts in wrong.items():
            _refused(partial(call, texts, role="document"), f"{name} of {what}")
        _refused(partial(call, ["a"], role="passage"), f"{name} for a role that does not exist")


def _refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except InvalidInput as refusal:
        expect(bool(refusal.expected), f"{what} is refused without saying what is wanted")
        return
    except Exception as error:
        raise AssertionError(f"{what} raises {type(error).__name__}, not InvalidInput") from error
    raise AssertionError(f"{what} is accepted; InvalidInput is wanted")


def _tokens_are_counted(case: _Case) -> None:
    count = case.encoder.count_tokens
    for role in get_args(Role):
        growing = [" ".join(["sundial"] * words) for words in (1, 2, 4, 8, 16)]
        counts = list(count(growing, role=role))
        expect(counts == sorted(set(counts)), f"token counts of growing texts do not grow: {counts}")
        expect(counts[0] > 0, "a word counts no tokens")
        alone = [count([text], role=role)[0] for text in growing]
        expect(alone == counts, f"token counts depend on the texts beside: {alone} alone, {counts} together")


def _truncation_is_told(case: _Case) -> None:
    limit = case.encoder.max_tokens
    if limit > LONGEST_TRIED:
        return
    words = limit
    while case.encoder.count_tokens([long := "sundial " * words], role="document")[0] <= limit:
        words *= 2
        expect(words < 100 * limit + 100, "count_tokens never rises above max_tokens: it counts after the cut")
    expect(
        TruncatedText in _warned(case, [case.texts[0], long]),
        "an over-long text gives no TruncatedText warning",
    )
    expect(TruncatedText not in _warned(case, case.texts), "TruncatedText is given though no text is over-long")


def _warned(case: _Case, texts: Sequence[str]) -> set[type[Warning]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case.encode(texts)
    return {warning.category for warning in caught}


def _oddities_are_encoded_or_refused(case: _Case) -> None:
    for name, text in ODDITIES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncatedText)
                case.encoder.count_tokens([text], role="query")
                count = len(case.encode([case.texts[0], text], "query"))
        except InvalidInput:
            continue
        except Exception as error:
            raise AssertionError(f"{name} raises {type(error).__name__}, not InvalidInput") from error
        expect(count == 2, f"{name} changes the number of items: 2 texts gave {count}")


def _threads_agree(case: _Case) -> None:
    wanted = case.encode(case.texts)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(case.encode, [case.texts] * 12))
    for vectors in found:
        _agree(vectors, wanted, within=SAME_CALL, otherwise="four threads at once get other vectors than one")


def _tokenizer_is_json(case: _Case) -> None:
    plain = case.encoder.tokenizer_json
    try:
        held = plain is None or isinstance(json.loads(plain), dict)
    except ValueError:
        held = False
    expect(held, "tokenizer_json is neither None nor a JSON object")


CHECKS: tuple[Callable[[_Case], None], ...] = (
    _space_matches,
    _one_item_a_text,
    _items_have_rows,
    _nothing_gives_nothing,
    _texts_differ,
    _order_is_kept,
    _neighbours_do_not_matter,
    _duplicates_are_equal,
    _repeats,
    _unit_norm,
    _wrong_input_is_refused,
    _tokens_are_counted,
    _truncation_is_told,
    _oddities_are_encoded_or_refused,
    _threads_agree,
    _tokenizer_is_json,
)


_Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class _ScorerCase:
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
        raise InvalidInput(f"{len(texts)} texts to check with", expected="at least three, all different")
    case = _ScorerCase(scorer, query, tuple(texts), tolerance)
    broken = []
    for check in SCORER_CHECKS:
        try:
            check(case)
        except AssertionError as failure:
            broken.append(str(failure))
    broken = list(dict.fromkeys(broken))
    if broken:
        raise AssertionError(f"{type(scorer).__name__} breaks {len(broken)} promises:\n- " + "\n- ".join(broken))


def _one_score_a_text(case: _ScorerCase) -> None:
    scores = case.score(case.texts)
    expect(scores.shape == (len(case.texts),), f"{len(case.texts)} texts gave scores of shape {scores.shape}")
    expect(scores.dtype.kind == "f", f"scores are {scores.dtype}, not floating point")
    expect(bool(np.isfinite(scores).all()), "some scores are not finite")
    expect(case.score([]).shape == (0,), "no texts must give no scores")


def _texts_and_query_matter(case: _ScorerCase) -> None:
    scores = case.score(case.texts)
    expect(float(np.ptp(scores)) > 0, "all texts get one score")
    other = case.score(case.texts, case.texts[0])
    expect(not np.array_equal(scores, other), "another query gets the same scores")


def _scorer_order_is_kept(case: _ScorerCase) -> None:
    backward = case.score(case.texts[::-1])[::-1]
    case.agree(case.score(case.texts), backward, "scores are not in the order of the texts")


def _scorer_neighbours_do_not_matter(case: _ScorerCase) -> None:
    together = case.score(case.texts)
    alone = np.concatenate([case.score([text]) for text in case.texts])
    case.agree(together, alone, "a text's score depends on the texts beside it")
    many = case.score(case.texts * 20)
    case.agree(together, many[-len(case.texts) :], "a text's score depends on how many are scored")


def _scorer_repeats(case: _ScorerCase) -> None:
    case.agree(case.score(case.texts), case.score(case.texts), "the same call twice differs")


def _scorer_wrong_input_is_refused(case: _ScorerCase) -> None:
    wrong: dict[str, Any] = {"a lone string": "text", "None among texts": ["a", None], "bytes": [b"a"]}
    for what, texts in wrong.items():
        refuses(partial(case.score, texts), InvalidInput, f"scoring {what}")
    query: Any = None
    refuses(lambda: case.scorer.score(query, ["a"]), InvalidInput, "a query that is no string")


def _oddities_are_scored_or_refused(case: _ScorerCase) -> None:
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


def _scorer_threads_agree(case: _ScorerCase) -> None:
    wanted = case.score(case.texts)
    with ThreadPoolExecutor(4) as threads:
        for scores in threads.map(case.score, [case.texts] * 12):
            case.agree(scores, wanted, "four threads at once get other scores than one")


SCORER_CHECKS: tuple[Callable[[_ScorerCase], None], ...] = (
    _one_score_a_text,
    _texts_and_query_matter,
    _scorer_order_is_kept,
    _scorer_neighbours_do_not_matter,
    _scorer_repeats,
    _scorer_wrong_input_is_refused,
    _oddities_are_scored_or_refused,
    _scorer_threads_agree,
)
