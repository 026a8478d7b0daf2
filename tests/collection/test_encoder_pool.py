"""Searches beside an index run of the same process have a model of their own, and only then."""

from __future__ import annotations

import threading

from gnomon.collection.serving.encoders import EncoderPool
from gnomon.core.contracts import Encoder
from gnomon.core.errors import ModelNotFound
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder


class Counted:
    """Opens toy encoders, and counts them."""

    def __init__(self, *, most: int = 9) -> None:
        self.made: list[Encoder] = []
        self._most = most

    def __call__(self) -> Encoder:
        if len(self.made) == self._most:
            raise ModelNotFound("gone")
        self.made.append(HashEncoder(16))
        return self.made[-1]


class Stuck(HashEncoder):
    """Stands for a model in the midst of a long batch: encodes documents only once it is let go."""

    def __init__(self) -> None:
        super().__init__(16)
        self.begun, self.go = threading.Event(), threading.Event()

    def encode(self, texts: object, *, role: object) -> Vectors:
        if role == "document":
            self.begun.set()
            assert self.go.wait(60)
        return super().encode(texts, role=role)  # type: ignore[arg-type]


def test_one_model_serves_all_while_no_run_is_on() -> None:
    opens = Counted()
    encoders = EncoderPool(opens)
    assert opens.made == []
    assert encoders.encoder is encoders.encoder
    assert encoders.for_searches() is encoders.for_searches()
    with encoders.index_run():
        assert len(opens.made) == 2, "loaded by the run, so that no search has to wait for it"
        encoders.for_searches().encode(["a query"], role="query")
    with encoders.index_run():
        pass
    assert len(opens.made) == 2
    assert encoders.encoder is opens.made[0]


def test_a_run_alone_loads_one_model() -> None:
    opens = Counted()
    encoders = EncoderPool(opens)
    assert encoders.encoder
    with encoders.index_run():
        assert encoders.encoder
    encoders.for_searches()
    assert len(opens.made) == 1


def test_a_query_does_not_wait_for_a_batch_of_documents() -> None:
    stuck = Stuck()
    models = iter([stuck, HashEncoder(16)])
    encoders = EncoderPool(lambda: next(models))
    with encoders.index_run():
        run = threading.Thread(target=lambda: encoders.encoder.encode(["a document"], role="document"))
        run.start()
        assert stuck.begun.wait(60)
        found = encoders.for_searches().encode(["a query"], role="query")
        assert (found.data == stuck.encode(["a query"], role="query").data).all()
        assert run.is_alive()
        stuck.go.set()
        run.join()


def test_without_a_second_model_searches_share_the_first() -> None:
    encoders = EncoderPool(Counted(most=1))
    before = encoders.for_searches()
    with encoders.index_run():
        assert encoders.for_searches() is before


def test_an_encoder_that_was_handed_in_is_the_only_one() -> None:
    given = HashEncoder(16)
    encoders = EncoderPool(lambda: given)
    before = encoders.for_searches()
    with encoders.index_run():
        assert encoders.for_searches() is before
