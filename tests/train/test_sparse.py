"""Training sparse encoders: the loss falls, weights vanish; the folder is served as sentence-transformers reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gnomon.core.errors import InvalidInput
from gnomon.encode import EncoderSettings, load_sparse_encoder
from gnomon.train import fit, load_model
from gnomon.train.contracts import Reps
from gnomon.train.losses import Flops, InfoNCE, make_loss, wrap_loss
from gnomon.train.recipe.recipe import read_recipe
from support.training_recipes import tables, toy

SPARSE = {"kind": "sparse", "dropout": 0.0}
TEXTS = ["barbest dengast", "fur", "nistkor gar bur"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    flops = {"query": 0.03, "document": 0.03}
    optim = {"epochs": 4, "lr": 1e-2}
    settings = {"model": SPARSE, "objective": {"flops": flops}, "optim": optim, "dev": {"every": 0}}
    recipe = toy(tmp_path_factory.mktemp("sparse"), **settings, output={"checkpoint_every": 0})
    torch.set_num_threads(1)
    return fit(recipe)


def test_the_loss_falls_and_weights_vanish(trained):
    losses = [json.loads(line)["loss"] for line in (Path(trained.training) / "log.jsonl").open() if "loss" in line]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    (gain,) = trained.gains
    before, after = gain.sparsity
    assert after.query < before.query * 0.8
    assert after.document < before.document * 0.8
    assert after.flops < before.flops * 0.8
    assert trained.problems == ()
    assert trained.space["similarity"] == "dot"
    assert "active terms a query" in (Path(trained.training) / "report.html").read_text()


def test_it_is_served_as_it_was_trained_and_as_sentence_transformers_reads_it(trained):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    vectors = load_sparse_encoder(trained.folder, settings=EncoderSettings(threads=1, precision="fp32"))
    served = vectors.encode(TEXTS, role="document").to_dense()
    model = load_model(trained.folder)
    with torch.inference_mode():
        own = model.embed(model.features(TEXTS, "document"))[0].values.numpy()
    other = sentence_transformers.SparseEncoder(trained.folder)
    np.testing.assert_allclose(served, own, atol=1e-4)
    np.testing.assert_allclose(served, np.asarray(other.encode(TEXTS, convert_to_sparse_tensor=False)), atol=1e-4)
    assert served.any(1).all()


def test_the_penalty_is_the_formula_with_its_ramp():
    loss = Flops(InfoNCE(), query=2.0, document=3.0, ramp=2)
    weights = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0]], requires_grad=True)
    both = 5.0 * (2.0**2 + 1.0**2)
    first, second, third = (loss.penalty(Reps(weights), Reps(weights)) for _ in range(3))
    assert [one.item() for one in (first, second, third)] == [both / 4, both, both]
    second.backward()
    assert weights.grad.tolist() == [[10.0, 0.0, 5.0], [10.0, 0.0, 0.0]]
    scores, labels = torch.rand(2, 2), torch.eye(2)
    assert torch.equal(loss(scores, labels), InfoNCE()(scores, labels))
    resumed = Flops(InfoNCE(), query=2.0, document=3.0, ramp=2)
    resumed.load_state_dict(loss.state_dict())
    assert int(resumed.steps) == 3


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="factors"):
        wrap_loss("flops", make_loss("infonce"), query=-1.0)
    with pytest.raises(InvalidInput, match="flops"):
        read_recipe(tables(tmp_path, objective={"flops": {}}))
    with pytest.raises(InvalidInput, match="sparse encoder"):
        fit(toy(tmp_path, model=SPARSE, objective={"matryoshka": {"dims": [8]}}))
    with pytest.raises(InvalidInput, match="dim"):
        fit(toy(tmp_path, model={**SPARSE, "dim": 8}))


def test_a_sparse_recipe_has_what_dot_products_need(tmp_path):
    recipe = toy(tmp_path, model=SPARSE)
    assert recipe.objective.temperature == 1.0
    assert recipe.objective.flops.ramp == 0.33
    assert read_recipe(recipe.to_json()) == recipe
