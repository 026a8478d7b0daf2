"""LoRA adapters of peft folders: the merged model is the base model with W + scaling * B A."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gnomon.core.errors import ModelNotFound, ModelUnsupported
from gnomon.encode.layout.modules import adapter_folder
from gnomon.encode.load import load_encoder
from gnomon.encode.settings import EncoderSettings

LAYER = "encoder.layer.0.attention.self.query"
CONFIG = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "use_rslora": False}
VARIANTS = {
    "plain": ({}, 2.0),
    "rslora": ({"use_rslora": True}, 6 / 3**0.5),
    "alpha by pattern": ({"alpha_pattern": {"self.query": 12}}, 4.0),
}


@pytest.fixture
def parts(tiny, tmp_path, monkeypatch):
    """A base model, and an adapter's folder beside it with the adapter's tensors."""
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    base = tiny.write(tmp_path / "base", "bert")
    tiny.as_sentence_transformer(base, "mean")
    folder = tmp_path / "adapter"
    tiny.as_sentence_transformer(tiny.write(folder, "bert"), "mean")
    (folder / "model.safetensors").unlink()
    rng = np.random.default_rng(5)
    pair = {"A": rng.standard_normal((3, 16)), "B": rng.standard_normal((16, 3))}
    held = {f"base_model.model.{LAYER}.lora_{side}.weight": one.astype(np.float32) for side, one in pair.items()}
    write(folder, base, held)
    return base, folder, held


def write(folder, base, held, **more):
    save_file(held, folder / "adapter_model.safetensors")
    config = CONFIG | {"base_model_name_or_path": str(base)} | more
    (folder / "adapter_config.json").write_text(json.dumps(config))


def rows(folder):
    encoder = load_encoder(folder, settings=EncoderSettings(threads=1, precision="fp32"))
    return encoder.encode(["w1 w2 w3", "w4"], role="document").data, encoder.space.fingerprint


@pytest.mark.parametrize("name", VARIANTS)
def test_the_merged_model_is_that_of_the_merged_weights(name, parts, tiny, tmp_path):
    base, folder, held = parts
    more, scaling = VARIANTS[name]
    write(folder, base, held, **more)
    a, b = held.values()
    by_hand = tiny.tensors("bert")
    by_hand[f"{LAYER}.weight"] = by_hand[f"{LAYER}.weight"] + (scaling * b @ a).astype(np.float32)
    merged = tiny.write(tmp_path / "by hand", "bert")
    tiny.as_sentence_transformer(merged, "mean")
    save_file(by_hand, merged / "model.safetensors")
    found, fingerprint = rows(folder)
    np.testing.assert_allclose(found, rows(merged)[0], atol=1e-5)
    assert np.abs(found - rows(base)[0]).max() > 1e-3
    assert fingerprint not in (rows(base)[1], rows(merged)[1])
    assert rows(folder)[1] == fingerprint


def test_dora_normalises_and_saved_modules_take_their_place(parts, tiny):
    from gnomon.encode.graph.weights import Weights
    from gnomon.encode.peft import merge

    base, folder, held = parts
    a, b = held.values()
    magnitude, bias = np.arange(1, 17, dtype=np.float32), np.ones(16, dtype=np.float32)
    more = {f"base_model.model.{LAYER}.lora_magnitude_vector": magnitude, f"base_model.model.bert.{LAYER}.bias": bias}
    write(folder, base, held | more, use_dora=True)
    found = merge(Weights(base / "model.safetensors"), Weights(folder / "adapter_model.safetensors"), CONFIG)
    summed = tiny.tensors("bert")[f"{LAYER}.weight"] + 2 * b @ a
    wanted = magnitude[:, None] * summed / np.linalg.norm(summed, axis=1, keepdims=True)
    np.testing.assert_allclose(found[f"{LAYER}.weight"].float32(), wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found[f"{LAYER}.bias"].float32(), bias)


def test_the_fingerprint_knows_base_and_adapter(parts):
    base, folder, held = parts
    seen = {rows(folder)[1]}
    write(folder, base, held, lora_alpha=7)
    seen.add(rows(folder)[1])
    tensors = load_file(base / "model.safetensors")
    save_file({name: one * 2 for name, one in tensors.items()}, base / "model.safetensors")
    seen.add(rows(folder)[1])
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"peft_type": "IA3"}, "the type 'IA3'"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"base_model_name_or_path": ""}, "does not name its base model"),
    ],
)
def test_adapters_of_another_kind_are_refused(more, told, parts):
    base, folder, held = parts
    write(folder, base, held, **more)
    with pytest.raises(ModelUnsupported, match=told) as refused:
        load_encoder(folder)
    assert "merge_and_unload" in refused.value.hint


def test_an_adapter_of_another_model_and_a_base_that_is_not_there(parts, tmp_path):
    base, folder, held = parts
    a, b = held.values()
    write(folder, base, {"base_model.model.other.lora_A.weight": a, "base_model.model.other.lora_B.weight": b})
    with pytest.raises(ModelUnsupported, match="changes other, and the base model has no such layer"):
        load_encoder(folder)
    write(folder, tmp_path / "nowhere", held)
    with pytest.raises(ModelNotFound, match="there is no folder"):
        load_encoder(folder)
    assert adapter_folder(base) is None
