"""Searches of two versions in one list, while `gnomon migrate --interleave` goes on.

What goes on is in the catalog. It is looked at in the background, every other second and only while there are searches,
so that a search waits neither for that nor for the candidate to be loaded.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from gnomon.collection import Collection
from gnomon.core.errors import GnomonError
from gnomon.evaluate.interleaving import team_draft
from gnomon.migrate import active_interleaving
from gnomon.migrate.interleaving import ActiveInterleaving
from gnomon.serve.schemas.search import MOST_HITS
from gnomon.serve.searches import Found
from gnomon.serve.versions import SearchSettings

_LOG = logging.getLogger("gnomon.serve")
_FRESH_S = 2.0
"""How long what the catalog says may go unnoticed."""


@dataclass
class _Seen:
    kb: Collection
    active: ActiveInterleaving | None = None
    at: float = float("-inf")
    failed: str = ""


class Interleavings:
    """The interleavings of the collections that a process serves. Used in the event loop alone."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}

    def of(self, name: str, get: Callable[[str], Collection]) -> ActiveInterleaving | None:
        """What goes on in a collection, once its candidate is loaded, for one of the share of its searches.

        It is as it was a moment ago. Raises what `get` raises, which gives the collection.
        """
        kb = get(name)
        seen = self._seen.get(name)
        if seen is None or seen.kb is not kb:
            seen = self._seen[name] = _Seen(kb)
        if time.monotonic() - seen.at > _FRESH_S and name not in self._looking:
            self._looking[name] = asyncio.create_task(self._look(name, seen))
        return seen.active if seen.active is not None and random.random() < seen.active.share else None

    async def close(self) -> None:
        """Wait until nothing is looked at any more."""
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _look(self, name: str, seen: _Seen) -> None:
        try:
            seen.active = await asyncio.to_thread(_loaded, seen.kb, seen.active)
            seen.failed = ""
        except GnomonError as error:
            seen.active = None
            if error.message != seen.failed:
                _LOG.warning("searches of %s are not interleaved: %s", name, error.message)
            seen.failed = error.message
        finally:
            seen.at = time.monotonic()
            del self._looking[name]


def _loaded(kb: Collection, before: ActiveInterleaving | None) -> ActiveInterleaving | None:
    active = active_interleaving(kb)
    if active is not None and active != before:
        kb.pinned(active.candidate).internals.warm()
    return active


async def search_both(
    search: Callable[[SearchSettings], Awaitable[Found]], settings: SearchSettings, active: ActiveInterleaving
) -> tuple[Found, dict[str, Any]]:
    """A query's hits by both versions at once, in one list, as if the live version had found it.

    With them come the fields of `LoggedQuery` that say whose they are. A document's passages are all of one version.
    Where the candidate cannot search the hits are the live version's, and there are no such fields. Raises what a
    search by the live version raises.
    """
    deep = min(MOST_HITS, settings.k if settings.by == "document" else 2 * settings.k)
    live, candidate = await asyncio.gather(
        *(search(replace(settings, version=name, k=deep)) for name in (active.live, active.candidate)),
        return_exceptions=True,
    )
    if isinstance(live, BaseException):
        raise live
    ours = live.hits[0]
    if isinstance(candidate, BaseException):
        if not isinstance(candidate, GnomonError):
            raise candidate
        _LOG.warning("a search was answered by %s alone: %s", active.live, candidate.message)
        return replace(live, hits=[ours[: settings.k]]), {}
    theirs = candidate.hits[0]
    documents = ([hit.document for hit in hits] for hits in (ours, theirs))
    drafted = team_draft(*documents, k=settings.k, coin=random.SystemRandom())
    mixed = [(theirs if each.team == "candidate" else ours)[each.at] for each in drafted]
    whose = {"id": active.signed_id(drafted), "teams": tuple(each.team for each in drafted)}
    return replace(live, hits=[mixed]), whose if drafted else {}
