"""An encoder that sends texts to a server, with what it costs counted for the collection."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from gnomon.collection.catalog.spending import SpendingLedger
from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import ProviderFailed
from gnomon.core.usage import DelegatingMeteredEncoder, EncodedBatch, MaySend, MeteredEncoder, always
from gnomon.core.vectors import Vectors
from gnomon.encode.stored import StoredEncoder, stored_as

_PATIENCE_S = 3.0


class CountedEncoder(DelegatingMeteredEncoder):
    """Does everything as a `MeteredEncoder` does, and puts what each request cost into the collection's ledger.

    Two collections may share one encoder: each counts its own requests.
    """

    def __init__(
        self, encoder: MeteredEncoder, ledger: SpendingLedger, *, model: str, patience_s: float = math.inf
    ) -> None:
        super().__init__(encoder)
        self._ledger, self._model, self._patience_s = ledger, model, patience_s

    def for_searches(self) -> CountedEncoder:
        """The same, which sends no request again after a few seconds: somebody waits for the answer."""
        return CountedEncoder(self.encoder, self._ledger, model=self._model, patience_s=_PATIENCE_S)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The wrapped encoder's, counted."""
        if isinstance(texts, str) or not texts:
            return self.encoder.encode(texts, role=role)
        rows, done = np.zeros((len(texts), self.space.dim), dtype=np.float32), 0
        until = time.monotonic() + self._patience_s
        for batch in self.encode_batches(texts, role=role, may_send=lambda *_: time.monotonic() < until):
            rows[batch.positions] = batch.vectors.data
            done += len(batch.positions)
        if done < len(texts):
            raise ProviderFailed(
                f"{self.space.name} gave no vector within {self._patience_s:g} s",
                expected="an answer while somebody waits for it",
                hint="try again in a while",
            )
        return Vectors(rows, self.space)

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        """The wrapped encoder's, counted."""
        for batch in self.encoder.encode_batches(texts, role=role, may_send=may_send):
            self._ledger.add(self._model, role, batch.usage)
            yield batch


def counted(encoder: Encoder, ledger: SpendingLedger, *, model: str) -> Encoder:
    """The encoder, with what it costs counted where it sends texts to a server."""
    if isinstance(encoder, StoredEncoder):
        return stored_as(counted(encoder.encoder, ledger, model=model), encoder.space.vector_type)
    if isinstance(encoder, MeteredEncoder) and not isinstance(encoder, CountedEncoder):
        return CountedEncoder(encoder, ledger, model=model)
    return encoder


def for_searches(encoder: Encoder) -> Encoder:
    """The encoder, which gives up sooner where it sends queries to a server."""
    if isinstance(encoder, StoredEncoder):
        return stored_as(for_searches(encoder.encoder), encoder.space.vector_type)
    return encoder.for_searches() if isinstance(encoder, CountedEncoder) else encoder
