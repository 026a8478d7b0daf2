"""Objectives give the numbers of sentence-transformers' losses, values and gradients, on the same vectors."""

import pytest
import torch

from gnomon.train.losses import (
    Contrastive,
    CoSENT,
    CosineRegression,
    InfoNCE,
    ListwiseKL,
    MarginMSE,
    TripletMargin,
)

losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses", reason="a peer, for tests")
util = pytest.importorskip("sentence_transformers.util")


def columns(count: int, rows: int = 7, dim: int = 5) -> list[torch.Tensor]:
    """`count` columns of vectors that want a gradient."""
    numbers = torch.Generator().manual_seed(count)
    return [torch.randn(rows, dim, generator=numbers).requires_grad_() for _ in range(count)]


def paired(given: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines of each query with the documents of all columns, and the mask of its own ones."""
    documents = torch.cat(given[1:])
    own = torch.eye(len(given[0]), dtype=torch.bool).repeat(1, len(given) - 1)
    return util.cos_sim(given[0], documents), own


def agree(ours: torch.Tensor, theirs: torch.Tensor, given: list[torch.Tensor]) -> None:
    """Same value and same gradients, to 1e-5."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    expected = torch.autograd.grad(theirs, given, retain_graph=True)
    for mine, other in zip(torch.autograd.grad(ours, given, retain_graph=True), expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)
    assert max(float(other.abs().max()) for other in expected) > 1e-3


@pytest.mark.parametrize("documents", [1, 3])
@pytest.mark.parametrize(("direction", "theirs"), [("query", ["query_to_doc"]), ("document", ["doc_to_query"])])
def test_infonce_is_multiple_negatives_ranking(documents: int, direction: str, theirs: list[str]) -> None:
    given = columns(1 + documents)
    scores, own = paired(given)
    labels = own.float()
    labels[:, 7:] = 0.0  # the first column has the positives, the others hard negatives
    if direction == "document":
        # The peer always has the direction of queries in it: the other one is got from the mean of both.
        both = losses.MultipleNegativesRankingLoss(
            torch.nn.Identity(), directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ).compute_loss_from_embeddings(given, torch.empty(0))
        agree(InfoNCE(direction="both")(scores, labels), both, given)
        query = InfoNCE()(scores, labels)
        agree(InfoNCE(direction="document")(scores, labels), 2 * both - query, given)
        return
    peer = losses.MultipleNegativesRankingLoss(torch.nn.Identity(), directions=tuple(theirs))
    agree(InfoNCE()(scores, labels), peer.compute_loss_from_embeddings(given, torch.empty(0)), given)


def test_cosent() -> None:
    given = columns(2)
    scores, own = paired(given)
    levels = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.0, 1.0, 0.1])
    labels = torch.where(own, levels[:, None], torch.nan)
    theirs = losses.CoSENTLoss(torch.nn.Identity()).compute_loss_from_embeddings(given, levels)
    agree(CoSENT()(scores, labels), theirs, given)


@pytest.mark.parametrize("negatives", [1, 4])
def test_margin_mse(negatives: int) -> None:
    given = columns(2 + negatives)
    teacher = torch.randn(7, 1 + negatives, generator=torch.Generator().manual_seed(0))
    teacher[:, 0] = teacher.amax(1) + 0.5  # the peer's positive is the first, ours the teacher's best
    peer = losses.MarginMSELoss(torch.nn.Identity())
    theirs = peer.compute_loss_from_embeddings(given, teacher)
    scores = torch.einsum("qd,cqd->qc", given[0], torch.stack(given[1:]))
    agree(MarginMSE()(scores, teacher), theirs, given)


def test_listwise_kl() -> None:
    given = columns(5)
    teacher = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)) * 3
    peer = losses.DistillKLDivLoss(torch.nn.Identity(), student_temperature=0.5, teacher_temperature=2.0)
    theirs = peer.compute_loss_from_embeddings(given, teacher)
    scores = torch.einsum("qd,cqd->qc", given[0], torch.stack(given[1:]))
    # The peer multiplies by the square of the student's temperature.
    agree(ListwiseKL(0.5, 2.0)(scores, teacher) * 0.25, theirs, given)


def test_contrastive_and_cosine_regression() -> None:
    given = columns(2)
    scores, own = paired(given)
    levels = torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    labels = torch.where(own, levels[:, None], torch.nan)
    theirs = losses.ContrastiveLoss(torch.nn.Identity()).compute_loss_from_embeddings(given, levels)
    agree(Contrastive()(scores, labels), theirs, given)
    labels, levels = labels * 0.7 - 0.2, levels * 0.7 - 0.2
    theirs = losses.CosineSimilarityLoss(torch.nn.Identity()).compute_loss_from_embeddings(given, levels)
    agree(CosineRegression()(scores, labels), theirs, given)


def test_triplet() -> None:
    given = columns(3)
    scores, own = paired(given)
    labels = torch.where(own, 0.0, torch.nan)
    labels[:, :7][own[:, :7]] = 1.0
    distance = losses.TripletDistanceMetric.COSINE
    theirs = losses.TripletLoss(torch.nn.Identity(), distance, 0.3).compute_loss_from_embeddings(given, None)
    agree(TripletMargin(0.3)(scores, labels), theirs, given)
