"""Two versions compared on live traffic: their results in one list, until the clicks show which is better.

Everything that must outlast a process is in the catalog, so that any number of workers and machines take part: which
versions, and what each click said. When a search was and whose result stands where is in the id that it is answered
with, signed: a click needs no look at the log, and no id can be made up.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from gnomon.collection.catalog import interleavings, versions
from gnomon.collection.catalog.interleavings import InterleavingRow
from gnomon.collection.catalog.versions import NotReady
from gnomon.collection.collection import Collection
from gnomon.collection.query_log import FeedbackEvent, logged_searches
from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.evaluate.interleaving import Drafted, Team
from gnomon.evaluate.sequential import paired_test

InterleavingOutcome = Literal["better", "worse", "undecided", "stopped", "abandoned"]
WHY = "interleaving"
"""Why a switch was made that the clicks decided."""
_LETTERS: Mapping[Team, str] = {"live": "l", "candidate": "c", "both": "b"}
_TEAMS: Mapping[str, Team] = {letter: team for team, letter in _LETTERS.items()}
_TIME, _NAME = 8, 16
"""Characters of a search's name that say when it was (seconds), and of all of it."""
_MOST_OF_SESSION = 20
"""Searches of one session that count, so that no single user decides."""


@dataclass(frozen=True)
class InterleaveSettings:
    """How two versions are interleaved: the share of the searches, the risk of a false verdict, and when to give up.

    Clicks within `settle_s` seconds of a search count, and the search after that. It ends undecided after
    `most_searches` searches with a click.
    """

    share: float = 0.5
    alpha: float = 0.05
    most_searches: int = 10_000
    settle_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InvalidInput(f"a share of {self.share:g} of the searches", expected="above 0, at most 1")
        if not 0 < self.alpha < 0.5:
            raise InvalidInput(f"alpha {self.alpha:g}", expected="above 0 and below 0.5; 0.05 is usual")
        if self.most_searches < 1:
            raise InvalidInput(f"{self.most_searches} searches at most", expected="1 or more")
        if not 1 <= self.settle_s <= 86_400:
            raise InvalidInput(f"clicks within {self.settle_s:g} seconds", expected="1 to 86400")


@dataclass(frozen=True)
class Interleaving:
    """How an interleaving stands. `outcome` is "" while it goes on, and is said of the candidate.

    `wins` and `losses` are searches with more clicks on results of the candidate, or of the live version; `ties` those
    with as many on both, or only on results that both have in the same place. Searches of the last minutes (`settle_s`)
    are not counted yet. `p_value` and `interval` (of the share of wins)
    hold however often they are looked at. "abandoned": another version was switched to, or one was retired.
    """

    live: str
    candidate: str
    settings: InterleaveSettings
    started: str
    ended: str
    outcome: InterleavingOutcome | Literal[""]
    wins: int
    losses: int
    ties: int
    p_value: float
    interval: tuple[float, float]

    @property
    def explained(self) -> str:
        """How it stands, in a sentence or two."""
        low, high = self.interval
        counts = (
            f"{self.candidate} won {self.wins:,} searches, {self.live} {self.losses:,}, {self.ties:,} ties "
            f"({self.candidate}'s share of the wins: {low:.0%} to {high:.0%}, p = {self.p_value:.2g} at any time)"
        )
        sentences = {
            "": f"Searches are interleaved. So far {counts}.",
            "better": f"{self.candidate} is better by its clicks: {counts}.",
            "worse": f"{self.live} stays live, {self.candidate} is worse by its clicks: {counts}.",
            "undecided": f"{self.live} stays live, nothing was shown: {counts}.",
            "stopped": f"It was stopped, {self.live} stays live: {counts}.",
            "abandoned": f"It ended because another version went live or one was retired: {counts}.",
        }
        return sentences[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return {**to_plain(self), "explained": self.explained}


@dataclass(frozen=True)
class ActiveInterleaving:
    """What a server needs to know of the interleaving that goes on."""

    live: str
    candidate: str
    share: float
    secret: str

    def signed_id(self, drafted: Sequence[Drafted]) -> str:
        """An id for a search, in which it says when it was, and whose result stands where."""
        name = f"{int(time.time()):08x}{secrets.token_hex(4)}.{''.join(_LETTERS[each.team] for each in drafted)}"
        return f"{name}.{_signature(self.secret, name)}"


def require_feedback(kb: Collection) -> None:
    """Raise InvalidInput where searches of the collection are not logged here, or nobody says what was clicked."""
    searches = [events for query, events in logged_searches(kb.internals.folder) if query.id]
    place = kb.internals.address
    if not searches:
        raise InvalidInput(
            f"no search of {place} was logged on this machine: there is nothing to interleave, and clicks have no id",
            expected="a server with a query log, on this machine, and searches of it",
            hint=f"gnomon serve {shlex.quote(place)} --query-log",
        )
    if not any(searches):
        raise InvalidInput(
            f"none of the {len(searches):,} logged searches of {place} has a click: clicks decide between the versions",
            expected="clients that send POST /v1/collections/NAME/feedback; the server's page does by itself",
            hint="search on the page and open a result, or let your own page send its clicks, then try again",
        )


def require_none_active(kb: Collection) -> None:
    """Raise CollectionBusy while searches are interleaved."""
    active = active_interleaving(kb)
    if active is not None:
        place = kb.internals.address
        raise CollectionBusy(
            f"searches of {place} are interleaved: {active.live} with {active.candidate}",
            expected="one comparison at a time",
            hint=f"gnomon migrate {shlex.quote(place)} --status shows how it stands, --stop ends it",
        )


def begin_interleaving(kb: Collection, candidate: str, settings: InterleaveSettings) -> None:
    """Let servers interleave the results of the live version and a ready one. Raises CollectionBusy, NotReady."""
    require_none_active(kb)
    with kb.internals.catalog.write() as connection:
        ready = versions.complete_version(connection, candidate)
        live = versions.live_id(connection)
        row = interleavings.last(connection)
        if row is not None and not row.ended:
            interleavings.end(connection, row, "abandoned")
        interleavings.begin(connection, live_id=live, candidate_id=ready.id, settings=asdict(settings))


def active_interleaving(kb: Collection) -> ActiveInterleaving | None:
    """The interleaving that goes on; None where there is none."""
    with kb.internals.catalog.read() as connection:
        row = _active(connection)
        if row is None:
            return None
        live, candidate = (versions.by_id(connection, each).name for each in (row.live_id, row.candidate_id))
        return ActiveInterleaving(live, candidate, InterleaveSettings(**row.settings).share, row.secret)


def interleaving_status(kb: Collection) -> Interleaving | None:
    """How the interleaving that goes on stands, or how the last one ended; None before the first."""
    with kb.internals.catalog.read() as connection:
        row = interleavings.last(connection)
        return None if row is None else _standing(connection, row)


def stop_interleaving(kb: Collection) -> Interleaving | None:
    """End the interleaving that goes on, the live version stays. None where there is none."""
    with kb.internals.catalog.write() as connection:
        row = _active(connection)
        if row is None:
            return None
        interleavings.end(connection, row, "stopped")
    return interleaving_status(kb)


def record_feedback(kb: Collection, events: Sequence[FeedbackEvent]) -> Interleaving | None:
    """Credit clicks and thumbs on interleaved results; switch to the candidate, or end, when they decide.

    Ids that are not signed by the interleaving that goes on count for nothing. Returns how it stands, None where
    nothing was credited.
    """
    with kb.internals.catalog.write() as connection:
        row = _active(connection)
        credited = [] if row is None else [(event, _credit(row, event)) for event in events]
        known = [(event, credit) for event, credit in credited if credit is not None]
        if row is None or not known:
            return None
        for event, credit in known:
            result = f"{event.search[:_NAME]}:{event.position}"
            interleavings.record(connection, row, result, credit=credit, session=event.session)
        found = _standing(connection, row)
    outcome = _decided(found)
    if outcome is None:
        return found
    if outcome == "better":
        with suppress(InvalidInput):  # another process has just switched
            try:
                kb.versions.switch(found.candidate, why=WHY)
            except NotReady:
                return found  # it lacks documents; the next click tries again
    with kb.internals.catalog.write() as connection:
        interleavings.end(connection, row, outcome)
    return interleaving_status(kb)


def _active(connection: Connection) -> InterleavingRow | None:
    row = interleavings.last(connection)
    is_active = row is not None and not row.ended and interleavings.is_possible(connection, row)
    return row if is_active else None


def _standing(connection: Connection, row: InterleavingRow) -> Interleaving:
    settings = InterleaveSettings(**row.settings)
    test = paired_test(_outcomes(interleavings.recorded(connection, row), settings), alpha=settings.alpha)
    is_over = bool(row.ended) or interleavings.is_possible(connection, row)
    outcome: Any = row.outcome if is_over else "abandoned"
    live, candidate = (versions.by_id(connection, each).name for each in (row.live_id, row.candidate_id))
    return Interleaving(
        live,
        candidate,
        settings,
        started=row.started,
        ended=row.ended,
        outcome=outcome,
        wins=test.wins,
        losses=test.losses,
        ties=test.ties,
        p_value=test.p_value,
        interval=test.interval,
    )


def _outcomes(recorded: Sequence[tuple[str, str, int]], settings: InterleaveSettings) -> list[int]:
    """What each search said (1, 0, -1) that no click can change any more, in the order of the searches.

    Later looks only add to the end of it, as a sequential test demands.
    """
    settled = f"{max(0, math.floor(time.time() - settings.settle_s)):08x}"
    ahead_by: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for result, session, credit in recorded:
        name = result[:_NAME]
        if name[:_TIME] >= settled:
            break
        if name not in ahead_by:
            counts[session] += 1
        if not session or counts[session] <= _MOST_OF_SESSION:
            ahead_by[name] = ahead_by.get(name, 0) + credit
    return [(ahead > 0) - (ahead < 0) for ahead in ahead_by.values()]


def _decided(found: Interleaving) -> InterleavingOutcome | None:
    if found.p_value <= found.settings.alpha:
        return "better" if found.wins > found.losses else "worse"
    count = found.wins + found.losses + found.ties
    return "undecided" if count >= found.settings.most_searches else None


def _credit(row: InterleavingRow, event: FeedbackEvent) -> int | None:
    """What an event says of the candidate; None where its search was not interleaved or is over, or without a place."""
    name, _, signature = event.search.rpartition(".")
    if not name or event.position is None or not hmac.compare_digest(signature, _signature(row.secret, name)):
        return None
    if time.time() - int(name[:_TIME], 16) > InterleaveSettings(**row.settings).settle_s:
        return None
    teams = name.partition(".")[2]
    if event.position > len(teams):
        return None
    sign = {"candidate": 1, "live": -1, "both": 0}[_TEAMS[teams[event.position - 1]]]
    return -sign if event.kind == "down" else sign


def _signature(secret: str, name: str) -> str:
    return hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()[:16]
