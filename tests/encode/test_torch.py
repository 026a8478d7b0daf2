"""The torch path, on its CPU device: the same vectors as OpenVINO's graph, in the same space."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode import load_encoder
from gnomon.encode.layout.model import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder
from gnomon.testing.encoder import check_encoder

FAMILIES = ("bert", "roberta", "distilbert", "mpnet")
OPENVINO = EncoderSettings(threads=1, precision="fp32")
TORCH = EncoderSettings(threads=1, device="torch-cpu")

wants_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed: pip install 'gnomon[torch]'"
)


@wants_torch
@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_and_token_vectors_are_those_of_transformers(family, tiny, tiny_layout, golden):
    pad = tiny.specials(family)[tiny.config(family)["pad_token_id"]]
    texts = [tiny.SHORT, tiny.LONG, f"w4 {pad} w5 w6"]
    encoder = TransformerEncoder(tiny_layout(family), TORCH)
    found = encoder.tokens(texts)
    rows = encoder.encode(texts, role="document").data
    np.testing.assert_allclose(rows[:, :6], golden[family]["mean"], atol=2e-5)
    np.testing.assert_allclose([t.vectors[0, :4] for t in found], golden[family]["first token"], atol=2e-5)
    np.testing.assert_allclose([t.vectors[-1, :4] for t in found], golden[family]["last token"], atol=2e-5)


@wants_torch
@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_keeps_every_promise(family, tiny_layout):
    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11 w12", "w13 w14"]
    check_encoder(TransformerEncoder(tiny_layout(family), TORCH), texts=texts, tolerance=1e-5)


@wants_torch
@pytest.mark.parametrize("how", ["mean", "cls", "max", "last", "weightedmean", "attention"])
@pytest.mark.parametrize("normalise", [True, False])
def test_pooling_projection_and_prompt_are_those_of_the_graph(how, normalise, tiny_layout, tiny):
    rng = np.random.default_rng(3)
    dense = (
        rng.standard_normal((5, 16)).astype(np.float32),
        rng.standard_normal(5).astype(np.float32),
        "Tanh",
    )
    made = tiny_layout("bert", pooling=how, dense=dense, normalise=normalise, include_prompt=False)
    layout = read_layout(made.folder, name="tiny", prompts={"query": "w30 w31 ", "document": ""})
    texts = [tiny.SHORT, "", "w9 w3 w3 w1 w8"]
    ours, graphs = TransformerEncoder(layout, TORCH), TransformerEncoder(layout, OPENVINO)
    for role in ("query", "document"):
        found, wanted = ours.encode(texts, role=role), graphs.encode(texts, role=role)
        assert found.space == wanted.space
        np.testing.assert_allclose(found.data, wanted.data, atol=1e-5)


@wants_torch
@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_minilm_keeps_to_openvino(precision, minilm_folder):
    layout = read_layout(minilm_folder, name="all-MiniLM-L6-v2")
    texts = ["tea", "How does a sundial tell the time?", "The gnomon casts a shadow on the dial. " * 15]
    settings = EncoderSettings(threads=1, device="torch-cpu", precision=precision)
    found = TransformerEncoder(layout, settings).encode(texts, role="document")
    wanted = TransformerEncoder(layout, OPENVINO).encode(texts, role="document")
    assert found.space == wanted.space
    assert (found.data * wanted.data).sum(1).min() > (0.9995 if precision == "bf16" else 0.999999)


@wants_torch
def test_tensors_under_a_prefix_are_found_and_missing_ones_named(tiny_layout, tiny):
    texts = [tiny.LONG]
    prefixed = TransformerEncoder(tiny_layout("roberta", prefix="roberta."), TORCH)
    plain = TransformerEncoder(tiny_layout("roberta"), OPENVINO)
    rows = prefixed.encode(texts, role="query").data
    np.testing.assert_allclose(rows, plain.encode(texts, role="query").data, atol=1e-5)
    short = TransformerEncoder(tiny_layout("bert", config={"num_hidden_layers": 3}), TORCH)
    with pytest.raises(ModelUnsupported, match=r"no tensor encoder\.layer\.2\.attention"):
        short.encode(["w1"], role="query")


@wants_torch
def test_a_gpu_that_is_not_there_is_told(tiny_layout):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InvalidInput, match=r"device 'cuda', and torch \S+ sees no GPU") as told:
        load_encoder(tiny_layout("bert").folder, settings=EncoderSettings(device="cuda"))
    assert "nvidia-smi" in told.value.hint


@wants_torch
def test_a_gpu_gives_the_vectors_of_the_cpu(minilm_folder):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    layout = read_layout(minilm_folder, name="all-MiniLM-L6-v2")
    texts = ["tea", "How does a sundial tell the time?", "The gnomon casts a shadow on the dial. " * 15]
    found = TransformerEncoder(layout, EncoderSettings(device="cuda")).encode(texts, role="document")
    wanted = TransformerEncoder(layout, OPENVINO).encode(texts, role="document")
    assert found.space == wanted.space
    assert (found.data * wanted.data).sum(1).min() > 0.9995


def test_without_torch_the_way_to_get_it_is_told(tiny_layout, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    for device in ("cuda", "torch-cpu"):
        with pytest.raises(InvalidInput, match=f"device '{device}' without torch") as told:
            load_encoder(tiny_layout("bert").folder, settings=EncoderSettings(device=device))
        assert "gnomon[torch]" in told.value.hint


def test_the_settings_of_torch_load_no_torch():
    code = (
        "import sys; from gnomon.encode import EncoderSettings\n"
        "from gnomon.encode.runtime.torch_runner import require_device\n"
        "assert EncoderSettings(device='cuda').batch_budget > EncoderSettings().batch_budget\n"
        "assert EncoderSettings(device='cuda', batch_tokens=7).batch_budget == 7\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
