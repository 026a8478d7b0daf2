"""Conformance checks: the whole test of a new encoder is `check_encoder(it)`, of a scorer `check_scorer(it)`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar, get_args

import numpy as np

from gnomon.core.contracts import Encoder, Role, RoleEncoder, Scorer
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
QUERY = "How does a sundial tell the time?"
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
WRONG_TEXTS: Mapping[str, Any] = {"a lone string": "text", "None among texts": ["a", None], "bytes": [b"a"]}
LONGEST_TRIED = 20_000  # tokens: an encoder that reads more is not given an over-long text
SAME_CALL = 1e-6

Array = np.ndarray[Any, np.dtype[Any]]


def check_encoder(encoder: Encoder, *, texts: Sequence[str] = TEXTS, tolerance: float = 5e-4) -> None:
    """Raise AssertionError with one sentence for every promise of `Encoder` that this one breaks.

    `texts` are at least three different texts, none over-long. `tolerance` is how far two vectors of one
    text may be apart when it is encoded with other texts: 1 - cosine for vectors of length 1, and for
    others the squared distance over twice the product of the lengths.
    """
    case = EncoderCase(encoder, _usable(texts), tolerance)
    _run(case, ENCODER_CHECKS, type(encoder).__name__)


def check_scorer(scorer: Scorer, *, query: str = QUERY, texts: Sequence[str] = TEXTS, tolerance: float = 1e-3) -> None:
    """Raise AssertionError with one sentence for every promise of `Scorer` that this one breaks.

    `texts` are at least three different texts. `tolerance` is how far two scores of one pair may be apart
    when the text is scored with other texts.
    """
    case = ScorerCase(scorer, query, _usable(texts), tolerance)
    _run(case, SCORER_CHECKS, type(scorer).__name__)


def drift(one: Array, other: Array) -> float:
    """How far two items are apart: 1 - cosine for vectors of length 1; infinite for other shapes.

    >>> drift(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    if one.shape != other.shape:
        return float("inf")
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    squared = float(((one.astype(np.float64) - other) ** 2).sum())
    return squared / (2 * lengths) if lengths else squared


class Case(Protocol):
    """What the checks that encoders and scorers share need of the part under test."""

    noun: ClassVar[str]
    roles: ClassVar[Sequence[Role]]

    @property
    def texts(self) -> tuple[str, ...]:
        """Different texts to measure with."""
        ...

    @property
    def tolerance(self) -> float:
        """How far two results for one text may be apart."""
        ...

    @property
    def same_call(self) -> float:
        """How far the results of the same call may be apart."""
        ...

    @property
    def calls(self) -> Mapping[str, Callable[[Any], object]]:
        """Each function that takes texts, by what using it is called."""
        ...

    def measure(self, texts: Sequence[str], role: Role = "document") -> list[Array]:
        """The results of the texts, one each."""
        ...

    def measure_oddity(self, text: str) -> list[list[Array]]:
        """Results, of two texts at a time, where the odd text takes part."""
        ...

    def distance(self, one: Array, other: Array) -> float:
        """How far two results are apart."""
        ...


@dataclass(frozen=True)
class EncoderCase:
    """An encoder under test."""

    encoder: Encoder
    texts: tuple[str, ...]
    tolerance: float
    noun: ClassVar[str] = "vector"
    roles: ClassVar[Sequence[Role]] = get_args(Role)

    @property
    def same_call(self) -> float:
        """How far the vectors of the same call may be apart."""
        return SAME_CALL

    @property
    def calls(self) -> Mapping[str, Callable[[Any], object]]:
        """`encode` and `count_tokens`."""
        return {
            "encode of": partial(self.encoder.encode, role="document"),
            "count_tokens of": partial(self.encoder.count_tokens, role="document"),
        }

    def encode(self, texts: Sequence[str], role: Role = "document") -> Vectors:
        """As the encoder does."""
        return self.encoder.encode(texts, role=role)

    def measure(self, texts: Sequence[str], role: Role = "document") -> list[Array]:
        """A vector a text, or for late interaction its rows."""
        return items_of(self.encode(texts, role))

    def measure_oddity(self, text: str) -> list[list[Array]]:
        """The odd text beside another one, as queries."""
        self.encoder.count_tokens([text], role="query")
        return [self.measure([self.texts[0], text], "query")]

    def distance(self, one: Array, other: Array) -> float:
        """See `drift`."""
        return drift(one, other)


@dataclass(frozen=True)
class ScorerCase:
    """A scorer under test."""

    scorer: Scorer
    query: str
    texts: tuple[str, ...]
    tolerance: float
    noun: ClassVar[str] = "score"
    roles: ClassVar[Sequence[Role]] = ("document",)

    @property
    def same_call(self) -> float:
        """How far the scores of the same call may be apart."""
        return self.tolerance

    @property
    def calls(self) -> Mapping[str, Callable[[Any], object]]:
        """`score`."""
        return {"scoring": self.score}

    def score(self, texts: Sequence[str], query: str | None = None) -> Array:
        """The scores as they come, with `query` or the case's own."""
        scores: object = self.scorer.score(self.query if query is None else query, texts)
        if not isinstance(scores, np.ndarray):
            raise AssertionError(f"score gives {type(scores).__name__}, not an array")
        return scores

    def measure(self, texts: Sequence[str], role: Role = "document") -> list[Array]:
        """A score a text."""
        return list(self.score(texts))

    def measure_oddity(self, text: str) -> list[list[Array]]:
        """The odd text among texts, and as the query."""
        among = self.score([self.texts[0], text])
        return [list(among), list(self.score(self.texts[:2], text))]

    def distance(self, one: Array, other: Array) -> float:
        """The absolute difference."""
        return float(np.abs(one - other))


C = TypeVar("C", EncoderCase, ScorerCase)


def _run(case: C, checks: Sequence[Callable[[C], None]], name: str) -> None:
    broken = []
    for check in checks:
        try:
            check(case)
        except AssertionError as failure:
            broken.append(str(failure))
    broken = list(dict.fromkeys(broken))
    if broken:
        raise AssertionError(f"{name} breaks {len(broken)} promises:\n- " + "\n- ".join(broken))


def _usable(texts: Sequence[str]) -> tuple[str, ...]:
    if len(set(texts)) < 3 or len(set(texts)) != len(texts):
        raise InvalidInput(f"{len(texts)} texts to check with", expected="at least three, all different")
    return tuple(texts)


def items_of(vectors: Vectors) -> list[Array]:
    """Each item's array: one row, or the rows of a text in late interaction."""
    if vectors.starts is None:
        return list(vectors.data)
    return np.split(vectors.data, vectors.starts[1:]) if len(vectors.starts) else []


def _agree(case: Case, one: Sequence[Array], other: Sequence[Array], *, otherwise: str, within: float) -> None:
    worst = max((case.distance(a, b) for a, b in zip(one, other, strict=False)), default=0.0)
    expect(
        len(one) == len(other) and worst <= within,
        f"{otherwise} (apart by {worst:.2g}, allowed {within:.2g})",
    )


# What encoders and scorers promise alike.


def _keeps_the_order(case: Case) -> None:
    backward = case.measure(case.texts[::-1])[::-1]
    otherwise = f"{case.noun}s are not in the order of the texts"
    _agree(case, case.measure(case.texts), backward, otherwise=otherwise, within=case.tolerance)


def _treats_each_text_alone(case: Case) -> None:
    together, depends = case.measure(case.texts), f"a text's {case.noun} depends on"
    alone = [item for text in case.texts for item in case.measure([text])]
    _agree(case, together, alone, otherwise=f"{depends} the texts beside it", within=case.tolerance)
    many = case.measure(case.texts * 30)[-len(case.texts) :]
    _agree(case, together, many, otherwise=f"{depends} how many texts there are", within=case.tolerance)


def _repeats(case: Case) -> None:
    for role in case.roles:
        one, other = case.measure(case.texts, role), case.measure(case.texts, role)
        _agree(case, one, other, otherwise=f"the same call twice differs for role {role!r}", within=case.same_call)


def _refuses_wrong_texts(case: Case) -> None:
    for using, call in case.calls.items():
        for what, texts in WRONG_TEXTS.items():
            refuses(partial(call, texts), InvalidInput, f"{using} {what}")


def _takes_or_refuses_oddities(case: Case) -> None:
    for name, text in ODDITIES.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncatedText)
                results = case.measure_oddity(text)
        except InvalidInput:
            continue
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{name} raises {type(error).__name__}, not InvalidInput") from error
        for items in results:
            expect(len(items) == 2, f"{name} changes the number of {case.noun}s: 2 texts gave {len(items)}")
            expect(all(np.isfinite(item).all() for item in items), f"{name} gives a {case.noun} that is not finite")


def _agrees_across_threads(case: Case) -> None:
    expected = case.measure(case.texts)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(case.measure, [case.texts] * 12):
            otherwise = f"four threads at once get other {case.noun}s than one"
            _agree(case, found, expected, otherwise=otherwise, within=case.same_call)


# What an encoder promises.


def _makes_vectors_of_its_space(case: EncoderCase) -> None:
    vectors = case.encode(case.texts)
    expect(isinstance(vectors, Vectors), f"encode gives {type(vectors).__name__}, not Vectors")
    expect(vectors.space == case.encoder.space, "its vectors are of another space than encoder.space")
    expect(vectors.space.dim == case.encoder.space.dim, "encoder.space has other dimensions than its vectors")
    expect(case.encoder.space == case.encoder.space, "encoder.space changes between two calls")


def _makes_one_item_a_text(case: EncoderCase) -> None:
    count = len(case.encode(case.texts))
    expect(count == len(case.texts), f"{len(case.texts)} texts gave {count} items")
    count = len(case.encode(tuple(case.texts[:2])))
    expect(count == 2, f"a tuple of 2 texts gave {count} items")


def _makes_rows_a_token_for_maxsim(case: EncoderCase) -> None:
    vectors = case.encode(case.texts)
    many = vectors.space.similarity == "maxsim"
    expect((vectors.starts is not None) == many, "starts are for the similarity maxsim and for no other")
    longer = [len(item) for item in case.measure(["sundial", "sundial " * 12])]
    expect(not many or longer[1] > longer[0], "a longer document has no more token vectors than one word")


def _makes_nothing_of_nothing(case: EncoderCase) -> None:
    for role in case.roles:
        vectors = case.encode([], role)
        expect(len(vectors) == 0, f"no texts gave {len(vectors)} items")
        expect(vectors.space == case.encoder.space, "no texts gave vectors of another space")
    expect(list(case.encoder.count_tokens([], role="query")) == [], "no texts gave token counts")


def _tells_texts_apart(case: EncoderCase) -> None:
    items = case.measure(case.texts)
    for at, one in enumerate(items):
        for other in range(at):
            alike = drift(one, items[other]) <= case.tolerance
            expect(not alike, f"two different texts, {at} and {other}, got the same vector")


def _makes_equal_vectors_of_equal_texts(case: EncoderCase) -> None:
    items = case.measure([case.texts[0], *case.texts, case.texts[0]])
    otherwise = "one text given three times got different vectors"
    _agree(case, [items[0], items[0]], [items[1], items[-1]], otherwise=otherwise, within=case.tolerance)


def _makes_unit_vectors(case: EncoderCase) -> None:
    similarity = case.encoder.space.similarity
    if similarity not in ("cosine", "maxsim"):
        return
    for role in case.roles:
        lengths = np.linalg.norm(case.encode(case.texts, role).data, axis=1)
        off = float(np.abs(lengths - 1).max())
        expect(off <= 1e-3, f"{similarity} vectors must have length 1; for role {role!r} one is off by {off:.2g}")


def _refuses_unknown_roles(case: EncoderCase) -> None:
    calls: tuple[Callable[..., object], ...] = (case.encoder.encode, case.encoder.count_tokens)
    for name, call in zip(("encode", "count_tokens"), calls, strict=True):
        refuses(partial(call, ["a"], role="passage"), InvalidInput, f"{name} for a role that does not exist")


def _has_a_method_for_each_role(case: EncoderCase) -> None:
    """Where there are `encode_query` and `encode_document`, which the contract does not ask for."""
    if not isinstance(case.encoder, RoleEncoder):
        return
    methods: Mapping[Role, Callable[..., Vectors]] = {
        "query": case.encoder.encode_query,
        "document": case.encoder.encode_document,
    }
    for role, method in methods.items():
        expected, name = case.measure(case.texts, role), f"encode_{role}"
        otherwise = f"{name} differs from encode for the role {role!r}"
        _agree(case, items_of(method(case.texts)), expected, otherwise=otherwise, within=SAME_CALL)
        lone = items_of(method(case.texts[0]))
        expect(len(lone) == 1, f"{name} of a lone string gave {len(lone)} items, not 1")
        _agree(case, lone, expected[:1], otherwise=f"{otherwise} and a lone string", within=case.tolerance)


def _counts_tokens(case: EncoderCase) -> None:
    count = case.encoder.count_tokens
    for role in case.roles:
        growing = [" ".join(["sundial"] * words) for words in (1, 2, 4, 8, 16)]
        counts = list(count(growing, role=role))
        expect(counts == sorted(set(counts)), f"token counts of growing texts do not grow: {counts}")
        expect(counts[0] > 0, "a word counts no tokens")
        alone = [count([text], role=role)[0] for text in growing]
        expect(alone == counts, f"token counts depend on the texts beside: {alone} alone, {counts} together")


def _tells_of_over_long_texts(case: EncoderCase) -> None:
    limit = case.encoder.max_tokens
    if limit > LONGEST_TRIED:
        return
    words = limit
    while case.encoder.count_tokens([long := "sundial " * words], role="document")[0] <= limit:
        words *= 2
        expect(words < 100 * limit + 100, "count_tokens never rises above max_tokens: it counts after the cut")
    try:
        is_told = TruncatedText in _warnings_of(case, [case.texts[0], long])
    except InvalidInput:  # it cannot cut, and does not
        is_told = True
    expect(is_told, "an over-long text is neither refused nor warned of with TruncatedText")
    expect(TruncatedText not in _warnings_of(case, case.texts), "TruncatedText is given though no text is over-long")


def _warnings_of(case: EncoderCase, texts: Sequence[str]) -> set[type[Warning]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case.encode(texts)
    return {warning.category for warning in caught}


def _shares_its_tokenizer_as_json(case: EncoderCase) -> None:
    plain = case.encoder.tokenizer_json
    try:
        valid = plain is None or isinstance(json.loads(plain), dict)
    except ValueError:
        valid = False
    expect(valid, "tokenizer_json is neither None nor a JSON object")


def _says_how_it_counts(case: EncoderCase) -> None:
    counting = getattr(case.encoder, "token_counting", None)
    if counting is not None:
        texts = ["", *case.texts, "ünïcode 中文 ภาษาไทย 👩\u200d👧\n\n\tx"]
        alike = counting.counter()(texts) == case.encoder.count_tokens(texts, role="document")
        expect(alike, "token_counting counts other tokens than count_tokens does")


# What a scorer promises.


def _makes_one_score_a_text(case: ScorerCase) -> None:
    scores = case.score(case.texts)
    expect(scores.shape == (len(case.texts),), f"{len(case.texts)} texts gave scores of shape {scores.shape}")
    expect(scores.dtype.kind == "f", f"scores are {scores.dtype}, not floating point")
    expect(bool(np.isfinite(scores).all()), "some scores are not finite")
    expect(case.score([]).shape == (0,), "no texts must give no scores")


def _depends_on_texts_and_query(case: ScorerCase) -> None:
    scores = case.score(case.texts)
    expect(float(np.ptp(scores)) > 0, "all texts get one score")
    other = case.score(case.texts, case.texts[0])
    expect(not np.array_equal(scores, other), "another query gets the same scores")


def _refuses_wrong_queries(case: ScorerCase) -> None:
    query: Any = None
    refuses(lambda: case.scorer.score(query, ["a"]), InvalidInput, "a query that is no string")


SHARED_CHECKS: tuple[Callable[[Case], None], ...] = (
    _keeps_the_order,
    _treats_each_text_alone,
    _repeats,
    _refuses_wrong_texts,
    _takes_or_refuses_oddities,
    _agrees_across_threads,
)
ENCODER_CHECKS: tuple[Callable[[EncoderCase], None], ...] = (
    _makes_vectors_of_its_space,
    _makes_one_item_a_text,
    _makes_rows_a_token_for_maxsim,
    _makes_nothing_of_nothing,
    _tells_texts_apart,
    _makes_equal_vectors_of_equal_texts,
    _makes_unit_vectors,
    *SHARED_CHECKS,
    _refuses_unknown_roles,
    _has_a_method_for_each_role,
    _counts_tokens,
    _tells_of_over_long_texts,
    _shares_its_tokenizer_as_json,
    _says_how_it_counts,
)
SCORER_CHECKS: tuple[Callable[[ScorerCase], None], ...] = (
    _makes_one_score_a_text,
    _depends_on_texts_and_query,
    *SHARED_CHECKS,
    _refuses_wrong_queries,
)
