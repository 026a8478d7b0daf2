"""A session begun, or found again: its folder, its queries, its candidates."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, storage_errors
from gnomon.core.progress import ProgressCallback
from gnomon.judge.pool import (
    Candidates,
    PoolItem,
    choose_candidates,
    pool_items,
    require_difference,
    run_candidates,
)
from gnomon.judge.records import JudgingSettings
from gnomon.judge.state import Definition

FOLDER = "judgments"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
Queries = Mapping[str, str] | Sequence[str]


def session_folder(kb: Collection, name: str) -> Path:
    """The folder of a session. Raises InvalidInput for a name that no folder can have."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"a session of the name {name!r}", expected="letters, digits, '.', '-' and '_', 64 at most")
    return kb.internals.folder / FOLDER / name


def session_names(kb: Collection) -> list[str]:
    """The names of a collection's sessions, sorted."""
    folder = kb.internals.folder / FOLDER
    return sorted(path.parent.name for path in folder.glob("*/session.json")) if exists(folder) else []


def begin(
    kb: Collection,
    folder: Path,
    queries: Queries | None,
    *,
    candidates: Sequence[str] | None,
    settings: JudgingSettings | None,
    progress: ProgressCallback,
) -> Definition:
    """The definition in a session's folder, made where there is none. Raises as `JudgingSession.open` says."""
    found = Definition.load(folder)
    if found is not None:
        _require_same(found, folder.name, queries, candidates=candidates, settings=settings)
        return found
    if queries is None:
        raise InvalidInput(
            f"there is no session {folder.name!r} yet, and no queries to begin it with",
            expected="queries: a file of one a line, JSON lines, or the folder of a query log",
            hint=f"gnomon judge {shlex.quote(kb.internals.address)} --queries FILE",
        )
    made = _made(kb, _by_id(queries), candidates, settings=settings or JudgingSettings(), progress=progress)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            found = Definition.load(folder)  # another process may have been first
            if found is None:
                made.save(folder)
    return found or made


def _by_id(queries: Queries) -> dict[str, str]:
    """Distinct queries by id: those given, or their numbers."""
    if isinstance(queries, Mapping):
        given = {str(name): text for name, text in queries.items()}
    else:
        given = {f"q{number}": text for number, text in enumerate(dict.fromkeys(queries), start=1)}
    found = {name: text.strip() for name, text in given.items() if text.strip()}
    if not found:
        raise InvalidInput("no queries to judge for", expected="at least one", hint="give a file of recent queries")
    return found


def _made(
    kb: Collection,
    queries: dict[str, str],
    given: Sequence[str] | None,
    *,
    settings: JudgingSettings,
    progress: ProgressCallback,
) -> Definition:
    candidates = choose_candidates(kb, given)
    runs = run_candidates(kb, candidates, queries, depth=settings.depth, progress=progress)
    items, notes = pool_items(runs, list(queries), settings), []
    if given is None:
        candidates, items, same = _differing(candidates, items)
        notes = [f"{name} ranks as {candidates.names[0]} does for all queries: it is left out." for name in same]
    require_difference(items, candidates.names, len(queries))
    return Definition(settings, candidates, queries, tuple(items), tuple(notes))


def _differing(candidates: Candidates, items: list[PoolItem]) -> tuple[Candidates, list[PoolItem], list[str]]:
    """The candidates that differ from the baseline, with the items' weights for them, and the names of the others."""
    pairs = [at for at in range(len(candidates.names) - 1) if any(item.weights[at] for item in items)]
    if not pairs or len(pairs) == len(candidates.names) - 1:
        return candidates, items, []
    at = [0, *(pair + 1 for pair in pairs)]
    kept = Candidates(tuple(candidates.systems[i] for i in at), tuple(candidates.names[i] for i in at))
    same = [name for number, name in enumerate(candidates.names) if number not in at]
    narrowed = [PoolItem(i.query_id, i.document, i.rank, tuple(i.weights[p] for p in pairs)) for i in items]
    return kept, narrowed, same


def _require_same(
    found: Definition,
    name: str,
    queries: Queries | None,
    *,
    candidates: Sequence[str] | None,
    settings: JudgingSettings | None,
) -> None:
    """Raise InvalidInput for other queries, candidates or settings than a session was begun with."""
    other = []
    if queries is not None and sorted(_by_id(queries).values()) != sorted(found.queries.values()):
        other.append("queries")
    if candidates is not None and tuple(candidates) != found.candidates.systems:
        other.append("candidates")
    if settings is not None and settings != found.settings:
        other.append("settings")
    if other:
        raise InvalidInput(
            f"the session {name!r} was begun with other {' and '.join(other)}",
            expected="the same ones, or none: what was drawn and judged belongs to them",
            hint="leave them out to go on with it, or begin another session with --session NAME",
        )
