"""Clicks as judgments: the bias of positions estimated and corrected, robots and repetitions left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.clicks import (
    Impression,
    PositionBias,
    estimate_position_bias,
    judgments_from_clicks,
    usable_impressions,
)

KNOWN = PositionBias(1.0, (0.8, 1.2), True, 100)


def seen(query: str, shown: str, clicked: str = "", **more: object) -> Impression:
    """A list of documents named by letters, and those clicked."""
    return Impression(query, dict(enumerate(shown, start=1)), frozenset(clicked), **more)  # type: ignore[arg-type]


def simulated(eta: float, *, moves: bool, lists: int = 4_000, seed: int = 0) -> list[Impression]:
    """Clicks by the position-based model: 40 queries of five documents, in one order or in several."""
    draw = np.random.default_rng(seed)
    relevance = draw.choice([0.1, 0.3, 0.6], (40, 5))
    found = []
    for number in range(lists):
        query = number % 40
        order = draw.permutation(5) if moves else np.argsort(-relevance[query])
        looked = draw.random(5) < np.arange(1, 6) ** -eta
        liked = draw.random(5) < relevance[query][order]
        documents = "".join("abcde"[each] for each in order)
        clicked = "".join(each for each, ok in zip(documents, looked & liked, strict=True) if ok)
        found.append(seen(f"q{query}", documents, clicked))
    return found


@pytest.mark.parametrize("eta", [0.5, 1.0, 1.5])
def test_the_bias_is_estimated_from_what_was_shown_at_several_positions(eta: float) -> None:
    found = estimate_position_bias(simulated(eta, moves=True, seed=1))
    assert found.is_estimated
    assert found.interval[0] < eta < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.4
    assert "estimated from" in found.explain()


@pytest.mark.slow
def test_the_interval_covers_the_truth() -> None:
    draws = [estimate_position_bias(simulated(1.0, moves=True, lists=800, seed=seed)) for seed in range(60)]
    covered = [low < 1.0 < high for low, high in (each.interval for each in draws)]
    assert sum(covered) >= 54


def test_without_other_positions_the_bias_is_assumed_and_said_to_be() -> None:
    found = estimate_position_bias(simulated(1.0, moves=False))
    assert (found.eta, found.interval, found.is_estimated, found.pairs) == (1.0, (0.5, 1.5), False, 0)
    assert "ASSUMED" in found.explain()


def test_a_click_far_down_weighs_more() -> None:
    # By hand: a has 4 clicks in 20 looks, 0.2; e at position 5 has 3 clicks in 20 / 5 = 4 looks, 0.75.
    lists = [seen("q", "abcde", clicked) for clicked in ["a"] * 4 + ["e"] * 3 + [""] * 13]
    found = judgments_from_clicks(lists, bias=KNOWN)
    assert found.relevant == {"q": {"a": 1, "b": 0, "c": 0, "d": 0, "e": 2}}
    assert found.strengths["q"] == pytest.approx({"a": 0.2, "b": 0, "c": 0, "d": 0, "e": 0.75})
    assert found.changed == 0
    # At 1 / position ** 0 every result is looked at each time: e has 3 / 20.
    flat = judgments_from_clicks(lists, bias=replace(KNOWN, eta=0.0))
    assert flat.relevant["q"]["e"] == 0


def test_judgments_that_hang_on_the_bias_are_counted() -> None:
    lists = [seen("q", "abcde", clicked) for clicked in ["e"] + [""] * 19]  # 1 in 20 / 5 looks; at eta 0.8: 1 in 5.5
    found = judgments_from_clicks(lists, bias=KNOWN)
    assert (found.relevant["q"]["e"], found.changed) == (1, 1)
    assert "1 of them would be otherwise" in found.explain()


def test_what_was_passed_over_on_the_way_to_a_click_is_not_relevant() -> None:
    # Joachims, "Optimizing search engines using clickthrough data" (KDD 2002), section 3.1: links 1, 3 and 7 of a list
    # are clicked, so that 3 goes before 2, and 7 before 2, 4, 5 and 6.
    found = judgments_from_clicks([seen("svm", "abcdefghij", "acg")], method="skip-above")
    assert found.relevant == {"svm": {"a": 1, "b": 0, "c": 1, "d": 0, "e": 0, "f": 0, "g": 1}}


def test_a_thumb_goes_before_clicks() -> None:
    lists = [seen("q", "ab", "a")] * 5
    thumbed = seen("q", "abc", up=frozenset("bc"), down=frozenset("a"))
    for method in ("propensity", "skip-above"):
        found = judgments_from_clicks([*lists, thumbed], method=method, bias=KNOWN)
        assert found.relevant["q"] == {"a": 0, "b": 2, "c": 2}
    both_ways = seen("q", "abc", up=frozenset("c"), down=frozenset("c"))
    assert "c" not in judgments_from_clicks([*lists, both_ways], bias=KNOWN).relevant["q"]


def test_queries_are_one_whatever_their_capitals() -> None:
    lists = [seen("How  odd", "ab", "a"), seen("how odd", "ab", "a")]
    assert judgments_from_clicks(lists, bias=KNOWN).relevant == {"How  odd": {"a": 2}}


def test_robots_repetitions_and_one_user_among_many_do_not_decide() -> None:
    robot = seen("q", "abcde", "abcde", session="robot")
    again = [seen("q", "abcde", "e", session="one")] * 50
    much = [seen(f"q{number}", "ab", "b", session="busy") for number in range(30)]
    kept, notes = usable_impressions([robot, *again, *much, seen("q", "abcde", "a")])
    assert len(kept) == 1 + 20 + 1
    assert [note.split(" ", 1)[0] for note in notes] == ["1", "49", "10", "1"]
    first_empty = [seen("q", "ab", session="s"), seen("q", "ab", "b", session="s")]
    assert usable_impressions(first_empty)[0] == first_empty[1:]


def test_nothing_clicked_is_an_error_and_nothing_relevant_is_said() -> None:
    with pytest.raises(InvalidInput, match="2 lists of results without a click"):
        judgments_from_clicks([seen("q", "ab")] * 2)
    found = judgments_from_clicks([seen("q", "ab", down=frozenset("a"))])
    assert any("all judgments are negative" in note for note in found.notes)


def test_the_corrected_order_is_nearer_to_the_truth_than_the_clicks() -> None:
    draw = np.random.default_rng(1)
    relevance = np.array([0.2, 0.25, 0.6, 0.1, 0.8])  # shown from a to e, most of the time
    lists = []
    for _ in range(600):
        order = np.arange(5) if draw.random() < 0.7 else draw.permutation(5)
        clicked = (draw.random(5) < 1 / np.arange(1, 6)) & (draw.random(5) < relevance[order])
        lists.append(seen("q", "".join("abcde"[at] for at in order), "".join("abcde"[at] for at in order[clicked])))
    found = judgments_from_clicks(lists)
    rates = [found.strengths["q"][each] for each in "abcde"]
    raw = [sum(each in one.clicked for one in lists) for each in "abcde"]
    assert found.bias.is_estimated
    assert np.argsort(rates).tolist() == np.argsort(relevance).tolist() != np.argsort(raw).tolist()
