"""The step with each architecture: GradCache's gradients are those of one graph, dropout included."""

from typing import Any

import pytest
import torch

from gnomon.train.batch import Batch, Example
from gnomon.train.losses import InfoNCE, LayerWise
from gnomon.train.step import StepSettings, run_step
from support.tiny_backbones import TEXTS, tiny
from support.training_models import gradients

EXAMPLES = [Example(TEXTS[at], (TEXTS[at + 20], TEXTS[at + 40]), (1.0, 0.0), id=str(at)) for at in range(0, 16, 2)]


KINDS = {
    "bi": {},
    "dual": {"dim": 16},
    "late": {"dim": 16},
    "cross": {},
    "cross, matched": {"head": "maxsim"},
    "static": {"dim": 16},
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cached_gradients_of_each_architecture(name: str, precision: Any) -> None:
    kind: Any = name.split(",")[0]
    model = tiny(kind, **KINDS[name]).train()
    objective = InfoNCE(0.5)
    if kind in ("bi", "dual", "late"):
        objective = LayerWise(objective, [-1, -2], [None, 8])
    batch = Batch.of(EXAMPLES, in_batch=kind != "cross")
    found = []
    for chunk_tokens in (None, 60):
        torch.manual_seed(4)
        settings = StepSettings(chunk_tokens=chunk_tokens, piece_tokens=60, precision=precision)
        report = run_step(model, objective, batch, settings=settings)
        found.append((report, gradients(model)))
    (one, expected), (two, cached) = found
    assert (one.cached, two.cached) == (False, True)
    assert two.pieces > 3
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert expected.keys() == cached.keys()
    assert sum(float(gradient.norm()) for gradient in expected.values()) > 1e-2
    # bf16 rounds each piece's products, and one graph sums them in another order.
    close = 1e-5 if precision == "float32" else 2e-2
    for name, gradient in expected.items():
        scale = max(1.0, float(gradient.abs().max()))
        torch.testing.assert_close(cached[name], gradient, rtol=close, atol=close * scale, msg=name)
