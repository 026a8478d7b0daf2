"""Mining: windows, filters and what is known right; and its false-negative rate, where the truth is known."""

import json

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.testing.toys import HashEncoder
from gnomon.train.batch import Example
from gnomon.train.data import listed_source, open_source
from gnomon.train.data.examples import to_row
from gnomon.train.mining.false_negatives import mixture
from gnomon.train.mining.mine import MineSettings, mine

RANKS = {"ranks": (1, 20)}


def topics(count: int = 60, *, seed: int = 1) -> tuple[list[tuple[str, str]], dict[str, set[str]], list[str]]:
    """Labelled pairs, all right answers by query, and the corpus.

    A topic has six right answers, each with its four words and others; two of them, drawn by chance, are
    labelled. Six more texts of each topic share two of the words, and answer something else.
    """
    rng = np.random.default_rng(seed)
    noise = [f"noise{n}" for n in range(400)]
    pairs, truth, corpus = [], {}, []
    for topic in range(count):
        words = [f"topic{topic}word{n}" for n in range(4)]
        query = " ".join(words)
        right = [" ".join([*words[: rng.integers(3, 5)], *rng.choice(noise, 6)]) for _ in range(6)]
        wrong = [" ".join([*rng.choice(words, 2, replace=False), *rng.choice(noise, 8)]) for _ in range(6)]
        pairs += [(query, text) for text in right[:2]]
        truth[query] = set(right)
        corpus += [*right, *wrong]
    # Shuffled, for the labels to be drawn by chance: of equal scores the one that stands first wins.
    return pairs, truth, [corpus[at] for at in rng.permutation(len(corpus))]


def false_share(mined: list[Example], truth: dict[str, set[str]]) -> float:
    negatives = [(e.query, t) for e in mined for t, label in zip(e.documents, e.labels, strict=True) if label == 0]
    return sum(text in truth[query] for query, text in negatives) / len(negatives)


class Judge:
    """Knows the truth, but for some noise: right answers around 1, others around 0."""

    def __init__(self, truth: dict[str, set[str]], noise: float = 0.2) -> None:
        self._truth, self._noise, self._rng = truth, noise, np.random.default_rng(0)

    def score(self, query: str, texts) -> np.ndarray:
        return np.array([text in self._truth[query] for text in texts]) + self._rng.normal(0, self._noise, len(texts))


def test_known_answers_and_equal_texts_are_never_mined():
    rows = [
        ("red apple", "an apple is red"),
        ("Red  Apple", "apples, red"),
        ("green pear", "An apple  IS red"),
    ]
    source = listed_source(rows, name="fruit")
    corpus = ["apple red AN is", "an APPLE is red", "apples, red", "a red apple pie", "green pear"]
    mined = list(mine(source, MineSettings(per_query=3, **RANKS), corpus=corpus))
    assert [example.query for example in mined] == ["red apple", "Red  Apple", "green pear"]
    assert mined[0].labels == (1.0, 0.0, 0.0)
    assert set(mined[0].documents[1:]) == {"apple red AN is", "a red apple pie"}
    assert mined[0].id == "fruit:1"


def test_the_window_counts_from_the_first_that_is_not_known():
    corpus = [f"shared {'word ' * n}{'x ' * (9 - n)}" for n in range(1, 9)]
    source = listed_source([("word", corpus[7])])
    whole = next(iter(mine(source, MineSettings(per_query=7, ranks=(1, 7)), corpus=corpus))).documents[1:]
    for first in (1, 2, 5):
        part = next(iter(mine(source, MineSettings(per_query=2, ranks=(first, first + 1)), corpus=corpus)))
        assert part.documents[1:] == whole[first - 1 : first + 1]


@pytest.mark.parametrize("method", ["bm25", "dense", "both"])
def test_margin_and_share_bound_the_score(method):
    pairs, _, corpus = topics(8)
    encoder = None if method == "bm25" else HashEncoder(64)
    source = listed_source(pairs)

    def mined(**given):
        chosen = MineSettings(method, per_query=4, ranks=(1, 50), **given)
        return list(mine(source, chosen, corpus=corpus, encoder=encoder))

    free = mined()
    assert all(len(example.documents) == 5 for example in free)
    for example in mined(share=0.7) + mined(margin=0.2):
        if encoder is not None:
            query = encoder.encode([example.query], role="query").data[0]
            scores = encoder.encode(list(example.documents), role="document").data @ query
            assert (scores[1:] <= max(0.7 * scores[0], scores[0] - 0.2) + 1e-5).all()
    assert mined(share=0.7) != free
    report = mine(source, MineSettings(method, **RANKS, per_query=4, share=0.01), corpus=corpus, encoder=encoder)
    assert sum(len(example.documents) - 1 for example in report) < 4 * len(source)
    assert report.report.dropped["margin"] > 0


def test_negatives_that_were_there_stay_and_are_not_mined_again():
    source = listed_source([("red apple", "an apple is red", "red paint")])
    (example,) = mine(source, MineSettings(per_query=2, **RANKS), corpus=["red paint", "red rose", "green apple"])
    assert example.documents[:2] == ("an apple is red", "red paint")
    assert set(example.documents[2:]) == {"red rose", "green apple"}
    assert example.labels == (1.0, 0.0, 0.0, 0.0)


def test_a_scorer_takes_answers_out():
    pairs, truth, corpus = topics(30)
    source, chosen = listed_source(pairs), MineSettings(per_query=3, **RANKS, scorer_margin=0.5)
    judged = mine(source, chosen, corpus=corpus, scorer=Judge(truth, 0.05))
    assert false_share(list(mine(source, chosen, corpus=corpus)), truth) > 0.8
    assert false_share(list(judged), truth) == 0.0
    assert judged.report.dropped["scorer"] > 0


def test_any_of_the_window_by_a_seed():
    pairs, _, corpus = topics(8)
    source = listed_source(pairs)

    def mined(seed: int):
        chosen = MineSettings(per_query=3, ranks=(1, 10), choice="random", seed=seed)
        return [example.documents for example in mine(source, chosen, corpus=corpus)]

    assert mined(1) == mined(1)
    assert mined(1) != mined(2)


def test_withheld_is_what_hiding_would_have_mined():
    pairs, truth, corpus = topics()
    mining = mine(listed_source(pairs), MineSettings(per_query=4, **RANKS), corpus=corpus)
    list(mining)
    withheld = mining.report.rates.withheld
    assert (withheld.examples, withheld.hidden) == (len(pairs), len(pairs))
    # The same by another way: one label a query, the other hidden for good.
    one = dict(pairs)
    alone = list(mine(listed_source(list(one.items())), MineSettings(per_query=4, **RANKS), corpus=corpus))
    other = dict(reversed(pairs))
    hits = sum(other[example.query] in example.documents[1:] for example in alone)
    assert abs(hits / len(alone) - withheld.kept_in[0]) < 0.1
    assert withheld.kept_in[1] < withheld.kept_in[0] < withheld.kept_in[2]
    # Four unlabelled answers and the hidden one are alike, so each is mined about as often; four are wanted.
    assert withheld.rate[1] < false_share(alone, truth) / 5 < withheld.rate[2]


@pytest.mark.parametrize("margin", [-2.0, 0.15])
def test_the_mixture_is_near_the_truth_and_not_below(margin):
    pairs, truth, corpus = topics(150)
    chosen = MineSettings(per_query=8, ranks=(1, 12), scorer_margin=margin)
    mining = mine(listed_source(pairs), chosen, corpus=corpus, scorer=Judge(truth))
    share = false_share(list(mining), truth)
    estimate = mining.report.rates.mixture
    assert estimate is not None
    assert share < estimate < share + 0.2, (share, estimate)


def test_the_threshold_bounds_the_candidates():
    pairs, truth, corpus = topics(100)
    one = list(dict(pairs).items())
    mining = mine(
        listed_source(one),
        MineSettings(per_query=11, ranks=(1, 11), scorer_margin=-9),
        corpus=corpus,
        scorer=Judge(truth),
    )
    share = false_share(list(mining), truth)
    rates = mining.report.rates
    assert rates.withheld is None
    assert rates.mixture is None
    assert share - 0.08 < rates.threshold < share + 0.15, (share, rates.threshold)


def test_mixture_of_known_parts():
    rng = np.random.default_rng(2)
    for truth in (0.0, 0.1, 0.4, 1.0):
        right = rng.normal(2, 1, int(4000 * truth))
        mined = np.concatenate([right, rng.normal(-2, 1, 4000 - len(right))])
        assert truth - 0.01 < mixture(mined, rng.normal(2, 1, 4000)) < truth + 0.06


def test_the_report_is_plain_and_counts():
    pairs, _, corpus = topics(5)
    mining = mine(listed_source(pairs), MineSettings(per_query=4, **RANKS), corpus=corpus)
    mined = list(mining)
    plain = json.loads(json.dumps(mining.report.to_json()))
    assert plain["examples"] == len(mining) == 10
    assert plain["negatives"] == sum(len(example.documents) - 1 for example in mined) == 40
    assert plain["texts"] == len(corpus)
    assert plain["rates"]["withheld"]["hidden"] == 10
    assert list(mining) == mined


def test_what_is_written_is_read_back_whole(tmp_path):
    mined = [Example("a", ("b",), (1.0,)), Example("c", ("d", "e", "f"), (1.0, 0.0, 0.0))]
    file = tmp_path / "mined.jsonl"
    file.write_text("".join(json.dumps(to_row(example)) + "\n" for example in mined))
    assert [example.documents for example in open_source(file)] == [("b",), ("d", "e", "f")]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: mine(listed_source([("a", "b")]), MineSettings("dense")),
            "method 'dense' without an encoder",
        ),
        (lambda: mine(listed_source([("a", "b")]), encoder=HashEncoder()), "method 'bm25' with an encoder"),
        (lambda: mine(listed_source([("a", " ")])), "rows:1: no right answer"),
        (
            lambda: mine(listed_source([{"a": "x", "b": "y", "score": 0.5}])),
            "scores in place of right answers",
        ),
        (lambda: MineSettings(ranks=(10, 5)), "ranks 10 to 5"),
        (lambda: MineSettings(per_query=9, ranks=(1, 5)), "9 negatives of ranks 1 to 5\nExpected: 1 to 5"),
        (lambda: MineSettings(share=1.5), "share 1.5"),
        (lambda: MineSettings(margin=-1), "margin -1"),
        (lambda: MineSettings("bm42"), "method 'bm42'"),
        (lambda: MineSettings(choice="last"), "choice 'last'"),
    ],
)
def test_wrong_settings(make, said):
    with pytest.raises(InvalidInput, match=said):
        make()
