from __future__ import annotations

import pytest
import torch

from gnomon.train.models.attention import ByteDropout, with_byte_dropout


def test_a_share_of_the_values_is_zero_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    layer = ByteDropout(0.25).train()
    out = layer(torch.ones(40_000))
    assert sorted(out.unique().tolist()) == pytest.approx([0.0, 4 / 3])
    assert (out == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)


def test_every_place_of_a_drawn_number_is_used_alike() -> None:
    torch.manual_seed(0)
    zeros = (ByteDropout(0.5).train()(torch.ones(80_000)) == 0).float().view(-1, 8).mean(0)
    assert zeros.tolist() == pytest.approx([0.5] * 8, abs=0.02)


def test_the_gradient_passes_where_the_value_did() -> None:
    values = torch.randn(7, 13, requires_grad=True)
    out = ByteDropout(0.5).train()(values)
    out.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.where(out == 0, 0.0, 2.0))


def test_the_generators_state_decides_the_mask() -> None:
    layer, values = ByteDropout(0.3).train(), torch.ones(100)
    state = torch.get_rng_state()
    first = layer(values)
    torch.set_rng_state(state)
    assert torch.equal(layer(values), first)
    assert not torch.equal(layer(values), first)


@pytest.mark.parametrize("layer", [ByteDropout(0.5).eval(), ByteDropout(0.0).train()])
def test_nothing_is_dropped_outside_training_or_at_zero(layer: ByteDropout) -> None:
    values = torch.randn(5)
    assert layer(values) is values


def test_a_networks_dropouts_are_replaced() -> None:
    network = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Sequential(torch.nn.Dropout(0.2)))
    with_byte_dropout(network)
    assert isinstance(network[0], ByteDropout)
    assert isinstance(network[1][0], ByteDropout)
    assert network[1][0].p == 0.2
