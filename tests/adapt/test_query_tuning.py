"""Fine-tuning a query encoder: averaged with the start, saved, served, and only from the judgments given."""

import numpy as np
import pytest

pytest.importorskip("torch")

import gnomon
from gnomon.adapt import JudgedQueries
from gnomon.adapt.judged_passages import judged_passages
from gnomon.adapt.query_adapter import query_model
from gnomon.adapt.query_tuning import QueryTuning, tune
from gnomon.collection.catalog.canaries import SERVER_CANARIES
from gnomon.collection.settings import CollectionSettings
from gnomon.encode import load_encoder
from gnomon.train.fixed_documents import QueryTrainingSettings
from gnomon.train.models.backbone import NewBackbone
from gnomon.train.models.build import Architecture, build_model
from support.judged_topics import TOPICS, write_lines

pytestmark = pytest.mark.slow
SETTINGS = QueryTrainingSettings(lr=2e-3, min_steps=40, batch_size=8)


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    """A collection of a small network with random weights, in whose documents another word is asked for."""
    folder = tmp_path_factory.mktemp("tuned")
    texts = [f"You can see the {topic} here." for topic in TOPICS]
    words = [*texts, *(text for _, text in SERVER_CANARIES), *(f"tell show {topic}" for topic in TOPICS)]
    shape = NewBackbone(hidden=32, layers=1, heads=2, max_tokens=64)
    model = build_model(Architecture(backbone=shape, vocabulary=400), corpus=lambda: iter(words))
    model.save(folder / "model")
    (folder / "beir").mkdir()
    documents = [{"_id": f"d{n}", "title": "", "text": text} for n, text in enumerate(texts)]
    write_lines(folder / "beir" / "corpus.jsonl", documents)
    with gnomon.open(folder / "kb", settings=CollectionSettings(model=str(folder / "model"))) as kb:
        kb.index([folder / "beir"])
        yield kb


@pytest.fixture(scope="module")
def judged():
    """Each topic's document is relevant to a question for the next topic, which only training can know."""
    names = [f"tell {TOPICS[(n + 1) % len(TOPICS)]}" for n in range(len(TOPICS))]
    return JudgedQueries(
        {f"q{n}": text for n, text in enumerate(names)}, {f"q{n}": {f"d{n}": 1} for n in range(len(names))}
    )


@pytest.fixture(scope="module")
def tuned(topics, judged):
    found = judged_passages(topics, judged)
    training, _ = tune(query_model(topics), found.texts, found.targets(), settings=SETTINGS)
    return training


def test_a_share_of_nothing_is_the_start_bit_for_bit(tuned):
    state = tuned.averaged(0).state_dict()
    assert state.keys() == tuned.start.keys()
    assert all(tensor.equal(tuned.start[name]) for name, tensor in state.items())
    assert any(not tensor.equal(tuned.start[name]) for name, tensor in tuned.averaged(1).state_dict().items())


def test_the_same_judgments_give_the_same_weights(topics, judged, tuned):
    found = judged_passages(topics, judged)
    again, _ = tune(query_model(topics), found.texts, found.targets(), settings=SETTINGS)
    assert all(tensor.equal(tuned.end[name]) for name, tensor in again.end.items())


def test_it_learns_its_queries_and_is_served(topics, judged, tuned, tmp_path):
    texts = list(judged.texts.values())
    documents = topics.encoder.encode([topics.text(f"d{n}") for n in range(len(TOPICS))], role="document").data
    tuned.averaged(1).save(tmp_path / "whole")
    own = load_encoder(tmp_path / "whole").encode(texts, role="query").data
    before = topics.encoder.encode(texts, role="query").data
    losses = [np.mean((vectors @ documents.T).argmax(axis=1) == np.arange(len(texts))) for vectors in (before, own)]
    assert losses[1] > losses[0] + 0.3


def test_the_candidate_is_a_query_encoder_of_the_passages_space(topics, judged, tmp_path):
    candidate = QueryTuning(SETTINGS).fit(topics, judged, tmp_path, progress=lambda _: None)
    assert candidate.family == "fine-tuning"
    space = load_encoder(candidate.changes["query_encoder.model"]).space
    assert (space.dim, space.similarity) == (topics.version.space.dim, "cosine")
