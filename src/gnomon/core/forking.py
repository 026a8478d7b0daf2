"""Fork safety: what a forked child must not inherit (threads, locks, database connections) is let go of there.

`os.fork`, multiprocessing's "fork" method, servers that preload and data loaders copy one thread of a process: locks
that others held stay locked for ever, thread pools wait for threads that do not exist, and SQLite forbids connections
across a fork. Objects that hold such things register here and start afresh in the child.
"""

from __future__ import annotations

import contextvars
import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ForkAware(Protocol):
    """An object that prepares for a fork, and starts afresh in the child. Neither method may raise or wait."""

    def before_fork(self) -> None:
        """Called in the parent, in the thread that forks."""
        ...

    def after_fork_in_child(self) -> None:
        """Called in the child. Nothing is loaded here: the child may never use the object."""
        ...


_is_child = False
_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def fork_aware(instance: ForkAware) -> None:
    """Tell an object of each fork of this process, as long as it lives."""
    _registered.add(instance)


def leak(*values: object) -> None:
    """Keep values for ever: destructors that join threads or close connections must not run in a forked child."""
    for value in values:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


class SharedThreads:
    """A pool of threads for the whole process, made with the first call; a forked child makes its own."""

    def __init__(self, size: Callable[[], int], name: str) -> None:
        self._size, self._name = size, name
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        fork_aware(self)

    def submit(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in one of the threads, in a copy of the caller's context."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._size(), thread_name_prefix=self._name)
            context = contextvars.copy_context()
            return self._pool.submit(lambda: context.run(call, *args, **kwargs))

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """The threads are the parent's."""
        leak(self._pool)
        self._pool, self._lock = None, threading.Lock()


def _before() -> None:
    for each in list(_registered):
        each.before_fork()


def is_forked_child() -> bool:
    """Whether this process was forked from one that had gnomon imported."""
    return _is_child


def _in_child() -> None:
    global _is_child
    _is_child = True
    faiss = sys.modules.get("faiss")
    if faiss is not None:  # its OpenMP would wait for the parent's threads
        faiss.omp_set_num_threads(1)
    for each in list(_registered):
        each.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_in_child)
