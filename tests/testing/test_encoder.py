"""check_encoder passes what keeps the promises, and names each promise that is broken."""

import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.token_counting import TokenCounting
from gnomon.core.vectors import Vectors
from gnomon.testing.encoder import ENCODER_CHECKS, TEXTS, EncoderCase, check_encoder, drift
from gnomon.testing.toys import HashEncoder, LateHashEncoder


def quiet(encoder: Encoder, texts: Sequence[str], role: Role) -> Vectors:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return encoder.encode(texts, role=role)


pytestmark = pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")


class Anonymous(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return Vectors(super().encode(texts, role=role).data, HashEncoder(salt="other").space)


class Lossy(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return super().encode(texts, role=role).take(range(min(len(texts), 3)))


class RefusesNothing(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        if not texts:
            return super().encode(["nothing"], role=role)
        return super().encode(texts, role=role)


class Constant(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return super().encode(texts, role=role).take([0] * len(texts))


class Sorted(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        return vectors.take(np.argsort([len(text) for text in texts])) if len(vectors) else vectors


class Neighbourly(HashEncoder):
    """As an encoder is whose padding counts: the longest text beside it shows in a vector."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        if not len(vectors):
            return vectors
        moved = vectors.data + np.float32(0.001 * max(len(text) for text in texts))
        return Vectors(moved / np.linalg.norm(moved, axis=1, keepdims=True), self.space)


class Counting(HashEncoder):
    """Every row a little further from its text than the one before."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        data = super().encode(texts, role=role).data
        moved = data + np.float32(0.05) * np.arange(len(data), dtype=np.float32)[:, None]
        return Vectors(moved / np.linalg.norm(moved, axis=1, keepdims=True), self.space)


class Noisy(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        data = super().encode(texts, role=role).data
        moved = data + np.random.default_rng().normal(0, 0.002, data.shape).astype(np.float32)
        return Vectors(moved / np.linalg.norm(moved, axis=1, keepdims=True), self.space)


class Long(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return Vectors(super().encode(texts, role=role).data * 2, self.space)


class Trusting(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return super().encode(list(texts), role=role)


class AnyRole(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return super().encode(texts, role="query")


class Spelling(HashEncoder):
    """As an encoder is that takes a lone string for a list of characters."""

    def encode_query(self, texts: str | Sequence[str]) -> Vectors:
        return self.encode(list(texts), role="query")


class Swapped(HashEncoder):
    """As an encoder is whose method for documents encodes queries."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        data = super().encode(texts, role=role).data
        return Vectors(data[:, ::-1] if role == "query" else data, self.space)

    def encode_document(self, texts: str | Sequence[str]) -> Vectors:
        return self.encode_query(texts)


class Capped(HashEncoder):
    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return [min(count, self.max_tokens) for count in super().count_tokens(texts, role=role)]


class CountsTogether(HashEncoder):
    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return [count + len(texts) for count in super().count_tokens(texts, role=role)]


class Silent(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return quiet(HashEncoder(), texts, role)


class Fragile(HashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        for text in texts:
            if isinstance(text, str):
                text.encode()
        return super().encode(texts, role=role)


class Shared(HashEncoder):
    """As an encoder is whose threads write to one buffer."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        if threading.current_thread() is threading.main_thread() or not len(vectors):
            return vectors
        return vectors.take(np.roll(np.arange(len(vectors)), 1))


class BadTokenizer(HashEncoder):
    @property
    def tokenizer_json(self) -> str | None:
        return "tokenizer.json"


class Miscounting(HashEncoder):
    """As an encoder is that says it counts by another tokenizer than its own."""

    @property
    def token_counting(self) -> TokenCounting:
        return TokenCounting(Tokenizer(WordLevel({"?": 0}, unk_token="?")).to_str())


class Scant(LateHashEncoder):
    """As an encoder is that gives each text its first word's vector alone."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        rows = vectors.data[vectors.starts] if len(vectors) else vectors.data
        return Vectors(rows, self.space, np.arange(len(rows)))


class Unscaled(LateHashEncoder):
    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = super().encode(texts, role=role)
        return Vectors(2 * vectors.data, self.space, vectors.starts)


BROKEN: dict[type[Any], str] = {
    Anonymous: "its vectors are of another space than encoder.space",
    Lossy: "7 texts gave 3 items",
    RefusesNothing: "no texts gave 1 items",
    Constant: "two different texts, 1 and 0, got the same vector",
    Sorted: "vectors are not in the order of the texts",
    Neighbourly: "a text's vector depends on the texts beside it",
    Counting: "one text given three times got different vectors",
    Noisy: "the same call twice differs for role 'query'",
    Long: "cosine vectors must have length 1; for role 'query' one is off by 1",
    Trusting: "encode of a lone string must raise InvalidInput, but passed",
    AnyRole: "encode for a role that does not exist must raise InvalidInput, but passed",
    Spelling: "encode_query of a lone string gave 48 items, not 1",
    Swapped: "encode_document differs from encode for the role 'document'",
    Capped: "count_tokens never rises above max_tokens: it counts after the cut",
    CountsTogether: "token counts depend on the texts beside",
    Silent: "an over-long text is neither refused nor warned of with TruncatedText",
    Fragile: "a lone surrogate raises UnicodeEncodeError, not InvalidInput",
    Shared: "four threads at once get other vectors than one",
    Scant: "a longer document has no more token vectors than one word",
    Unscaled: "maxsim vectors must have length 1; for role 'query' one is off by 1",
    BadTokenizer: "tokenizer_json is neither None nor a JSON object",
    Miscounting: "token_counting counts other tokens than count_tokens does",
}


@pytest.mark.parametrize("dim", [8, 256])
def test_the_toy_keeps_every_promise(dim: int) -> None:
    check_encoder(HashEncoder(dim))


def test_the_toy_of_late_interaction_keeps_every_promise() -> None:
    check_encoder(LateHashEncoder())


def test_a_limit_too_high_to_try_is_no_fault() -> None:
    check_encoder(HashEncoder(max_tokens=1_000_000))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_promise_is_named(kind: type[HashEncoder]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_encoder(kind())
    assert str(caught.value).startswith(f"{kind.__name__} breaks ")
    assert BROKEN[kind] in str(caught.value)


def test_there_is_a_broken_encoder_for_every_check() -> None:
    failed = set()
    for kind in BROKEN:
        for check in ENCODER_CHECKS:
            try:
                check(EncoderCase(kind(), TEXTS, 5e-4))
            except AssertionError:
                failed.add(check)
    assert [check.__name__ for check in ENCODER_CHECKS if check not in failed] == []


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least three, all different"):
        check_encoder(HashEncoder(), texts=["a", "b", "b"])


def test_drift_is_one_minus_cosine_for_unit_vectors() -> None:
    one, other = np.array([1.0, 0.0]), np.array([0.6, 0.8])
    assert drift(one, other) == pytest.approx(1 - one @ other)
    assert drift(one, np.ones(3)) == float("inf")
