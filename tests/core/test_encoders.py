"""A method for each role, and encoders that delegate to another one."""

from collections.abc import Sequence

import numpy as np
import pytest

from gnomon.core.contracts import DelegatingEncoder, Encoder, Role, RoleEncoder, with_role_methods
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.testing import HashEncoder, check_encoder


class Minimal:
    """No more than the contract asks for."""

    lanes = 3
    tokenizer_json = None

    def __init__(self) -> None:
        self._encoder = HashEncoder()
        self.space: Space = self._encoder.space
        self.max_tokens: int = self._encoder.max_tokens

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return self._encoder.count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        if role == "query":
            return self._encoder.encode([f"query {text}" for text in texts], role=role)
        return self._encoder.encode(texts, role=role)


@pytest.mark.parametrize("texts", ["one text", ["one text"], ("one text", "another")])
def test_each_role_has_its_method_and_a_lone_string_is_one_text(texts: str | Sequence[str]) -> None:
    encoder = DelegatingEncoder(Minimal())
    listed = [texts] if isinstance(texts, str) else list(texts)
    queries, documents = encoder.encode_query(texts), encoder.encode_document(texts)
    np.testing.assert_array_equal(queries.data, encoder.encode(listed, role="query").data)
    np.testing.assert_array_equal(documents.data, encoder.encode(listed, role="document").data)
    assert len(queries) == len(documents) == len(listed)
    assert not np.array_equal(queries.data, documents.data)


def test_a_delegating_encoder_keeps_every_promise() -> None:
    check_encoder(DelegatingEncoder(HashEncoder()))


def test_all_but_what_is_overridden_is_the_wrapped_encoders() -> None:
    wrapped = Minimal()
    encoder = DelegatingEncoder(wrapped)
    assert (encoder.space, encoder.max_tokens, encoder.tokenizer_json) == (wrapped.space, 64, None)
    assert encoder.lanes == 3
    assert DelegatingEncoder(HashEncoder()).lanes == 1
    assert encoder.count_tokens(["three short words"], role="query") == [3]


def test_an_encoder_without_the_methods_is_wrapped_and_one_with_them_stays() -> None:
    complete, minimal = HashEncoder(), Minimal()
    assert with_role_methods(complete) is complete
    wrapped = with_role_methods(minimal)
    assert isinstance(minimal, Encoder)
    assert not isinstance(minimal, RoleEncoder)
    assert isinstance(wrapped, RoleEncoder)
    assert len(wrapped.encode_query("a text")) == 1
