"""A model's tokenizer with vectors drawn at random: what is measured of indexing is everything but the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

import gnomon
from gnomon.core.contracts import Role
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder


class DrawnEncoder(HashEncoder):
    """Tokens are counted by `model`; a text's vector is drawn by its checksum. Works with older trees of gnomon."""

    def __init__(self, model: str) -> None:
        super().__init__(384, max_tokens=256)
        self._model = gnomon.load_encoder(model)

    @property
    def tokenizer_json(self) -> str | None:
        """The model's."""
        return self._model.tokenizer_json

    @property
    def token_counting(self) -> Any:
        """The model's; older trees have none."""
        return getattr(self._model, "token_counting", None)

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """By the model's tokenizer."""
        return self._model.count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """A row of unit length a text, the same each time."""
        rows = np.stack([np.random.default_rng(crc32(text.encode())).standard_normal(384) for text in texts])
        rows = rows.astype("f4")
        return Vectors(rows / np.linalg.norm(rows, axis=1, keepdims=True), self.space)
