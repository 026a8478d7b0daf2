"""A server that changed its model under the same name shows by canaries, whose tolerance is its own noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import update

from gnomon.collection import Collection
from gnomon.collection.catalog import canaries, schema
from gnomon.core.errors import InvalidVectors, SpaceMismatch
from gnomon.core.similarity import normalise
from gnomon.monitor.checks import check_canaries
from support.metered_encoder import MeteredHashEncoder

ON_BOTH = True


def noisy(share: float, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Turns vectors by a random angle whose cosine is about 1 - share."""
    random = np.random.default_rng(seed)

    def turn(rows: np.ndarray) -> np.ndarray:
        return normalise(rows + (2 * share) ** 0.5 * normalise(random.standard_normal(rows.shape).astype("f4")))

    return turn


def a_day_later(kb: Collection) -> None:
    with kb.internals.catalog.write() as connection:
        connection.execute(update(schema.spaces).values(checked="2026-01-01T00:00:00+00:00"))


def test_the_tolerance_is_measured(opened: Callable[..., Collection]) -> None:
    encoder = MeteredHashEncoder(turn=noisy(0.002))
    kb = opened(encoder=encoder)
    with kb.internals.catalog.read() as connection:
        kept = canaries.kept(connection, kb.version.space_id)
    assert len(kept.texts) == len(canaries.SERVER_CANARIES) == 16
    assert 0.97 < kept.tolerance < 0.99
    assert encoder.usage.tokens < 1000
    a_day_later(kb)
    assert kb.add("one text").embedded == 1  # the noise is no change
    kb.close()
    quiet = MeteredHashEncoder(salt="quiet")
    assert canaries.make_canaries(quiet).tolerance == canaries.TOLERANCE
    with pytest.raises(InvalidVectors, match="one request to the next"):
        canaries.make_canaries(MeteredHashEncoder(turn=noisy(0.1)))


def test_a_changed_model_is_refused_before_anything_is_embedded(opened: Callable[..., Collection]) -> None:
    kb = opened(encoder=MeteredHashEncoder())
    kb.add("one text")
    a_day_later(kb)
    kb.close()
    changed = MeteredHashEncoder(turn=noisy(0.05))
    kb = opened(encoder=changed)
    with pytest.raises(SpaceMismatch, match=r"at cosine 0\.9\d+ .*the model behind hash-64") as caught:
        kb.add("another text")
    assert "0.9990 or more" in caught.value.expected
    assert "must not be mixed" in caught.value.hint
    assert "another text" not in changed.server.of("document")
    found, encoder = check_canaries(kb)
    assert (found.check.state, found.check.cause, encoder) == ("alarm", "model changed", None)
    assert "the provider changed the model" in found.check.hint


def test_they_are_sent_once_a_day(opened: Callable[..., Collection]) -> None:
    encoder = MeteredHashEncoder()
    kb = opened(encoder=encoder)
    sent = len(encoder.server.sent)
    for number in range(3):
        kb.add(f"text {number}")
    kb.search("text")
    assert len(encoder.server.sent) == sent + 4
    kb.close()
    kb = opened(encoder=encoder)
    a_day_later(kb)
    kb.add("text 4")
    assert len(encoder.server.sent) == sent + 4 + 16 + 1
