"""A collection's encoder, and a second one for searches beside an index run of the same process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gnomon.core.contracts import Encoder
from gnomon.core.errors import GnomonError
from gnomon.encode.batched import BatchedEncoder


class Encoders:
    """Opens the encoder when it is first needed. Used by any number of threads.

    One model runs one batch after another, so a query would wait for batches of an index run's documents,
    each of which takes many times as long. So while a run is on, searches have a model of their own, and the
    processor is shared between the two. For MiniLM it takes 40 MB.
    """

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._open = open_encoder
        self._lock = threading.Lock()
        self._own: Encoder | None = None
        self._shared: BatchedEncoder | None = None
        self._apart: BatchedEncoder | None = None
        self._runs = 0

    @property
    def is_open(self) -> bool:
        """Whether the encoder is loaded."""
        return self._own is not None

    @property
    def is_searching(self) -> bool:
        """Whether searches have asked for it."""
        return self._shared is not None

    @property
    def own(self) -> Encoder:
        """The encoder for all but searches, loaded and checked against its canaries when first needed."""
        with self._lock:
            return self._opened()

    def for_searches(self) -> Encoder:
        """The encoder for searches: queries of concurrent callers share an inference."""
        with self._lock:
            if self._shared is None:
                self._shared = BatchedEncoder(self._opened())
            if self._runs:
                self._open_apart(self._shared)
            return self._apart or self._shared

    @contextmanager
    def running(self) -> Iterator[None]:
        """An index run is on."""
        with self._lock:
            self._runs += 1
            if self._shared is not None:  # here, so that no search has to wait until it is loaded
                self._open_apart(self._shared)
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1

    def _opened(self) -> Encoder:
        if self._own is None:
            self._own = self._open()
        return self._own

    def _open_apart(self, instead: BatchedEncoder) -> None:
        if self._apart is not None:
            return
        try:
            other = self._open()
        except GnomonError:  # its files are gone since: searches share the one that there is
            other = self._opened()
        self._apart = instead if other is self._own else BatchedEncoder(other)
