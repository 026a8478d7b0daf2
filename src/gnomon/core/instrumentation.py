"""Instrumentation: the stages of an operation with their times, and what it counts, told to whoever observes.

Code that does something worth timing says so with `stage`, and `count`s. Without an observer, as in every use but a
server's, that costs one look at a context variable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol


class Observer(Protocol):
    """What is told of stages and counts, in the thread where they happen. It must neither raise nor wait."""

    def on_stage(self, name: str, started_ns: int, seconds: float) -> None:
        """A stage ended. `started_ns` is the Unix time of its start in nanoseconds, `seconds` what it took."""
        ...

    def on_count(self, name: str, amounts: Mapping[str, float]) -> None:
        """Something was counted, such as the "texts" and "tokens" of a "batch"."""
        ...


_observer: ContextVar[Observer | None] = ContextVar("gnomon_observer", default=None)
_UNOBSERVED: AbstractContextManager[None] = nullcontext()


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Within it, stages and counts of this context (and of threads that copy it) are told to an observer.

    >>> class Printing:
    ...     def on_stage(self, name, started_ns, seconds): print(name)
    ...     def on_count(self, name, amounts): print(name, amounts)
    >>> with observed_by(Printing()), stage("encode"):
    ...     count("batch", texts=2)
    batch {'texts': 2}
    encode
    """
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def stage(name: str) -> AbstractContextManager[None]:
    """A stage of an operation: `with stage("encode"): ...`. It is told of when it ends, with an error too."""
    observer = _observer.get()
    return _UNOBSERVED if observer is None else _Stage(observer, name)


def count(name: str, **amounts: float) -> None:
    """Tell the observer, if there is one, of amounts by name."""
    observer = _observer.get()
    if observer is not None:
        observer.on_count(name, amounts)


class _Stage:
    """A stage that is observed."""

    __slots__ = ("_from", "_name", "_observer", "_started_ns")

    def __init__(self, observer: Observer, name: str) -> None:
        self._observer, self._name = observer, name

    def __enter__(self) -> None:
        self._started_ns, self._from = time.time_ns(), time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._observer.on_stage(self._name, self._started_ns, time.perf_counter() - self._from)
