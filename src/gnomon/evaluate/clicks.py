"""Clicks and thumbs as judgments, with the bias of positions estimated and corrected.

A result is clicked if it is looked at and seems relevant (the position-based model): results further up are looked at
more often, so that clicks alone repeat the ranking that was shown. Joachims, Swaminathan and Schnabel, "Unbiased
learning-to-rank with biased feedback" (WSDM 2017, arXiv:1608.04468) weight each click by the inverse of the propensity
that its position is looked at. How the propensity falls is estimated from documents that were shown for the same query
at several positions, by versions that followed each other or by interleaving (intervention harvesting: Agarwal,
Zaitsev, Wang, Li, Najork and Joachims, WSDM 2019); where there are too few, it is assumed, and said to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain

ClickMethod = Literal["propensity", "skip-above"]
ASSUMED_ETA, ASSUMED_RANGE = 1.0, (0.5, 1.5)
"""The exponent of 1 / position ** eta where it cannot be estimated (Joachims et al. simulate 0.5 to 2)."""
_LARGEST_ERROR = 0.25
"""Of an estimated exponent (its standard error): beyond it the assumed one is taken."""
_MOST_OF_SESSION = 20
_LARGEST_ETA = 4.0
_STEPS = 60
_LOOKS, _SOME, _MUCH, _CLICKS = 2.0, 0.2, 0.6, 2
"""Expected looks from which no click is a judgment; clicks per look of grades 1 and 2; clicks for grade 2."""


@dataclass(frozen=True)
class Impression:
    """A list of results that a user saw: its documents by position (from 1), those clicked, and those thumbed.

    `session` tells one user's searches from others', "" where that is not known.
    """

    query: str
    shown: Mapping[int, str]
    clicked: frozenset[str] = frozenset()
    up: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    session: str = ""

    @property
    def key(self) -> str:
        """The query, without what two users would type differently: spaces and capitals."""
        return " ".join(self.query.split()).casefold()


@dataclass(frozen=True)
class PositionBias:
    """How the chance to be looked at falls: 1 / position ** eta. `interval` is what else eta could be.

    `pairs` are (query, document) that were clicked and shown at several positions: what it was estimated from.
    """

    eta: float
    interval: tuple[float, float]
    is_estimated: bool
    pairs: int

    def explain(self) -> str:
        """What the propensities are and where they come from."""
        low, high = self.interval
        fall = (
            f"a result at position k is looked at 1 / k^{self.eta:.2f} as often as the first ({low:.2f} to {high:.2f})"
        )
        if self.is_estimated:
            return f"position bias, estimated from {self.pairs:,} results shown at several positions: {fall}"
        why = "none was shown at several positions" if not self.pairs else f"only {self.pairs:,} were, too few"
        return f"position bias, ASSUMED, since it cannot be estimated ({why}): {fall}"


@dataclass(frozen=True)
class ClickJudgments:
    """Judgments made of clicks and thumbs: grades 0 to 2 by query (its text) and document.

    `strengths` are clicks per expected look of each pair that was shown, 0 to 1. `changed` of the judgments would
    have another relevance (0 or more than 0) at an end of the bias' interval. `notes` say what was left out and what
    may be wrong.
    """

    relevant: Mapping[str, Mapping[str, int]]
    strengths: Mapping[str, Mapping[str, float]]
    method: ClickMethod
    bias: PositionBias
    changed: int
    impressions: int
    clicks: int
    notes: tuple[str, ...] = ()

    @property
    def judgments(self) -> int:
        """How many pairs are judged."""
        return sum(map(len, self.relevant.values()))

    def explain(self) -> str:
        """What was judged from what, the position bias first."""
        made = f"{self.judgments:,} judgments of {len(self.relevant):,} queries from {self.clicks:,} clicks and thumbs"
        made += f" on {self.impressions:,} lists"
        if self.method == "skip-above":
            return f"{made}: results clicked more often than passed over on the way to a click (no curve is assumed)"
        swing = f"{self.changed:,} of them would be otherwise at an end of that range"
        return f"{made}; {self.bias.explain()}; {swing}"

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, without the judgments themselves."""
        plain: dict[str, Any] = to_plain(self)
        rest = {name: value for name, value in plain.items() if name not in ("relevant", "strengths")}
        return {**rest, "queries": len(self.relevant), "judgments": self.judgments, "explained": self.explain()}


def usable_impressions(impressions: Iterable[Impression]) -> tuple[list[Impression], list[str]]:
    """Without what robots and repetitions add, and what was left out.

    Lists of five results or more that were all clicked are left out; of a session the first list of a query with a
    click counts (else the first), and at most twenty lists, so that no single user decides.
    """
    every = list(impressions)
    robots = [each for each in every if len(each.shown) >= 5 and len(each.clicked) == len(each.shown)]
    people = [each for each in every if each not in robots] if robots else every
    kept: dict[tuple[str, str, int], Impression] = {}
    for number, each in enumerate(people):
        key = (each.session, each.key, 0) if each.session else ("", each.key, number)
        if key not in kept or not (kept[key].clicked or kept[key].up or kept[key].down):
            kept[key] = each
    counts: Counter[str] = Counter()
    usable = []
    for each in kept.values():
        counts[each.session] += 1
        if not each.session or counts[each.session] <= _MOST_OF_SESSION:
            usable.append(each)
    left_out = (
        (len(robots), "lists of which everything was clicked were left out as a robot's"),
        (len(people) - len(kept), "repetitions of a query in one session were left out"),
        (len(kept) - len(usable), f"lists beyond the first {_MOST_OF_SESSION} of one session were left out"),
        (
            sum(not each.session for each in usable),
            "lists have no session: repeated clicks of one user cannot be told from those of many",
        ),
    )
    return usable, [f"{count:,} {what}" for count, what in left_out if count]


def estimate_position_bias(impressions: Sequence[Impression]) -> PositionBias:
    """The exponent of the propensity 1 / position ** eta, from what was shown at several positions for one query.

    Given a pair's clicks, where they fell depends on how often it was shown where, and on eta, not on its relevance:
    the conditional likelihood of that is maximised. Where its standard error is above 0.25 the assumed exponent is
    returned.
    """
    shown: dict[tuple[str, str], Counter[int]] = {}
    clicked: dict[tuple[str, str], Counter[int]] = {}
    for each in impressions:
        for position, document in each.shown.items():
            shown.setdefault((each.key, document), Counter())[position] += 1
            if document in each.clicked:
                clicked.setdefault((each.key, document), Counter())[position] += 1
    pairs = [pair for pair in clicked if len(shown[pair]) > 1]
    rows = [(shown[pair], clicked[pair]) for pair in pairs]
    low, high = -_LARGEST_ETA, _LARGEST_ETA
    for _ in range(_STEPS if rows else 0):  # the score falls with eta: bisection
        middle = (low + high) / 2
        low, high = (middle, high) if _score(rows, middle)[0] > 0 else (low, middle)
    eta = (low + high) / 2
    information = _score(rows, eta)[1]
    error = information**-0.5 if information > 0 else float("inf")
    if error > _LARGEST_ERROR or not 0 <= eta < _LARGEST_ETA - 0.01:
        return PositionBias(ASSUMED_ETA, ASSUMED_RANGE, False, len(pairs))
    return PositionBias(eta, (max(0.0, eta - 1.96 * error), eta + 1.96 * error), True, len(pairs))


def _score(rows: Sequence[tuple[Counter[int], Counter[int]]], eta: float) -> tuple[float, float]:
    """The derivative of the conditional log likelihood, and its information."""
    slope, information = 0.0, 0.0
    for shown, clicked in rows:
        logs = np.log(np.array(list(shown), dtype=np.float64))
        chances = np.array(list(shown.values())) * np.exp(-eta * logs)
        chances /= chances.sum()
        expected = float(chances @ logs)
        total = sum(clicked.values())
        slope += total * expected - sum(count * float(np.log(position)) for position, count in clicked.items())
        information += total * float(chances @ (logs - expected) ** 2)
    return slope, information


def judgments_from_clicks(
    impressions: Iterable[Impression], *, method: ClickMethod = "propensity", bias: PositionBias | None = None
) -> ClickJudgments:
    """Judgments of the documents that were shown: grade 2, 1 or 0; those that hardly anybody looked at have none.

    "propensity": clicks over expected looks (the sum of the propensities of where it was shown), which is the inverse
    propensity estimate in its self-normalised form; 0.2 is relevant, 0.6 with two clicks or more is very relevant, and
    below 0.2 with two expected looks or more is not. `bias` replaces the estimated one. "skip-above" (Joachims 2002)
    needs no propensity: what was passed over on the way to a click was looked at; a document clicked more often than
    passed over is relevant, one passed over more often is not. A thumb is an explicit judgment and goes before either.
    Raises InvalidInput where nothing was clicked or thumbed.
    """
    usable, notes = usable_impressions(impressions)
    clicks = sum(len(each.clicked) + len(each.up) + len(each.down) for each in usable)
    if not clicks:
        raise InvalidInput(
            f"{len(usable):,} lists of results without a click or a thumb",
            expected="what users clicked: without it there is nothing to judge by",
            hint="let clients send POST /v1/collections/NAME/feedback, or search on the server's page",
        )
    bias = bias or estimate_position_bias(usable)
    seen = _Seen(usable)
    graded = seen.by_skips() if method == "skip-above" else seen.by_rates(bias.eta)
    others = [] if method == "skip-above" else [seen.by_rates(eta) for eta in bias.interval]
    changed = sum(any((other.get(pair, 0) > 0) != (grade > 0) for other in others) for pair, grade in graded.items())
    graded |= seen.by_thumbs()
    relevant: dict[str, dict[str, int]] = {}
    for (query, document), grade in graded.items():
        relevant.setdefault(seen.texts[query], {})[document] = grade
    strengths: dict[str, dict[str, float]] = {}
    for (query, document), rate in seen.rates(bias.eta).items():
        strengths.setdefault(seen.texts[query], {})[document] = rate
    if not any(grade > 0 for grade in graded.values()):
        notes.append("nothing was found relevant: all judgments are negative, and measure nothing")
    return ClickJudgments(relevant, strengths, method, bias, changed, len(usable), clicks, tuple(notes))


Pair = tuple[str, str]


@dataclass
class _Seen:
    """What was shown, clicked, passed over and thumbed, by query and document."""

    impressions: Sequence[Impression]
    texts: dict[str, str] = field(default_factory=dict)
    clicks: Counter[Pair] = field(default_factory=Counter)
    places: dict[Pair, Counter[int]] = field(default_factory=dict)
    skips: Counter[Pair] = field(default_factory=Counter)
    thumbs: Counter[Pair] = field(default_factory=Counter)
    is_thumbed: set[Pair] = field(default_factory=set)

    def __post_init__(self) -> None:
        for each in self.impressions:
            self.texts.setdefault(each.key, each.query)
            last = max((at for at, document in each.shown.items() if document in each.clicked), default=0)
            for at, document in each.shown.items():
                pair = each.key, document
                self.places.setdefault(pair, Counter())[at] += 1
                self.clicks[pair] += document in each.clicked
                self.skips[pair] += at < last and document not in each.clicked
            for document in each.up ^ each.down:
                self.thumbs[each.key, document] += 1 if document in each.up else -1
                self.is_thumbed.add((each.key, document))

    def looks(self, eta: float) -> dict[Pair, float]:
        """How often each was looked at, as is expected."""
        return {
            pair: sum(count * float(at) ** -eta for at, count in places.items()) for pair, places in self.places.items()
        }

    def rates(self, eta: float) -> dict[Pair, float]:
        """Clicks per look, at most 1."""
        return {pair: min(1.0, self.clicks[pair] / looks) for pair, looks in self.looks(eta).items()}

    def by_rates(self, eta: float) -> dict[Pair, int]:
        """Grades by clicks per look."""
        graded: dict[Pair, int] = {}
        looks = self.looks(eta)
        for pair, rate in self.rates(eta).items():
            if rate >= _SOME:
                graded[pair] = 2 if rate >= _MUCH and self.clicks[pair] >= _CLICKS else 1
            elif looks[pair] >= _LOOKS:
                graded[pair] = 0
        return graded

    def by_skips(self) -> dict[Pair, int]:
        """Grades by clicks and by being passed over on the way to one."""
        counts = {pair: self.clicks[pair] - self.skips[pair] for pair in self.places}
        return {pair: int(ahead > 0) for pair, ahead in counts.items() if ahead}

    def by_thumbs(self) -> dict[Pair, int]:
        """Grades by what users said; where they disagree evenly, none."""
        return {pair: 2 if self.thumbs[pair] > 0 else 0 for pair in self.is_thumbed if self.thumbs[pair]}
