"""Schedules against those of transformers; averages of weights, kept and brought back exactly."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.train.optim import (
    LearningRateSchedule,
    copy_weights,
    interpolate,
    temporary_weights,
    update_average,
    warm_decay,
)


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
@pytest.mark.parametrize(("steps", "warmup"), [(20, 0), (20, 5), (3, 3), (1, 0)])
def test_the_schedules_of_transformers(shape: str, steps: int, warmup: int) -> None:
    optimization = pytest.importorskip("transformers.optimization")
    name = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}[shape]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = optimization.get_scheduler(name, optimizer, warmup, steps)
    ours = LearningRateSchedule(steps, warmup, shape)  # type: ignore[arg-type]
    for step in range(steps):
        assert ours.share(step) == pytest.approx(peer.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        peer.step()


@given(
    steps=st.integers(1, 50),
    warmup=st.integers(0, 50),
    floor=st.floats(0, 1),
    shape=st.sampled_from(["linear", "cosine", "constant"]),
)
def test_a_schedule_rises_then_never_rises_again(steps: int, warmup: int, floor: float, shape: Any) -> None:
    plan = LearningRateSchedule(steps, min(warmup, steps), shape, floor)
    shares = [plan.share(step) for step in range(steps + 5)]
    top = plan.warmup
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert all(0 <= share <= 1 for share in shares)
    assert shape == "constant" or top == steps or shares[steps] == pytest.approx(floor)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: LearningRateSchedule(10, shape="step"), "the schedule 'step'"),  # type: ignore[arg-type]
        (lambda: LearningRateSchedule(10, 11), "11 steps of warm-up in 10 steps"),
        (lambda: LearningRateSchedule(0), "0 steps of warm-up in 0 steps"),
        (lambda: LearningRateSchedule(10, floor=2), "floor = 2"),
        (lambda: interpolate({}, {}, 1.5), "share = 1.5"),
        (lambda: update_average({}, {}, 1.0), "decay = 1.0"),
        (lambda: interpolate({"a": torch.zeros(1)}, {"b": torch.zeros(1)}, 0.5), "2 names or shapes, as 'a'"),
        (lambda: interpolate({"a": torch.zeros(1)}, {"a": torch.zeros(2)}, 0.5), "1 names or shapes, as 'a'"),
    ],
)
def test_what_cannot_be_is_refused(call: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert said in str(caught.value)


def weights(seed: int) -> dict[str, torch.Tensor]:
    numbers = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(3, 2, generator=numbers), "positions": torch.tensor([seed, 7])}


def test_between_start_and_end() -> None:
    start, end = weights(1), weights(2)
    assert torch.equal(interpolate(start, end, 0.0)["w"], start["w"])
    assert torch.equal(interpolate(start, end, 1.0)["w"], end["w"])
    torch.testing.assert_close(interpolate(start, end, 0.25)["w"], 0.75 * start["w"] + 0.25 * end["w"])
    assert interpolate(start, end, 0.25)["positions"].tolist() == [2, 7]
    assert torch.equal(start["w"], weights(1)["w"])  # what came in is as it was


def test_the_moving_average_is_the_weighted_sum_of_all_steps() -> None:
    average = copy_weights(weights(0))
    for step in range(1, 5):
        average = update_average(average, weights(step), 0.9)
    expected = 0.9**4 * weights(0)["w"] + sum(0.1 * 0.9 ** (4 - step) * weights(step)["w"] for step in range(1, 5))
    torch.testing.assert_close(average["w"], expected)
    assert warm_decay(0.5, 0) == pytest.approx(0.1)
    assert warm_decay(0.5, 1000) == 0.5


def test_a_model_has_other_weights_for_a_while() -> None:
    model = torch.nn.Linear(2, 3)
    before = copy_weights(model.state_dict())
    other = {name: tensor + 1 for name, tensor in before.items()}
    with temporary_weights(model, other):
        assert torch.equal(model.weight, other["weight"])
    assert torch.equal(model.weight, before["weight"])
    with (
        pytest.raises(RuntimeError, match="size mismatch"),
        temporary_weights(model, {**other, "bias": torch.zeros(9)}),
    ):
        pass
    assert torch.equal(model.weight, before["weight"])


def test_a_copy_does_not_follow_the_training() -> None:
    model = torch.nn.Linear(2, 3)
    kept = copy_weights(model.state_dict())
    with torch.no_grad():
        model.weight.add_(1)
    assert not torch.equal(kept["weight"], model.weight)
