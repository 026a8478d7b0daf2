"""Queries by another model of the same space: the claim is tested before it is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from gnomon.collection import Collection
from gnomon.collection.catalog.canaries import SERVER_CANARIES
from gnomon.collection.serving.shared_space import require_shared_space
from gnomon.collection.settings import QueryEncoderSettings
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.migrate import MigrateSettings, migrate
from gnomon.testing import HashEncoder
from support.metered_encoder import MeteredHashEncoder

ON_BOTH = True

TEXTS = ("the tide rises at noon", "copper roofs turn green", "ferries leave hourly", "ink fades in sunlight")


class Lite(MeteredHashEncoder):
    """The same directions as the large one's, a little off, under its own name."""

    def __init__(self, salt: str = "", **options: object) -> None:
        random = np.random.default_rng(1)

        def blur(rows: np.ndarray) -> np.ndarray:
            return normalise(rows + 0.3 * normalise(random.standard_normal(rows.shape).astype("f4")))

        super().__init__(salt=salt, turn=blur, **options)  # type: ignore[arg-type]

    @property
    def space(self) -> Space:
        own = self.toy.space
        return Space(f"{'b' * 63}{len(own.name) % 10}", own.dim, own.similarity, own.precision, f"lite-{own.name}")


LITE = {"query_encoder.model": "lite-hash-64"}


def searched_by(kb: Collection, large: MeteredHashEncoder, lite: MeteredHashEncoder) -> tuple[int, int]:
    before = len(large.server.of("query")), len(lite.server.of("query"))
    assert kb.search("when do ferries leave", mode="dense")[0].text.startswith("ferries")
    return len(large.server.of("query")) - before[0], len(lite.server.of("query")) - before[1]


def test_queries_go_to_the_other_model(opened: Callable[..., Collection]) -> None:
    large, lite = MeteredHashEncoder(), Lite()
    kb = opened(encoder=(large, lite))
    kb.add(TEXTS)
    documents = len(large.server.of("document"))
    assert searched_by(kb, large, lite) == (1, 0)
    migrate(kb, retrieval=LITE, settings=MigrateSettings(switch_if="never"))
    kb.switch("v2")
    assert searched_by(kb, large, lite) == (0, 1)
    assert len(large.server.of("document")) < documents + 40  # the canaries' texts, and no document again
    assert all(large.server.of("document").count(text) == 1 for text in TEXTS)
    kb.add("a new text of the large model")
    kb.run({"q": "when do ferries leave"})
    assert "a new text of the large model" in large.server.of("document")
    assert "a new text of the large model" not in lite.server.of("document")
    kb.rollback()
    assert searched_by(kb, large, lite) == (1, 0)
    models = {(each.model, each.role) for each in kb.status().spent}
    assert models >= {("hash-64", "document"), ("hash-64", "query"), ("lite-hash-64", "query")}


@pytest.mark.parametrize(("own", "is_shared"), [(16, True), (8, True), (7, False)])
def test_a_student_need_not_know_all_languages_of_the_test(own: int, is_shared: bool) -> None:
    class Student(HashEncoder):
        """Its teacher's vectors of so many of the texts; it has not seen what the others are about."""

        def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
            known, unknown = super().encode(texts, role=role), HashEncoder(64, salt="x").encode(texts, role=role)
            at = [text for _, text in SERVER_CANARIES].index
            rows = [(known if at(text) < own else unknown).data[n] for n, text in enumerate(texts)]
            return Vectors(np.stack(rows), self.space)

    if is_shared:
        require_shared_space(HashEncoder(64), Student(64))
        return
    with pytest.raises(SpaceMismatch, match=r"of 16 texts \d are nearest to themselves"):
        require_shared_space(HashEncoder(64), Student(64))


def test_a_claim_that_does_not_hold_is_refused(opened: Callable[..., Collection]) -> None:
    kb = opened(encoder=(MeteredHashEncoder(), Lite(salt="other")))
    kb.add(TEXTS)
    with pytest.raises(SpaceMismatch, match=r"does not share the space .* of 16 texts \d are nearest"):
        migrate(kb, retrieval={"query_encoder.model": "lite-hash-64-other"})
    assert [each.name for each in kb.versions.list()] == ["v1"]
    kb = opened(encoder=(MeteredHashEncoder(), Lite(dim=32)))
    with pytest.raises(SpaceMismatch, match="one number of dimensions"):
        migrate(kb, retrieval={"query_encoder.model": "lite-hash-32"})
    with pytest.raises(InvalidInput, match=r"query_encoder\.model"):
        QueryEncoderSettings("")
