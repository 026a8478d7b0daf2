"""Families beside BERT's as backbones: trained by a recipe, then served without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from gnomon.train import fit, load_model
from support.training_recipes import NEW, toy

TEXTS = ["barbest dengast", "fur", "nistkor gar bur"]
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
SERVE = """
import sys
import numpy as np
import gnomon
from gnomon.encode import EncoderSettings
folder, out, *texts = sys.argv[1:]
encoder = gnomon.load_encoder(folder, settings=EncoderSettings(threads=1, precision="fp32"))
np.save(out, encoder.encode(texts, role="document").data)
assert "torch" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize(("family", "more"), [("electra", {"embedding_size": 16}), ("modernbert", MARKS)])
def test_it_trains_and_is_served_without_torch(family, more, tmp_path):
    torch.set_num_threads(1)
    new = {**NEW, "model_type": family, "more": {**NEW["more"], **more}}
    recipe = toy(tmp_path, model={"new": new}, optim={"epochs": 1}, dev={"every": 0}, output={"checkpoint_every": 0})
    trained = fit(recipe)
    assert trained.problems == ()
    model = load_model(trained.folder)
    assert model.tower.backbone.network.config.model_type == family
    with torch.inference_mode():
        wanted = model.embed(model.features(TEXTS, "document"))[0].values
    out = tmp_path / "vectors.npy"
    subprocess.run([sys.executable, "-c", SERVE, trained.folder, str(out), *TEXTS], check=True)
    np.testing.assert_allclose(np.load(out), torch.nn.functional.normalize(wanted).numpy(), atol=1e-5)
