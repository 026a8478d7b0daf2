"""Every module and setting of sentence-transformers' folders: honoured as it does itself, or refused by name."""

import json

import numpy as np
import pytest

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.load import load_encoder
from gnomon.encode.settings import EncoderSettings

pytest.importorskip("sentence_transformers")
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules as st
from tokenizers import Tokenizer
from torch import nn

from support.sentence_transformers_models import TEXTS, bert

FP32 = EncoderSettings(threads=1, precision="fp32")


def dense(*sizes, activation=nn.Tanh, **more):
    return st.Dense(*sizes, activation_function=activation(), **more)


AFTER = {
    "mean_sqrt_len_tokens": lambda: [st.Pooling(16, "mean_sqrt_len_tokens")],
    "modes in a row": lambda: [st.Pooling(16, ("cls", "max", "mean", "weightedmean", "lasttoken")), dense(80, 8)],
    **{
        f"Dense with {kind.__name__}": lambda kind=kind: [st.Pooling(16, "mean"), dense(16, 8, activation=kind)]
        for kind in (nn.Identity, nn.Tanh, nn.GELU, nn.ReLU, nn.SiLU, nn.Sigmoid)
    },
    "a residual": lambda: [st.Pooling(16, "cls"), dense(16, 16, use_residual=True)],
    "a residual of another size": lambda: [st.Pooling(16, "cls"), dense(16, 8, bias=False, use_residual=True)],
    "LayerNorm": lambda: [st.Pooling(16, "mean"), st.LayerNorm(16)],
    "layers after a Normalize": lambda: [st.Pooling(16, "mean"), st.Normalize(), dense(16, 8), st.LayerNorm(8)],
    "Dropout": lambda: [st.Pooling(16, "mean"), st.Dropout(0.5), dense(16, 8), st.Dropout(0.5), st.Normalize()],
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("bert"), 16, 3)


def saved(folder, modules, **more):
    """The folder and the model; the weights of the modules after pooling are random, and none is neutral."""
    torch.manual_seed(2)
    model = SentenceTransformer(modules=modules, similarity_fn_name="dot", **more).eval()
    with torch.no_grad():
        for module in modules[1:]:
            for weight in module.parameters():
                weight.add_(0.3 * torch.randn_like(weight))
    model.save(str(folder))
    return folder, model


def assert_same(folder, model, settings=FP32, texts=TEXTS):
    found = load_encoder(folder, settings=settings).encode(texts, role="document").data
    np.testing.assert_allclose(found, model.encode(texts), rtol=2e-5, atol=2e-5)


QUICK = ("modes in a row", "Dense with GELU", "a residual of another size", "layers after a Normalize", "Dropout")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in AFTER]
)
def test_modules_after_the_transformer(name, backbone, tmp_path):
    folder, model = saved(tmp_path / "m", [st.Transformer(backbone), *AFTER[name]()])
    assert_same(folder, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", AFTER)
def test_modules_after_the_transformer_on_torch(name, backbone, tmp_path):
    folder, model = saved(tmp_path / "m", [st.Transformer(backbone), *AFTER[name]()])
    assert_same(folder, model, EncoderSettings(threads=1, precision="fp32", device="torch-cpu"))


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.Sigmoid, nn.ReLU])
def test_modules_after_a_table(activation, backbone, tmp_path):
    tokenizer = Tokenizer.from_file(f"{backbone}/tokenizer.json")
    layers = [dense(12, 12, activation=activation, use_residual=True), st.LayerNorm(12), st.Normalize(), dense(12, 5)]
    folder, model = saved(tmp_path / "m", [st.StaticEmbedding(tokenizer, embedding_dim=12), *layers])
    assert_same(folder, model, texts=[text for text in TEXTS if text])


@pytest.mark.parametrize("name", ["CNN", "LSTM", "WordWeights", "WeightedLayerPooling", "BoW", "WordEmbeddings"])
def test_modules_that_are_refused_say_why(name, backbone, tmp_path):
    folder, _ = saved(tmp_path / "m", [st.Transformer(backbone), st.Pooling(16, "mean")])
    rows = json.loads((folder / "modules.json").read_text())
    kind = getattr(st, name)
    rows.insert(1, {"idx": 1, "name": "1", "path": f"1_{name}", "type": f"{kind.__module__}.{name}"})
    (folder / "modules.json").write_text(json.dumps(rows))
    with pytest.raises(ModelUnsupported, match=f"the module .*{name}: .*which no encoder of gnomon does") as refused:
        load_encoder(folder)
    assert "Transformer, Pooling" in refused.value.expected
    assert "http://HOST:PORT/v1#MODEL" in refused.value.hint
