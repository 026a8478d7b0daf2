"""The query adapter on a collection of a static model: what it learns, saves, and refuses."""

import re

import numpy as np
import pytest

import gnomon
from gnomon.adapt import JudgedQueries
from gnomon.adapt.judged_passages import judged_passages
from gnomon.adapt.query_adapter import QueryAdapter, query_model, save_adapted_model
from gnomon.collection.catalog.canaries import SERVER_CANARIES
from gnomon.collection.settings import CollectionSettings
from gnomon.core.errors import InvalidInput
from gnomon.encode import load_encoder
from gnomon.testing import toys
from support.judged_topics import TOPICS, write_lines
from support.static_models import write_word_model

ASKING = ("tell", "show", "find", "name")
DIM = 96
FILL = ("you", "can", "see", "the", "here", "about")


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    """A collection where a question's topic word has a vector that leans to the next topic's, as far as to be wrong."""
    folder = tmp_path_factory.mktemp("topics")
    known = sorted(
        {word for _, text in SERVER_CANARIES for word in re.findall(r"\w+", text.lower())} - {*FILL, *ASKING}
    )
    words = ["[PAD]", "[UNK]", *FILL, *ASKING, *known, *TOPICS, *(f"{topic}q" for topic in TOPICS)]
    vectors = np.zeros((len(words), DIM), dtype=np.float32)
    few, count = 2 + len(FILL) + len(ASKING), len(TOPICS)
    vectors[:, count:] = np.random.default_rng(0).standard_normal((len(words), DIM - count)) / 8
    vectors[:few] *= 0.05
    vectors[-2 * count :] = 0
    vectors[-2 * count : -count, :count] = np.eye(count)
    vectors[-count:, :count] = 0.8 * np.eye(count) + np.roll(np.eye(count), 1, axis=0)
    model = write_word_model(folder / "model", words, vectors)
    beir = folder / "beir"
    beir.mkdir()
    documents = [
        {"_id": f"d{n}", "title": "", "text": f"You can see the {topic} here."} for n, topic in enumerate(TOPICS)
    ]
    write_lines(beir / "corpus.jsonl", documents)
    with gnomon.open(folder / "kb", settings=CollectionSettings(model=str(model))) as kb:
        kb.index([beir])
        yield kb


def judged(asking=ASKING):
    """A question for each topic in several ways."""
    pairs = [(f"{word}{n}", f"{word} the {topic}q", f"d{n}") for word in asking for n, topic in enumerate(TOPICS)]
    return JudgedQueries({q: text for q, text, _ in pairs}, {q: {d: 1} for q, _, d in pairs})


def found(encoder, kb, queries):
    """The share of queries whose nearest passage is of their document."""
    texts = list(queries.texts.values())
    passages = [kb.text(f"d{n}") for n in range(len(TOPICS))]
    documents = kb.encoder.encode(passages, role="document").data
    first = (encoder.encode(texts, role="query").data @ documents.T).argmax(axis=1)
    return np.mean([f"d{at}" in queries.grades[query] for at, query in zip(first, queries.ids, strict=True)])


def test_it_helps_with_queries_that_it_did_not_see(topics, tmp_path):
    seen, unseen = judged(ASKING[:3]), judged(ASKING[3:])
    candidate = QueryAdapter().fit(topics, seen, tmp_path, progress=lambda _: None)
    assert candidate.family == "query-adapter"
    model = candidate.changes["query_encoder.model"]
    assert found(topics.encoder, topics, unseen) < 0.2
    assert found(load_encoder(model), topics, unseen) > 0.9


def test_the_saved_model_without_a_map_gives_the_same_vectors(topics, tmp_path):
    layout = query_model(topics)
    save_adapted_model(layout, np.zeros((layout.dim, layout.dim), dtype=np.float32), tmp_path / "same")
    texts = ["tell the glacierq", "the whale"]
    own, other = (each.encode(texts, role="query").data for each in (topics.encoder, load_encoder(tmp_path / "same")))
    assert np.allclose(own, other, atol=1e-6)


def test_the_saved_model_gives_the_mapped_vectors(topics, tmp_path):
    layout, drawn = query_model(topics), np.random.default_rng(0)
    residual = (0.1 * drawn.standard_normal((layout.dim, layout.dim))).astype(np.float32)
    save_adapted_model(layout, residual, tmp_path / "mapped")
    own = topics.encoder.encode(["tell the glacierq"], role="query").data
    expected = own + own @ residual.T
    expected /= np.linalg.norm(expected)
    assert np.allclose(
        load_encoder(tmp_path / "mapped").encode(["tell the glacierq"], role="query").data, expected, atol=1e-5
    )


def test_only_the_judgments_that_were_given_are_read(topics):
    queries = judged(ASKING[:1])
    passages = judged_passages(topics, queries)
    assert set(passages.texts) == set(queries.texts.values())
    for relevant, hard in zip(passages.relevant, passages.hard, strict=True):
        assert len(relevant) == 1
        assert not np.isin(relevant, hard).any()


def test_documents_that_were_deleted_are_no_labels(topics):
    queries = judged(ASKING[:1])
    gone = JudgedQueries(queries.texts, {query: {"gone": 1} for query in queries.ids})
    with pytest.raises(InvalidInput, match="0 queries with a relevant document"):
        judged_passages(topics, gone)


def test_a_model_without_a_folder_is_refused(tmp_path):
    with (
        gnomon.open(tmp_path / "kb", encoder=toys.HashEncoder()) as kb,
        pytest.raises(InvalidInput, match="embedded by"),
    ):
        query_model(kb)
