"""Texts that a model knows nothing of say nothing, and end no question."""

from collections.abc import Sequence

import numpy as np

from gnomon.answer.verification.spans import unit_vectors
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder


class Choosy(HashEncoder):
    """Refuses a batch with a text that has no letter, as a static model does."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        if not all(any(char.isalpha() for char in text) for text in texts):
            raise InvalidInput("a text without a known word")
        return super().encode(texts, role=role)


def test_a_text_without_a_vector_has_a_row_of_zeros_and_the_others_theirs() -> None:
    encoder = Choosy(dim=16)
    rows = unit_vectors(encoder, ["keys", "----", "locks", "12"], "document")
    assert np.linalg.norm(rows, axis=1).round(5).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert np.allclose(rows[2], encoder.encode(["locks"], role="document").data[0], atol=1e-6)
    assert unit_vectors(encoder, [], "query").shape == (0, 16)
