"""Kills without another process: what is under way ends at a chosen boundary, and leaves what a kill leaves.

A boundary is before and after each commit of the catalog, and around each file of the indexes that is put in
force. At the chosen one either all is abandoned there, with the locks given back as the system does; or the
folder is copied as it lies, in the midst of a transaction maybe, and the copy is what is gone on with: then
not one line of the killed code runs any more that could tidy up behind it.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.indexes import derived, state
from gnomon.index import lexical
from gnomon.index.scan import ScanIndex


class Killed(BaseException):
    """The end of a process: nothing in the package catches it."""


class Fuse:
    """Burns down by one at each boundary that its thread comes to. `burnt` are those it saw."""

    def __init__(self, length: int, at_end: Callable[[], None]) -> None:
        self._left, self._at_end, self._thread = length, at_end, threading.get_ident()
        self.burnt, self.has_fired = 0, False

    def tick(self) -> None:
        if self.has_fired or threading.get_ident() != self._thread:
            return
        self.burnt += 1
        self._left -= 1
        if self._left < 0:
            self.has_fired = True
            self._at_end()
            raise Killed


_LIT: list[Fuse] = []


def _boundary() -> None:
    for fuse in _LIT:
        fuse.tick()


@contextmanager
def lit(fuse: Fuse) -> Iterator[None]:
    """Let it burn while this lasts. What it ends, ends here."""
    _LIT.append(fuse)
    try:
        yield
    except Killed:
        pass
    finally:
        _LIT.remove(fuse)


def _around(function: Callable[..., Any]) -> Callable[..., Any]:
    def bounded(*arguments: Any, **named: Any) -> Any:
        _boundary()
        result = function(*arguments, **named)
        _boundary()
        return result

    return bounded


@contextmanager
def boundaries() -> Iterator[None]:
    """Have the package say when it comes to one."""
    plain = Catalog.write

    @contextmanager
    def write(self: Catalog) -> Iterator[Any]:
        _boundary()
        with plain(self) as connection:
            yield connection
            _boundary()  # all is written, nothing is committed
        _boundary()

    patched: list[tuple[Any, str, Any]] = [(Catalog, "write", write)]
    for owner, name in (
        (derived, "write_state"),
        (state, "write_state"),
        (lexical, "write_manifest"),
        (lexical.LexicalIndex, "_settle"),
        (ScanIndex, "save"),
    ):
        patched.append((owner, name, _around(getattr(owner, name))))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patched]
    try:
        for owner, name, new in patched:
            setattr(owner, name, new)
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def abandoned(kb: Any) -> None:
    """Leave an open collection as a process does that is killed: nothing more is saved."""
    serving = kb.internals.serving
    serving._loader.close()
    for served in [*serving._closing, *serving._versions.values()]:
        served.derived._worker.close()
        if served.derived._current is not None:  # its lock on the folder goes with it
            served.derived._current[0].lexical._writer = None
    kb.internals.catalog.close()


def copied(folder: Path, to: Path) -> None:
    """A folder as it lies. Files that vanish meanwhile, of another handle's thread, had no name any more."""
    try:
        shutil.copytree(folder, to, ignore=shutil.ignore_patterns("*-shm"))
    except shutil.Error as error:  # all others are copied
        if any(Path(source).exists() for source, _, _ in error.args[0]):
            raise
