"""Objectives: what they must never look at, what they refuse, and formulas against slow twins."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.train.contracts import WHOLE, Loss, ScoreView
from gnomon.train.losses import (
    LOSSES,
    WRAPPERS,
    Contrastive,
    CoSENT,
    CosineRegression,
    InfoNCE,
    LayerWise,
    ListwiseKL,
    MarginMSE,
    MaskFalseNegatives,
    Matryoshka,
    TripletMargin,
    make_loss,
    wrap_loss,
)

nan = math.nan
EVERY = {
    **{name: made() for name, made in LOSSES.items()},
    "infonce, both, learned": InfoNCE(direction="both", learned=True),
    "infonce, document, hard": InfoNCE(direction="document", hardness=0.5),
    "triplet, hardest": TripletMargin(hardest=True),
    "matryoshka": Matryoshka(InfoNCE(), [4, 2]),
    "layer-wise": LayerWise(CoSENT(), [-1, -2], [4]),
    "masked": MaskFalseNegatives(InfoNCE(0.5), 0.3),
    "masked, absolute": MaskFalseNegatives(TripletMargin(), 0.5, "absolute"),
    "masked, share": MaskFalseNegatives(TripletMargin(), 0.9, "share"),
}


@st.composite
def matrices(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores in [-1, 1] and labels 0, 1 or NaN; whole rows and columns may be NaN, or without positives."""
    queries, documents = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    cells = st.lists(st.sampled_from([0.0, 1.0, nan]), min_size=queries * documents, max_size=queries * documents)
    numbers = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    scores = torch.rand(queries, documents, generator=numbers) * 2 - 1
    return scores, torch.tensor(draw(cells)).reshape(queries, documents)


def loss_and_gradient(made: Loss, scores: torch.Tensor, labels: torch.Tensor) -> tuple[float, torch.Tensor]:
    scores = scores.clone().requires_grad_()
    loss = made(scores, labels)
    assert loss.ndim == 0
    loss.backward()
    assert scores.grad is not None
    return loss.item(), scores.grad


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=60, deadline=None)
@given(matrix=matrices(), other=st.sampled_from([nan, math.inf, -math.inf, 1e30, 0.99]))
def test_an_unknown_cell_does_not_matter(name: str, matrix: tuple[torch.Tensor, torch.Tensor], other: float) -> None:
    scores, labels = matrix
    unknown = torch.isnan(labels)
    loss, gradient = loss_and_gradient(EVERY[name], scores, labels)
    assert math.isfinite(loss)
    assert torch.isfinite(gradient).all()
    assert (gradient[unknown] == 0).all()
    changed = torch.where(unknown, other, scores)
    loss_changed, gradient_changed = loss_and_gradient(EVERY[name], changed, labels)
    assert loss_changed == loss
    assert torch.equal(gradient_changed, gradient)
    for parameter in EVERY[name].parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=20, deadline=None)
@given(matrix=matrices(), seed=st.integers(0, 99))
def test_the_order_of_queries_and_documents_does_not_matter(
    name: str, matrix: tuple[torch.Tensor, torch.Tensor], seed: int
) -> None:
    scores, labels = matrix
    numbers = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(scores), generator=numbers)
    columns = torch.randperm(scores.shape[1], generator=numbers)
    if name == "margin_mse":  # of documents that the teacher likes alike the first is the positive
        labels = labels + torch.linspace(0, 0.5, labels.numel()).reshape(labels.shape)
    made = EVERY[name]
    torch.testing.assert_close(made(scores, labels), made(scores[rows][:, columns], labels[rows][:, columns]))


@pytest.mark.parametrize("name", [name for name in EVERY if name != "cosine"])
def test_a_step_down_the_gradient_lowers_the_loss(name: str) -> None:
    scores = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)) * 2 - 1
    labels = torch.zeros(4, 6)
    labels[range(4), [0, 1, 2, 2]] = 1.0
    loss, gradient = loss_and_gradient(EVERY[name], scores, labels)
    assert EVERY[name](scores - 1e-3 * gradient, labels).item() < loss


def slow_infonce(scores: torch.Tensor, labels: torch.Tensor, hardness: float) -> float:
    """The formulas of the docstring, cell by cell, at temperature 0.5."""
    losses = []
    for row, judged in zip((scores / 0.5).tolist(), labels.tolist(), strict=True):
        positives = [z for z, label in zip(row, judged, strict=True) if label == 1]
        negatives = [z for z, label in zip(row, judged, strict=True) if label == 0]
        weights = [math.exp(hardness * z) for z in negatives]
        weights = [w * len(weights) / sum(weights) for w in weights]
        total = sum(map(math.exp, positives))
        total += sum(w * math.exp(z) for w, z in zip(weights, negatives, strict=True))
        if positives:
            losses.append(-sum(math.log(math.exp(z) / total) for z in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


@settings(max_examples=60, deadline=None)
@given(matrix=matrices(), hardness=st.sampled_from([0.0, 0.5, 2.0]))
def test_infonce_with_several_positives_and_hardness(
    matrix: tuple[torch.Tensor, torch.Tensor], hardness: float
) -> None:
    scores, labels = matrix
    made = InfoNCE(0.5, hardness=hardness)
    assert float(made(scores, labels)) == pytest.approx(slow_infonce(scores, labels, hardness), abs=1e-4)
    turned = InfoNCE(0.5, "document", hardness=hardness)(scores, labels)
    assert float(turned) == pytest.approx(slow_infonce(scores.T, labels.T, hardness), abs=1e-4)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(matrix=matrices(), hardest=st.booleans())
def test_triplets_one_by_one(matrix: tuple[torch.Tensor, torch.Tensor], hardest: bool) -> None:
    scores, labels = matrix
    per_query = []
    for row, judged in zip(scores.tolist(), labels.tolist(), strict=True):
        positives = [s for s, label in zip(row, judged, strict=True) if label == 1]
        negatives = [s for s, label in zip(row, judged, strict=True) if label == 0]
        negatives = [max(negatives)] if hardest and negatives else negatives
        triplets = [max(0.0, 0.3 - p + n) for p in positives for n in negatives]
        per_query += [sum(triplets) / len(triplets)] if triplets else []
    expected = sum(per_query) / len(per_query) if per_query else 0.0
    assert float(TripletMargin(0.3, hardest=hardest)(scores, labels)) == pytest.approx(expected, abs=1e-5)


def test_the_hardest_of_negative_scores_is_no_masked_zero() -> None:
    scores, labels = torch.tensor([[-0.5, -0.6, 0.9]]), torch.tensor([[1.0, 0.0, nan]])
    assert float(TripletMargin(0.3, hardest=True)(scores, labels)) == pytest.approx(0.3 + 0.5 - 0.6)


def test_a_learned_temperature_stays_within_its_bounds_and_starts_where_told() -> None:
    made = InfoNCE(0.07, learned=True)
    assert float(made.temperature) == pytest.approx(0.07, rel=1e-5)
    assert len(list(made.parameters())) == 1
    for far in (-1e6, 1e6):
        with torch.no_grad():
            made.position.fill_(far)
        assert 0.005 * 0.999 <= float(made.temperature) <= 1.0
    assert not list(InfoNCE().parameters())
    scores, labels = torch.eye(3) * 0.2, torch.eye(3)
    made = InfoNCE(0.07, learned=True)
    made(scores, labels).backward()
    assert made.position.grad > 0  # all is right: a smaller temperature has the smaller loss


def test_cosent_looks_at_the_order_of_labels_only() -> None:
    scores, labels = torch.rand(3, 4), torch.randn(3, 4)
    assert torch.equal(CoSENT()(scores, labels), CoSENT()(scores, labels.exp() * 7))
    assert float(CoSENT()(scores, torch.ones(3, 4))) == 0.0


def test_distillation_is_zero_at_the_teacher_and_free_of_its_shift() -> None:
    teacher = torch.tensor([[3.0, 1.0, nan], [0.5, nan, -2.0]])
    scores = torch.where(torch.isnan(teacher), 9.0, teacher + torch.tensor([[5.0], [-1.0]]))
    assert float(MarginMSE()(scores, teacher)) == pytest.approx(0.0, abs=1e-10)
    assert float(ListwiseKL(1.0, 1.0)(scores, teacher)) == pytest.approx(0.0, abs=1e-6)
    # A row with one known document says nothing: [1, nan, nan] must not thin the mean out.
    wider = torch.cat([teacher, torch.tensor([[1.0, nan, nan]])])
    off = scores.flip(1)
    for made in (MarginMSE(), ListwiseKL(1.0, 1.0)):
        more = made(torch.cat([off, torch.zeros(1, 3)]), wider)
        assert float(more) == pytest.approx(float(made(off, teacher)))


def test_listwise_takes_a_teacher_whose_shares_underflow() -> None:
    loss, gradient = loss_and_gradient(
        ListwiseKL(1.0), torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[900.0, 0.0, -900.0]])
    )
    assert loss == pytest.approx(-torch.log_softmax(torch.tensor([0.0, 1.0, 2.0]), 0)[0].item())
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("against", "threshold", "left"),
    [
        ("absolute", 0.5, [0.4]),
        ("margin", 0.1, [0.65, 0.4]),
        ("margin", -0.1, [0.85, 0.65, 0.4]),
        ("share", 0.5, [0.4]),
    ],
)
def test_suspicious_negatives_are_masked(against: str, threshold: float, left: list[float]) -> None:
    scores = torch.tensor([[0.8, 0.3, 0.95, 0.85, 0.65, 0.4, nan]], requires_grad=True)
    labels = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, nan]])
    made = MaskFalseNegatives(InfoNCE(), threshold, against)  # type: ignore[arg-type]
    masked = made.masked(scores, labels)
    assert [round(s, 2) for s in scores[masked == 0].tolist()] == left
    assert not masked.requires_grad
    assert int((masked == 1).sum()) == 2


def test_a_query_without_positives_keeps_its_negatives_unless_the_limit_is_absolute() -> None:
    scores, labels = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.0, 0.0]])
    assert torch.equal(MaskFalseNegatives(InfoNCE(), 0.1).masked(scores, labels), labels)
    absolute = MaskFalseNegatives(InfoNCE(), 0.5, "absolute").masked(scores, labels)
    assert torch.isnan(absolute).tolist() == [[True, False]]


def test_wrappers_set_the_views_and_pass_on_what_is_learned() -> None:
    inner = InfoNCE(learned=True)
    assert inner.views == WHOLE
    assert Matryoshka(inner, [None, 8], [1.0, 0.5]).views == (ScoreView(None, -1, 1.0), ScoreView(8, -1, 0.5))
    two = LayerWise(inner, [-1, -3], [None, 8])
    assert [(v.layer, v.dim) for v in two.views] == [(-1, None), (-1, 8), (-3, None), (-3, 8)]
    assert [v.weight for v in two.views] == pytest.approx([1, 1, 1 / (1 + math.log(3)), 1 / (1 + math.log(3))])
    assert len(list(two.parameters())) == 1
    assert MaskFalseNegatives(two).views == two.views
    assert LayerWise(inner, [1, 2], layer_weights=[1, 2]).views[1] == ScoreView(None, 2, 2.0)


@pytest.mark.parametrize(
    ("made", "label", "expected"),
    [
        (InfoNCE(), 3.2, "labels 0 (negative) or 1 (positive)"),
        (TripletMargin(), 0.5, "labels 0 (negative) or 1 (positive)"),
        (Contrastive(), -1.0, "labels 0 (negative) or 1 (positive)"),
        (CosineRegression(), 1.5, "labels in [-1, 1]"),
        (CoSENT(), math.inf, "finite labels"),
        (MarginMSE(), -math.inf, "finite labels"),
        (ListwiseKL(), math.inf, "finite labels"),
    ],
)
def test_labels_out_of_range_are_refused(made: Loss, label: float, expected: str) -> None:
    labels = torch.tensor([[1.0, nan], [nan, label]])
    with pytest.raises(InvalidInput) as caught:
        made(torch.zeros(2, 2), labels)
    assert f"a label {label:g} (query 1, document 1 of its batch)" in caught.value.message
    assert expected in caught.value.expected
    assert "NaN where nothing is known" in caught.value.expected


@pytest.mark.parametrize("name", LOSSES)
def test_by_name(name: str) -> None:
    assert isinstance(make_loss(name), LOSSES[name])
    assert make_loss(name).views == WHOLE


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: make_loss("infonse"), "did you mean 'infonce'?"),
        (lambda: make_loss("infonce", temprature=0.1), "did you mean 'temperature'?"),
        (lambda: make_loss("cosine", scale=2), "it has none"),
        (lambda: wrap_loss("matrioshka", InfoNCE(), dims=[3]), "did you mean 'matryoshka'?"),
        (lambda: wrap_loss("matryoshka", InfoNCE()), "dims"),
        (lambda: make_loss("infonce", temperature=0), "temperature = 0"),
        (lambda: make_loss("infonce", temperature=2, learned=True), "a start between 0.005 and 1.0"),
        (lambda: make_loss("infonce", direction="up"), "direction = 'up'"),
        (lambda: make_loss("infonce", hardness=-1), "hardness = -1"),
        (lambda: make_loss("triplet", margin=nan), "margin = nan"),
        (lambda: Matryoshka(InfoNCE(), [0]), "dims = [0]"),
        (lambda: Matryoshka(InfoNCE(), [4, 4]), "different dimensions"),
        (lambda: Matryoshka(InfoNCE(), [4], [1, 2]), "weights = [1, 2] for 1 dims"),
        (lambda: Matryoshka(Matryoshka(InfoNCE(), [4]), [2]), "LayerWise(loss, layers, dims)"),
        (lambda: LayerWise(InfoNCE(), [0, -1]), "give layer_weights"),
        (lambda: LayerWise(InfoNCE(), []), "at least one layer"),
        (lambda: MaskFalseNegatives(InfoNCE(), nan), "threshold = nan"),
        (lambda: MaskFalseNegatives(InfoNCE(), 0.1, "most"), "against = 'most'"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_cannot_be(call: object, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()  # type: ignore[operator]
    assert said in str(caught.value)


def test_wrappers_by_name() -> None:
    made = wrap_loss("matryoshka", wrap_loss("mask_false_negatives", make_loss("infonce"), threshold=0.2), dims=[8])
    assert made.views == (ScoreView(dim=8),)
    assert set(WRAPPERS) == {"matryoshka", "layer_wise", "mask_false_negatives", "flops"}
