"""The stream of batches: every example once an epoch, no two alike in a batch, the same after resuming."""

import json
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import from_plain, to_plain
from gnomon.train.batch import Example
from gnomon.train.data import Batches, BatchSettings, DataSource, StreamState, listed_source
from gnomon.train.data.batches import shuffled_rows, uniform_draw

# Few different texts, so that examples often meet their like.
TEXT = st.sampled_from("abcdef")
EXAMPLE = st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=2)).map(
    lambda t: Example(t[0], (t[1], *t[2]), (1.0,) + (0.0,) * len(t[2]))
)
SOURCES = st.lists(st.lists(EXAMPLE, min_size=1, max_size=25), min_size=1, max_size=3)


def sources_of(lists) -> list[DataSource]:
    return [listed_source(examples, name=f"s{n}") for n, examples in enumerate(lists)]


def plain(batches) -> list[tuple[str, ...]]:
    return [batch.ids for batch, _ in batches]


def pairs(count: int, name: str = "s", *, weight: float = 1.0) -> DataSource:
    made = listed_source([(f"{name}q{n}", f"{name}p{n}") for n in range(count)], name=name)
    return DataSource(name, made.examples, weight=weight)


@settings(max_examples=60, deadline=None)
@given(SOURCES, st.integers(1, 6), st.integers(0, 5), st.integers(0, 3))
def test_every_example_once_an_epoch_and_none_alike_in_a_batch(lists, size, seed, epoch):
    sources = sources_of(lists)
    batches = [batch for batch, _ in Batches(sources, BatchSettings(size, seed=seed)).epoch(epoch)]
    given_ids = Counter(name for batch in batches for name in batch.ids)
    assert given_ids == Counter(source.where(at) for source in sources for at in range(len(source)))
    for batch in batches:
        assert 1 <= len(batch.queries) <= size
        assert {name.split(":")[0] for name in batch.ids} == {batch.source}
        assert len(set(batch.queries)) == len(batch.queries)
        own = np.array(batch.own)
        for row, column in np.argwhere(batch.labels == 1.0):
            same = [c for c, text in enumerate(batch.documents) if text == batch.documents[column]]
            assert set(own[same]) == {row}


@settings(max_examples=40, deadline=None)
@given(SOURCES, st.integers(1, 5), st.sampled_from(["proportional", "weighted"]), st.data())
def test_resuming_gives_the_same_batches(lists, size, mixing, data):
    chosen = BatchSettings(size, seed=3, mixing=mixing)
    whole = list(Batches(sources_of(lists), chosen).epoch(1))
    cut = data.draw(st.integers(0, len(whole) - 1))
    again = Batches(sources_of(lists), chosen)
    found = again.state_at(1, cut)
    if cut:
        kept = from_plain(StreamState, json.loads(json.dumps(to_plain(whole[cut - 1][1]))))
        assert kept == found
    rest = list(again.epoch(found))
    assert plain(rest) == plain(whole[cut:])
    assert [place for _, place in rest] == [place for _, place in whole[cut:]]
    for (one, _), (other, _) in zip(rest, whole[cut:], strict=True):
        np.testing.assert_array_equal(one.labels, other.labels)


def test_the_last_place_begins_the_next_epoch():
    stream = Batches([pairs(10), pairs(3, "t")], BatchSettings(4))
    *_, (_, last) = stream.epoch(0)
    assert (last.epoch, last.position) == (1, 0)
    assert plain(stream.epoch(last)) == plain(stream.epoch(1))
    assert plain(stream.epoch(1)) != plain(stream.epoch(0))
    assert plain(stream.epoch(StreamState(1, 2))) == plain(stream.epoch(1))[2:]


def test_order_depends_on_the_seed_and_not_on_other_sources():
    one = plain(Batches([pairs(40)], BatchSettings(8, seed=1)).epoch(0))
    assert one == plain(Batches([pairs(40)], BatchSettings(8, seed=1)).epoch(0))
    assert one != plain(Batches([pairs(40)], BatchSettings(8, seed=2)).epoch(0))
    both = [b for b in plain(Batches([pairs(9, "t"), pairs(40)], BatchSettings(8, seed=1)).epoch(0)) if "s:" in b[0]]
    assert both == one


def test_each_epoch_has_an_order_of_its_own():
    stream = Batches([pairs(40)], BatchSettings(8))
    assert len({tuple(plain(stream.epoch(n))) for n in range(4)}) == 4


def test_orders_stay_as_they_are():
    # From this code: a change would give resumed runs other batches.
    assert shuffled_rows(8, 1, 2).tolist() == [5, 6, 3, 2, 1, 0, 4, 7]
    assert uniform_draw(1, 2) == 0.44841514333227195
    assert Counter(shuffled_rows(1000, 5).tolist()) == Counter(range(1000))


def test_proportional_mixing_follows_what_is_left():
    stream = Batches([pairs(400, "big"), pairs(100, "small")], BatchSettings(5))
    order = [batch.source for batch, _ in stream.epoch(0)]
    assert Counter(order) == {"big": 80, "small": 20}
    assert 4 <= order[:50].count("small") <= 16


def test_weighted_mixing_starts_a_source_over():
    sources = [pairs(40, "big"), pairs(4, "small", weight=3.0)]
    stream = Batches(sources, BatchSettings(4, mixing="weighted"))
    epoch = list(stream.epoch(0))
    assert len(epoch) == stream.about == 11
    counts = Counter(batch.source for batch, _ in epoch)
    assert counts["small"] > counts["big"]
    small = [set(batch.ids) for batch, _ in epoch if batch.source == "small"]
    assert all(ids == small[0] for ids in small)
    # A source that an epoch has not seen to its end goes on in the next.
    big = [name for n in range(4) for batch, _ in stream.epoch(n) if batch.source == "big" for name in batch.ids]
    assert len(set(big[:40])) == min(40, len(big))


def test_short_batches_are_kept_or_left_out():
    assert [len(b) for b in plain(Batches([pairs(10)], BatchSettings(4)).epoch(0))] == [4, 4, 2]
    stream = Batches([pairs(10), pairs(3, "t")], BatchSettings(4, drop_short=True))
    assert [len(b) for b in plain(stream.epoch(0))] == [4, 4]
    assert stream.about == 2


def test_a_source_of_one_query_comes_one_by_one():
    source = listed_source([("q", f"p{n}") for n in range(40)])
    batches = plain(Batches([source], BatchSettings(4)).epoch(0))
    assert [len(batch) for batch in batches] == [1] * 40
    assert len({name for batch in batches for name in batch}) == 40
    alike = BatchSettings(4, distinct=False)
    assert [len(batch) for batch in plain(Batches([source], alike).epoch(0))] == [4] * 10


def test_in_batch_negatives_only_where_they_are_wanted():
    (with_them, _), *_ = Batches([pairs(4)], BatchSettings(4)).epoch(0)
    (without, _), *_ = Batches([pairs(4)], BatchSettings(4, in_batch=False)).epoch(0)
    np.testing.assert_array_equal(with_them.labels, np.eye(4, dtype=np.float32))
    assert np.isnan(without.labels[~np.eye(4, dtype=bool)]).all()


def test_a_batch_is_made_when_it_is_asked_for():
    read: list[int] = []

    class Watched:
        form = "pairs"

        def __len__(self) -> int:
            return 1000

        def example(self, at: int, source: str) -> Example:
            read.append(at)
            return Example(f"q{at}", (f"p{at}",), (1.0,), source, str(at))

    stream = Batches([DataSource("s", Watched())], BatchSettings(10))  # type: ignore[arg-type]
    list(islice(stream.epoch(0), 2))
    assert len(read) == 30


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Batches([], BatchSettings(4)), "sources named nothing"),
        (lambda: Batches([pairs(3), pairs(4)], BatchSettings(4)), "sources named s, s\n.*name of its own"),
        (lambda: Batches([pairs(3).without(range(3))], BatchSettings(4)), "source s has no examples"),
        (lambda: Batches([pairs(3)], BatchSettings(4, drop_short=True)), "no source has the 4 examples"),
        (lambda: BatchSettings(0), "batches of 0"),
        (lambda: BatchSettings(4, mixing="even"), "mixing 'even'"),
        (lambda: BatchSettings(4, mixing="weighted", drop_short=True), "one of the two"),
        (lambda: Batches([pairs(8)], BatchSettings(4)).state_at(0, 9), "batch 9 of epoch 0\nExpected: 0 to 2"),
    ],
)
def test_wrong_settings(make, said):
    with pytest.raises(InvalidInput, match=said):
        make()


def test_a_state_of_other_sources_is_refused():
    state = Batches([pairs(8), pairs(8, "t")], BatchSettings(4)).state_at(0, 1)
    with pytest.raises(InvalidInput, match="a state of 2 sources\nExpected: one of 1"):
        next(Batches([pairs(8)], BatchSettings(4)).epoch(state))
