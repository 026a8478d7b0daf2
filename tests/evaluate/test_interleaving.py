"""Team-draft interleaving: fair teams, no result twice, credit that changes sides with the versions."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gnomon.evaluate.interleaving import Drafted, credit, team_draft

RANKINGS = st.lists(st.sampled_from("abcdefgh"), max_size=8)
UNIQUE = st.lists(st.sampled_from("abcdefgh"), max_size=8, unique=True)
OTHER = {"live": "candidate", "candidate": "live", "both": "both"}


class FirstGoes(Random):
    """A coin that always says that the one named first begins."""

    def random(self) -> float:
        return 0.0


def ids(drafted: list[Drafted], live: list[str], candidate: list[str]) -> list[str]:
    return [(candidate if each.team == "candidate" else live)[each.at] for each in drafted]


@given(UNIQUE, UNIQUE, st.integers(0, 10), st.integers())
def test_no_team_is_more_than_one_ahead_while_both_have_results(
    live: list[str], candidate: list[str], k: int, seed: int
) -> None:
    drafted = team_draft(live, candidate, k=k, coin=Random(seed))
    found = ids(drafted, live, candidate)
    assert len(set(found)) == len(found)
    assert len(found) == min(k, len({*live, *candidate}))
    for length in range(len(drafted) + 1):
        teams = Counter(each.team for each in drafted[:length])
        shown = set(found[:length])
        if not (set(live) <= shown or set(candidate) <= shown):
            assert abs(teams["live"] - teams["candidate"]) <= 1


@given(RANKINGS, RANKINGS, st.integers(0, 10), st.integers())
def test_each_document_is_of_one_team_and_each_result_shown_once(
    live: list[str], candidate: list[str], k: int, seed: int
) -> None:
    drafted = team_draft(live, candidate, k=k, coin=Random(seed))
    owners: dict[str, set[str]] = {}
    for each, document in zip(drafted, ids(drafted, live, candidate), strict=True):
        owners.setdefault(document, set()).add(each.team)
    assert all(len(teams) == 1 for teams in owners.values())
    assert len(set(drafted)) == len(drafted)
    for team in OTHER:
        own = [each.at for each in drafted if each.team == team]
        assert own == sorted(own)


@given(UNIQUE, st.integers(0, 10), st.integers())
def test_equal_rankings_are_shown_as_they_are_and_nothing_is_credited(ranking: list[str], k: int, seed: int) -> None:
    drafted = team_draft(ranking, ranking, k=k, coin=Random(seed))
    assert ids(drafted, ranking, ranking) == ranking[:k]
    assert credit(each.team for each in drafted) == 0


@given(st.lists(st.sampled_from(["live", "candidate", "both"])))
def test_credit_changes_its_sign_with_the_sides(teams: list[str]) -> None:
    assert credit(OTHER[team] for team in teams) == -credit(teams)  # type: ignore[arg-type,misc]


def test_the_sides_are_treated_alike() -> None:
    live, candidate, times = list("abcd"), list("bdac"), 4_000
    coin, swapped = Random(1), Random(2)
    first = Counter(team_draft(live, candidate, k=3, coin=coin)[0].team for _ in range(times))
    other = Counter(OTHER[team_draft(candidate, live, k=3, coin=swapped)[0].team] for _ in range(times))
    for counts in (first, other):
        assert abs(counts["live"] / times - 0.5) < 0.04


def test_the_rankings_of_the_literature() -> None:
    # Chapelle, Joachims, Radlinski and Yue, "Large-scale validation and analysis of interleaved search evaluation"
    # (2012), their two rankings: A = a b c d g h, B = b e a f g h; where A goes first in each round: a b c e d f.
    drafted = team_draft(list("abcdgh"), list("beafgh"), k=6, coin=FirstGoes())
    assert ids(drafted, list("abcdgh"), list("beafgh")) == list("abcedf")
    assert [each.team for each in drafted] == ["live", "candidate"] * 3
