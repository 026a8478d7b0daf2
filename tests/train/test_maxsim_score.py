"""A score of matched tokens: by hand, and what must not change it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import ModelUnsupported
from gnomon.train.maxsim_score import MaxSimScore

PAD, START, END = 0, 1, 2
HEAD = MaxSimScore([START, END, PAD], END)


def vectors(*degrees):
    """Rows of two numbers, by their angle; their lengths differ and must not matter."""
    angles = torch.tensor(degrees, dtype=torch.float32).deg2rad()
    rows = torch.stack([angles.cos(), angles.sin()], 1)
    return rows * torch.arange(1, len(rows) + 1)[:, None]


def test_by_hand():
    # Query tokens at 0 and 90 degrees, document tokens at 60 and 180; special tokens lie on the query's.
    ids = torch.tensor([[START, 5, 6, END, 7, 8, END]])
    hidden = vectors(0, 0, 90, 0, 60, 180, 90)[None]
    cosines = [0.5, 3**0.5 / 2]  # of 60 and of 30 degrees
    assert HEAD.score(ids, hidden, None).item() == pytest.approx(sum(cosines) / 2, abs=1e-6)
    far = vectors(0, 0, 0, 0, 120, 180, 0)[None]
    assert HEAD.score(ids, far, None).item() == pytest.approx(-0.5, abs=1e-6)


def test_a_special_token_within_a_query_hides_no_word_after_it():
    ids = torch.tensor([[START, 5, START, 6, END, 7, END]])
    hidden = vectors(0, 0, 0, 90, 0, 60, 0)[None]
    assert HEAD.score(ids, hidden, None).item() == pytest.approx((0.5 + 3**0.5 / 2) / 2, abs=1e-6)


@pytest.mark.parametrize("ids", [[START, END, 7, END], [START, 5, END, END], [START, END, END]])
def test_an_empty_side_scores_nothing(ids):
    scores = HEAD.score(torch.tensor([ids]), vectors(*range(len(ids)))[None], None)
    assert scores.tolist() == [0.0]


@given(
    seed=st.integers(0, 2**31 - 1),
    lengths=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=5),
)
def test_neither_the_batch_nor_its_padding_changes_a_score(seed, lengths):
    torch.manual_seed(seed)
    rows = [
        torch.tensor([START, *range(5, 5 + query), END, *range(50, 50 + document), END]) for query, document in lengths
    ]
    wide = max(map(len, rows))
    ids = torch.stack([torch.cat([row, row.new_full((wide - len(row),), PAD)]) for row in rows])
    mask = torch.arange(wide) < torch.tensor([len(row) for row in rows])[:, None]
    hidden = torch.randn(len(rows), wide, 4)
    whole = HEAD.score(ids, hidden, mask)
    for at, row in enumerate(rows):
        alone = HEAD.score(row[None], hidden[at : at + 1, : len(row)], None)
        assert whole[at].item() == pytest.approx(alone.item(), abs=1e-6)
        assert -1 - 1e-6 <= alone.item() <= 1 + 1e-6


def test_gradients_are_finite_with_empty_sides():
    hidden = torch.randn(2, 4, 3, requires_grad=True)
    ids = torch.tensor([[START, END, 7, END], [START, 5, END, 6]])
    HEAD.score(ids, hidden, torch.tensor([[True] * 4, [True, True, True, True]])).sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert not hidden.grad[0].any()
    assert hidden.grad[1].any()


@pytest.mark.parametrize("text", [None, "{}", '{"frame": 1, "separator": 2}', "not json"])
def test_a_damaged_folder_is_named(text, tmp_path):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelUnsupported, match="no score of matched tokens") as caught:
        MaxSimScore.load(str(tmp_path))
    assert str(tmp_path) in caught.value.message
