"""Training word vectors: every method finds planted meaning; GloVe against slow twins."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, no_progress
from gnomon.word_vectors import corpus_of, settings_for, train_words
from gnomon.word_vectors.glove import Side, co_occurrences, step, tiles_of, train_glove
from gnomon.word_vectors.settings import GloveSettings, SubwordSettings

METHODS = ("word2vec", "cbow", "fasttext", "glove")
TOPICS = (("sundial", "shadow", "noon", "gnomon"), ("whale", "ocean", "harbour", "sail"))
FEW = SubwordSettings(3, 4, 500)


def planted(sentences=600, seed=0):
    """Sentences of words of one topic each, with words that say nothing between them."""
    rng = np.random.default_rng(seed)
    topics = [TOPICS[at] for at in rng.integers(0, 2, sentences)]
    return [" ".join([*rng.choice(topic, 6), *rng.choice(["the", "of"], 2)]) for topic in topics]


def small(method, **changes):
    given = {"dim": 12, "min_count": 1, "window": 4, "epochs": 8, "subwords": FEW, **changes}
    if method != "glove":
        given = {"sample": 0.0, **given}
    return settings_for(method, **given)


@pytest.mark.parametrize("method", METHODS)
def test_words_of_a_topic_come_to_lie_together(method):
    vectors = train_words(planted(), small(method))
    for topic in TOPICS:
        for word in topic:
            near = [other for other, _ in vectors.nearest(word, k=3)]
            assert set(near) == set(topic) - {word}


def test_what_all_vectors_share_is_taken_out_in_a_space_of_its_own():
    plain, less = (train_words(planted(), small("glove", remove_common=n)) for n in (0, 2))
    assert plain.space != less.space
    unit = less.vectors.data / np.linalg.norm(less.vectors.data, axis=1, keepdims=True)
    shared = plain.vectors.data / np.linalg.norm(plain.vectors.data, axis=1, keepdims=True)
    assert np.linalg.norm(unit.mean(axis=0)) < np.linalg.norm(shared.mean(axis=0))
    assert less.counts is not None
    with pytest.raises(InvalidInput, match="0 with fasttext"):
        small("fasttext", remove_common=1)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_vectors(method):
    texts = planted(60)
    one, two, other = (train_words(texts, small(method, epochs=2, seed=seed)) for seed in (1, 1, 2))
    assert one.space == two.space
    assert one.space != other.space
    assert one.counts.sum() == 60 * 8


@pytest.mark.parametrize("method", METHODS)
def test_progress_counts_every_epoch_to_its_end(method):
    events: list[Progress] = []
    train_words(planted(40), small(method, epochs=3), progress=events.append)
    ends = [event for event in events if 3 * event.done == event.metrics["epoch"] * event.total]
    assert [event.metrics["epoch"] for event in ends] == [1, 2, 3]
    if method == "glove":
        losses = [event.metrics["loss"] for event in ends]
        assert losses[-1] < losses[0]


def test_fasttext_gives_unseen_words_the_place_of_their_parts():
    vectors = train_words(planted(), small("fasttext", epochs=20))
    assert "sundials" not in vectors
    assert vectors.nearest("sundials", k=1)[0][0] in TOPICS[0]
    with pytest.raises(InvalidInput, match="'sundials' is not among"):
        train_words(planted(60), small("word2vec")).nearest("sundials")


def test_texts_and_paths_are_not_mixed(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(planted(60)))
    from_file = train_words([tmp_path / "a.txt"], small("cbow", epochs=1))
    assert from_file.space == train_words(planted(60), small("cbow", epochs=1)).space
    with pytest.raises(InvalidInput, match="2 texts, 1 of which are not strings"):
        train_words([tmp_path / "a.txt", "a text"], small("cbow"))


def slow_counts(corpus, window):
    counts = np.zeros((len(corpus.words),) * 2)
    ends = [*corpus.starts[1:], len(corpus.tokens)]
    for start, end in zip(corpus.starts, ends, strict=True):
        for at in range(start, end):
            for other in range(start, end):
                if 0 < abs(at - other) <= window:
                    counts[corpus.tokens[at], corpus.tokens[other]] += 1 / abs(at - other)
    return counts


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join), min_size=1, max_size=5).filter(
        lambda texts: len(set("".join(texts)) - {" "}) > 1
    ),
    st.integers(1, 12),
)
def test_co_occurrences_are_those_of_a_loop(texts, window):
    corpus = corpus_of(texts, min_count=1)
    found = co_occurrences(corpus, window)
    np.testing.assert_allclose(found.toarray(), slow_counts(corpus, window), rtol=1e-5)


def test_co_occurrences_do_not_depend_on_the_blocks(monkeypatch):
    corpus = corpus_of(planted(50), min_count=1)
    whole = co_occurrences(corpus, 5).toarray()
    monkeypatch.setattr("gnomon.word_vectors.glove._BLOCK_TOKENS", 37)
    np.testing.assert_allclose(co_occurrences(corpus, 5).toarray(), whole, rtol=1e-5)


def slow_step(words, contexts, counts, at, glove, rate):
    """One step on a tile, an entry after another: float64 gradients of the paper's J, then AdaGrad."""
    (first, second), total = at, 0.0
    sums = [np.zeros(np.shape(values)) for side in (words, contexts) for values in (side.rows, side.bias)]
    for i in range(first.start, first.stop):
        for j in range(second.start, second.stop):
            x = float(counts[i, j])
            if x:
                off = float(words.rows[i] @ contexts.rows[j]) + words.bias[i] + contexts.bias[j] - np.log(x)
                pull = min(1.0, (x / glove.x_max) ** glove.alpha) * off
                total += pull * off / 2
                sums[0][i] += pull * contexts.rows[j]
                sums[1][i] += pull
                sums[2][j] += pull * words.rows[i]
                sums[3][j] += pull
    for side, rows, bias in ((words, *sums[:2]), (contexts, *sums[2:])):
        for values, squared, gradient in (
            (side.rows, side.rows_squared, rows),
            (side.bias, side.bias_squared, bias),
        ):
            squared += (rate * gradient) ** 2
            values -= rate * gradient / np.sqrt(squared)
    return total


def test_steps_are_those_of_a_loop():
    corpus = corpus_of(planted(30), min_count=1)
    counts, glove = co_occurrences(corpus, 4), GloveSettings(x_max=20, alpha=0.6)
    tiles = tiles_of(counts, 3, glove)
    assert sum(len(tile.goal) for tile in tiles) == counts.nnz
    fast, slow = ([Side.random(len(corpus.words), 6, np.random.default_rng(n)) for n in (1, 2)] for _ in "ab")
    for tile in [*tiles, *tiles]:
        loss = step(fast, tile, 0.1)
        wanted = slow_step(*slow, counts.toarray(), (tile.first, tile.second), glove, 0.1)
        assert loss == pytest.approx(wanted, rel=1e-4)
    for ours, theirs in zip(fast, slow, strict=True):
        np.testing.assert_allclose(ours.rows, theirs.rows, atol=1e-5)
        np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-5)


def test_glove_fits_the_logarithms_of_counts_whatever_the_parts():
    corpus = corpus_of(planted(200), min_count=1)
    chosen = replace(small("glove", epochs=150, learning_rate=0.2), glove=GloveSettings(x_max=5))
    for part_words in (3, 100):
        losses = []
        train_glove(corpus, chosen, lambda s, to=losses: to.append(s.metrics["loss"]), part_words=part_words)
        assert losses[-1] < losses[0] / 100


def test_glove_without_neighbours_is_refused():
    corpus = corpus_of(["one", "two"], min_count=1)
    with pytest.raises(InvalidInput, match="2 words, none of them near another") as raised:
        train_glove(corpus, small("glove"), no_progress)
    assert raised.value.hint == "give longer texts, or a lower min_count"


@pytest.mark.parametrize(("method", "blocked"), [("word2vec", "gensim"), ("glove", "scipy")])
def test_without_the_extra_the_error_says_what_to_install(method, blocked):
    script = (
        f"import sys; sys.modules[{blocked!r}] = None\n"
        "from gnomon.word_vectors import settings_for, train_words\n"
        "from gnomon.core.errors import InvalidInput\n"
        f"try: train_words(['a b a b'], settings_for({method!r}, min_count=1))\n"
        "except InvalidInput as error: sys.exit(error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.stderr.strip() == 'pip install "gnomon[words]"'
