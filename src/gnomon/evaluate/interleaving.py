"""Two rankings shown as one list, and what the clicks on it say of them: team-draft interleaving.

Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?" (CIKM 2008). As in choosing
teams for a game, the two rankings take turns, and a coin says who goes first in each round; each adds the best result
that is not in the list yet. The ranking whose results are clicked more often wins the search. Every user compares both
at once, so that far fewer searches are needed than by showing each ranking to a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Team = Literal["live", "candidate", "both"]
"""Whose result it is; "both" where the two rankings are the same down to it, so that a click on it says nothing."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A result of the common list: its team, and its position in that team's ranking (from 0)."""

    team: Team
    at: int


def team_draft(live: Sequence[str], candidate: Sequence[str], *, k: int, coin: Random) -> list[Drafted]:
    """The first `k` results of two rankings' common list.

    Rankings are the ids of the results' documents, best first. A document may have several results in a ranking; in
    the common list all of a document's results are of one team. As long as both have results to add, neither team is
    more than one ahead. Results down to which both rankings are equal are of the team "both": they are shown whoever
    is chosen, and a click on them would be credited by the coin alone.

    >>> found = team_draft(["a", "b", "c"], ["a", "c", "d"], k=3, coin=Random(1))
    >>> [(each.team, each.at) for each in found]
    [('both', 0), ('live', 1), ('candidate', 1)]
    """
    rankings: dict[Team, Sequence[str]] = {"live": live, "candidate": candidate}
    drafted = [Drafted("both", at) for at in range(min(_common(live, candidate), k))]
    owner: dict[str, Team] = dict.fromkeys(live[: len(drafted)], "both")
    at: dict[Team, int] = {"live": len(drafted), "candidate": len(drafted)}
    order: list[Team] = []
    while len(drafted) < k:
        if not order:
            order = ["live", "candidate"] if coin.random() < 0.5 else ["candidate", "live"]
        team = order.pop(0)
        ranking = rankings[team]
        while at[team] < len(ranking) and owner.get(ranking[at[team]], team) != team:
            at[team] += 1
        if at[team] < len(ranking):
            owner[ranking[at[team]]] = team
            drafted.append(Drafted(team, at[team]))
            at[team] += 1
        elif not any(_may_add(each, rankings[each][at[each] :], owner) for each in at):
            break
    return drafted


def _common(live: Sequence[str], candidate: Sequence[str]) -> int:
    """How many of the first results are the same in both."""
    for at, (one, other) in enumerate(zip(live, candidate, strict=False)):
        if one != other:
            return at
    return min(len(live), len(candidate))


def _may_add(team: Team, rest: Sequence[str], owner: dict[str, Team]) -> bool:
    return any(owner.get(document, team) == team for document in rest)


def credit(clicked: Iterable[Team]) -> int:
    """What the clicks of one search say: 1 for the candidate, -1 for the live version, 0 for a tie.

    The team with more clicks on its results wins; clicks on results of both count for neither.

    >>> credit(["candidate", "both", "candidate", "live"]), credit(["live", "candidate"]), credit(["both"])
    (1, 0, 0)
    """
    teams = list(clicked)
    ahead = teams.count("candidate") - teams.count("live")
    return (ahead > 0) - (ahead < 0)
