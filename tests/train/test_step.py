"""The step: GradCache's gradients against the whole batch's, pieces, views, and what it refuses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.train.batch import Batch, Example
from gnomon.train.contracts import Reps
from gnomon.train.grad_cache import (
    capture_random_state,
    padded_tokens,
    set_random_state,
    split_into_pieces,
    temporary_random_state,
)
from gnomon.train.losses import CoSENT, InfoNCE, LayerWise, ListwiseKL, Matryoshka
from gnomon.train.step import StepSettings, TrainingDiverged, run_step
from support.training_models import ToyEmbedder, ToyScorer, gradients

WHOLE_GRAPH = StepSettings(piece_tokens=10**6)


def text(*lengths: int) -> str:
    return " ".join("x" * length for length in lengths)


def batch(*, in_batch: bool = True, queries: int = 6) -> Batch:
    """Queries of different lengths with a positive and a negative each."""
    numbers = np.random.default_rng(0)

    def words() -> str:
        return text(*numbers.integers(1, 16, int(numbers.integers(1, 12))))

    examples = [Example(words(), (words(), words()), (1.0, 0.0), "toy", f"toy.jsonl:{line}") for line in range(queries)]
    return Batch.of(examples, in_batch=in_batch)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert any(gradient.abs().max() > 1e-3 for gradient in first.values())
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-5)


def stepped(model: Any, objective: Any, settings: StepSettings, given: Batch, seed: int = 5) -> Any:
    """The loss, the gradients and the next random number."""
    torch.manual_seed(seed)
    report = run_step(model, objective, given, settings=settings)
    return report, {**gradients(model), **gradients(objective)}, torch.rand(1).item()


OBJECTIVES = {
    "infonce": lambda: InfoNCE(direction="both", learned=True),
    "cosent": CoSENT,
    "matryoshka": lambda: Matryoshka(InfoNCE(), [None, 4, 2], [1.0, 0.5, 0.25]),
    "layers": lambda: LayerWise(ListwiseKL(), [-1, -2], [None, 3]),
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradcache_has_the_gradients_of_one_graph_with_the_same_dropout(late: bool, name: str, dropout: float) -> None:
    model, objective = ToyEmbedder(late=late, dropout=dropout), OBJECTIVES[name]()
    one = StepSettings(piece_tokens=20)
    report, expected, after = stepped(model, objective, one, batch())
    cached, found, after_cached = stepped(model, objective, replace(one, chunk_tokens=20), batch())
    assert (report.cached, cached.cached) == (False, True)
    assert cached.pieces == report.pieces > 4
    assert cached.loss == pytest.approx(report.loss, rel=1e-6)
    same(expected, found)
    assert after == after_cached  # the random numbers of the next step are the same ones too
    if dropout:
        assert stepped(model, objective, one, batch(), seed=6)[0].loss != report.loss
    else:
        # Without dropout also those of the batch as a whole, padded to its longest text.
        whole, at_once, _ = stepped(model, objective, WHOLE_GRAPH, batch())
        assert whole.pieces == 2
        assert whole.padded_tokens > report.padded_tokens
        same(at_once, found)


@pytest.mark.parametrize("in_batch", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_cross_encoder_caches_scores(in_batch: bool, dropout: float) -> None:
    model, given = ToyScorer(dropout=dropout), batch(in_batch=in_batch)
    one = StepSettings(piece_tokens=40)
    report, expected, after = stepped(model, InfoNCE(1.0), one, given)
    assert report.items == (~np.isnan(given.labels)).sum()  # only cells with a label are read
    cached, found, after_cached = stepped(model, InfoNCE(1.0), replace(one, chunk_items=4), given)
    assert cached.cached
    assert cached.pieces >= report.items / 4
    if dropout == 0.0:
        same(expected, found)
        same(stepped(model, InfoNCE(1.0), WHOLE_GRAPH, given)[1], found)
    cached, found, after_cached = stepped(model, InfoNCE(1.0), replace(one, chunk_tokens=40), given)
    assert cached.loss == pytest.approx(report.loss, rel=1e-6)
    same(expected, found)
    assert after == after_cached


def test_a_cell_of_the_score_matrix_is_its_pair() -> None:
    model, given = ToyScorer(dropout=0.0), batch(in_batch=False, queries=3)
    seen = []

    class Look(InfoNCE):
        def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen.append(scores.detach())
            return super().forward(scores, labels)

    run_step(model, Look(), given, settings=StepSettings(piece_tokens=8))
    for row, column in np.ndindex(given.labels.shape):
        expected = 0.0
        if not np.isnan(given.labels[row, column]):
            expected = model.judge(model.pairs([given.queries[row]], [given.documents[column]])).item()
        assert seen[0][row, column].item() == pytest.approx(expected, abs=1e-6)


def test_pieces_suit_the_device_where_their_size_is_not_given() -> None:
    assert StepSettings().on(torch.device("cpu")).piece_tokens == 2048
    assert StepSettings().on(torch.device("cuda", 0)).piece_tokens == 65_536
    assert StepSettings(piece_tokens=7).on(torch.device("cpu")).piece_tokens == 7


def test_gradients_add_up() -> None:
    model, settings = ToyEmbedder(dropout=0.0), StepSettings(chunk_items=3)
    once = stepped(model, InfoNCE(), settings, batch())[1]
    run_step(model, InfoNCE(), batch(), settings=settings)
    run_step(model, InfoNCE(), batch(), settings=settings)
    same({name: 2 * gradient for name, gradient in once.items()}, gradients(model))


def test_late_scores_by_blocks_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ToyEmbedder(late=True)
    expected = stepped(model, InfoNCE(), StepSettings(), batch())[1]
    calls = []
    score = model.score
    monkeypatch.setattr(model, "score", lambda q, d: calls.append(len(q)) or score(q, d))
    monkeypatch.setattr("gnomon.train.step.SCORED_TOGETHER", 2000)
    for settings in (StepSettings(), StepSettings(chunk_items=100)):
        same(expected, stepped(model, InfoNCE(), settings, batch())[1])
    assert max(calls) < 6


def test_bf16_is_near_and_scores_stay_float32() -> None:
    model = ToyEmbedder(dropout=0.0)
    exact, expected, _ = stepped(model, InfoNCE(0.5), StepSettings(), batch())
    kinds = []
    score = model.score
    model.score = lambda q, d: kinds.append(score(q, d)) or kinds[-1]  # type: ignore[assignment]
    for settings in (StepSettings(precision="bfloat16"), StepSettings(chunk_items=4, precision="bfloat16")):
        report, found, _ = stepped(model, InfoNCE(0.5), settings, batch())
        assert kinds[-1].dtype == torch.float32
        assert report.loss == pytest.approx(exact.loss, rel=0.02)
        assert report.loss != exact.loss
        for name, gradient in expected.items():
            assert found[name].dtype == torch.float32
            assert torch.cosine_similarity(found[name].flatten(), gradient.flatten(), 0) > 0.99


@given(
    lengths=st.lists(st.integers(1, 50), max_size=30),
    items=st.none() | st.integers(1, 5),
    tokens=st.none() | st.integers(1, 120),
)
def test_pieces_hold_each_text_once_and_keep_their_limits(
    lengths: list[int], items: int | None, tokens: int | None
) -> None:
    pieces = split_into_pieces(lengths, items=items, tokens=tokens)
    assert sorted(at for piece in pieces for at in piece) == list(range(len(lengths)))
    for piece in pieces:
        assert items is None or len(piece) <= items
        assert tokens is None or len(piece) == 1 or padded_tokens(lengths, [piece]) <= tokens
    in_order = [lengths[at] for piece in pieces for at in piece]
    assert in_order == sorted(lengths, reverse=True)


def test_what_was_computed_is_reported() -> None:
    model = ToyEmbedder()
    report = run_step(model, InfoNCE(), batch(), settings=StepSettings(piece_tokens=20))
    assert report.items == 18
    assert report.padded_tokens == sum(tokens for _, tokens in model.seen)
    assert report.pieces == len(model.seen)
    lengths = [len(words.split()) for words in (*batch().queries, *batch().documents)]
    assert report.tokens == sum(lengths)
    model.seen.clear()
    assert run_step(model, InfoNCE(), batch(), settings=StepSettings(chunk_items=7)).cached
    assert max(items for items, _ in model.seen) <= 7
    assert not run_step(model, InfoNCE(), batch(), settings=StepSettings(chunk_items=18)).cached


def test_a_document_that_does_not_matter_is_embedded_but_learns_nothing() -> None:
    given = batch(in_batch=False, queries=2)
    given.labels[:] = np.nan
    for settings in (StepSettings(), StepSettings(chunk_items=1)):
        model = ToyEmbedder()
        report = run_step(model, InfoNCE(), given, settings=settings)
        assert report.loss == 0.0
        assert all(gradient.abs().max() == 0 for gradient in gradients(model).values())
    with pytest.raises(InvalidInput, match=r"a batch without a known label \(toy.jsonl:0, toy.jsonl:1\)"):
        run_step(ToyScorer(), InfoNCE(), given, settings=StepSettings())


class Lost(ToyEmbedder):
    """Gives NaN, or infinity, for texts of one word."""

    def embed(self, features: Any, *, layers: Any = (-1,)) -> list[Reps]:
        alone = torch.tensor([len(row) == 1 for row in features.ids])
        return [Reps(torch.where(alone[:, None], torch.nan, r.values)) for r in super().embed(features, layers=layers)]


@pytest.mark.parametrize("chunk_items", [None, 2])
def test_a_loss_that_is_not_finite_names_the_examples(chunk_items: int | None) -> None:
    examples = [
        Example(text(3, 4), (text(5, 6),), (1.0,), id="good:1"),
        Example("x", ("x y",), (1.0,), id="bad:2"),
    ]
    model = Lost()
    with pytest.raises(TrainingDiverged) as caught:
        run_step(model, InfoNCE(), Batch.of(examples, in_batch=True), settings=StepSettings(chunk_items=chunk_items))
    assert isinstance(caught.value, GnomonError)
    assert caught.value.message == "the loss is nan in a batch of 2 queries; scores that are not finite: bad:2"
    assert "last checkpoint" in caught.value.hint
    assert not gradients(model)  # nothing was learned from it


def test_a_loss_not_finite_at_finite_scores_names_all() -> None:
    class Odd(InfoNCE):
        def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return scores.sum() / 0.0

    with pytest.raises(TrainingDiverged, match=r"all scores finite: toy.jsonl:0, .*toy.jsonl:19 and 5 more"):
        run_step(ToyEmbedder(), Odd(), batch(queries=25), settings=StepSettings())


class Huge(ToyEmbedder):
    """Wants more memory than there is for a piece of more than 20 tokens."""

    def embed(self, features: Any, *, layers: Any = (-1,)) -> list[Reps]:
        if sum(features.lengths) > 20:
            torch.empty(2**60, dtype=torch.uint8)
        return super().embed(features, layers=layers)


def test_too_little_memory_says_which_chunk_size_to_set() -> None:
    with pytest.raises(InvalidInput) as caught:
        run_step(Huge(), InfoNCE(), batch(), settings=WHOLE_GRAPH)
    held = run_step(ToyEmbedder(), InfoNCE(), batch(), settings=WHOLE_GRAPH).padded_tokens
    assert f"of which up to {held} tokens were held together" in caught.value.message
    assert f"set chunk_tokens = {held // 2}" in caught.value.hint
    with pytest.raises(InvalidInput, match=r"up to 40 tokens(.|\n)*set chunk_tokens = 20"):
        run_step(Huge(), InfoNCE(), batch(), settings=StepSettings(chunk_tokens=40))
    assert run_step(Huge(), InfoNCE(), batch(), settings=StepSettings(chunk_tokens=20)).cached


def test_other_errors_pass_as_they_are() -> None:
    class Broken(ToyEmbedder):
        def score(self, queries: Reps, documents: Reps) -> torch.Tensor:
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run_step(Broken(), InfoNCE(), batch(), settings=StepSettings())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: StepSettings(chunk_items=0), "chunk_items = 0"),
        (lambda: StepSettings(piece_tokens=-1), "piece_tokens = -1"),
        (lambda: StepSettings(precision="half"), "precision = 'half'"),  # type: ignore[arg-type]
        (
            lambda: run_step(torch.nn.Identity(), InfoNCE(), batch(), settings=StepSettings()),
            "a model of type Identity",
        ),
        (
            lambda: run_step(ToyScorer(), Matryoshka(InfoNCE(), [2]), batch(), settings=StepSettings()),
            "a cross-encoder has no dimensions to cut",
        ),
    ],
)
def test_what_cannot_be_is_refused(call: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert said in str(caught.value)


def test_random_numbers_are_restored_and_go_on_as_if_nothing_was_drawn() -> None:
    torch.manual_seed(3)
    state = capture_random_state(torch.device("cpu"))
    first, second = torch.rand(4), torch.rand(4)
    set_random_state(state)
    assert torch.equal(torch.rand(4), first)
    with temporary_random_state(state):
        assert torch.equal(torch.rand(4), first)
    assert torch.equal(torch.rand(4), second)
