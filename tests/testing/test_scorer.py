"""check_scorer passes what keeps the promises, and names each promise that is broken."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import maxsim
from gnomon.testing.encoder import QUERY, SCORER_CHECKS, TEXTS, ScorerCase, check_scorer
from gnomon.testing.toys import LateHashEncoder

pytestmark = pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")


class Words:
    """Scores by the words that query and text share, and a little by their number."""

    def __init__(self) -> None:
        self.encoder = LateHashEncoder()

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        asked = self.encoder.encode([query], role="query")
        vectors = self.encoder.encode(texts, role="document")
        assert vectors.starts is not None
        return maxsim(asked.data, vectors.data, vectors.starts).astype(np.float32)


class Listing(Words):
    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return list(super().score(query, texts))  # type: ignore[return-value]


class Alike(Words):
    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return super().score(query, texts) * 0


class Sorted(Words):
    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return np.sort(super().score(query, texts))


class Scaled(Words):
    """As one is that gives the share of the best."""

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        found = super().score(query, texts)
        return found / found.sum() if len(found) else found


class Noisy(Words):
    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(1)

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return super().score(query, texts) + self.rng.random(len(texts)).astype(np.float32)


class Trusting(Words):
    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return super().score(str(query), [str(text) for text in texts])


class Fragile(Words):
    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        [text.encode() for text in texts if isinstance(text, str)]
        return super().score(query, texts)


class Shared(Words):
    """Works in one thread alone."""

    def __init__(self) -> None:
        super().__init__()
        self.home = threading.get_ident()

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return super().score(query, texts) + np.float32(threading.get_ident() != self.home)


BROKEN = {
    Listing: "score gives list, not an array",
    Alike: "all texts get one score",
    Sorted: "scores are not in the order of the texts",
    Scaled: "a text's score depends on the texts beside it",
    Noisy: "the same call twice differs",
    Trusting: "scoring a lone string must raise InvalidInput, but passed",
    Fragile: "a lone surrogate raises UnicodeEncodeError, not InvalidInput",
    Shared: "four threads at once get other scores than one",
}


def test_what_keeps_the_promises_passes() -> None:
    check_scorer(Words())


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_promise_is_named(kind: type[Words]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_scorer(kind())
    assert BROKEN[kind] in str(caught.value)


def test_there_is_a_broken_scorer_for_every_check() -> None:
    failed = set()
    for kind in BROKEN:
        for check in SCORER_CHECKS:
            try:
                check(ScorerCase(kind(), QUERY, TEXTS, 1e-3))
            except AssertionError:
                failed.add(check)
    assert [check.__name__ for check in SCORER_CHECKS if check not in failed] == []


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least three, all different"):
        check_scorer(Words(), texts=["a", "b", "b"])
