"""Transformer encoders: against the values that transformers and sentence-transformers give."""

import json
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode.layout.model import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.transformer import TransformerEncoder
from gnomon.kernels.pooling import pool
from gnomon.testing.encoder import check_encoder

FAMILIES = ("bert", "roberta", "distilbert", "mpnet")
FP32 = EncoderSettings(threads=1, precision="fp32")
# all-MiniLM-L6-v2, first eight values of each vector: sentence-transformers 6.2.0, torch 2.13.0 CPU, fp32.
MINILM = {
    "How does a sundial tell the time?": [
        *(0.001643, 0.086258, -0.018418, -0.013617, -0.036878, 0.001771, 0.04935, 0.013333)
    ],
    "The gnomon casts a shadow on the dial, and the shadow's angle gives the hour.": [
        *(-0.059852, 0.060037, 0.016748, 0.010599, -0.034681, -0.062661, 0.038524, 0.005533)
    ],
}
MINILM_COSINE = 0.602255  # of the two


def texts_of(tiny, family):
    pad = tiny.specials(family)[tiny.config(family)["pad_token_id"]]
    # A padding token within a text is real, and RoBERTa and MPNet count positions past it.
    return [tiny.SHORT, tiny.LONG, f"w4 {pad} w5 w6"]


@pytest.fixture(scope="module")
def encoders(tiny_layout):
    return {family: TransformerEncoder(tiny_layout(family), FP32) for family in FAMILIES}


@pytest.fixture(scope="module")
def minilm(minilm_folder):
    return TransformerEncoder(read_layout(minilm_folder, name="all-MiniLM-L6-v2"))


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_and_token_vectors_are_those_of_transformers(family, encoders, tiny, golden):
    texts = texts_of(tiny, family)
    rows = encoders[family].encode(texts, role="document").data
    found = encoders[family].tokens(texts)
    np.testing.assert_allclose(rows[:, :6], golden[family]["mean"], atol=2e-5)
    np.testing.assert_allclose([t.vectors[0, :4] for t in found], golden[family]["first token"], atol=2e-5)
    np.testing.assert_allclose([t.vectors[-1, :4] for t in found], golden[family]["last token"], atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_stays_near_fp32(family, encoders, tiny, tiny_layout):
    texts = texts_of(tiny, family)
    rough = TransformerEncoder(tiny_layout(family), EncoderSettings(threads=1, precision="bf16"))
    exact = encoders[family].encode(texts, role="query").data
    # 16 dimensions average little of the rounding away; the floor for a real model is 0.9995.
    assert (rough.encode(texts, role="query").data * exact).sum(1).min() > 0.998


@pytest.mark.parametrize("family", FAMILIES)
def test_the_encoder_keeps_every_promise(family, encoders):
    texts = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11 w12", "w13 w14"]
    check_encoder(encoders[family], texts=texts, tolerance=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_neither_padding_nor_order_nor_batches_matter(family, encoders, data):
    words = st.lists(st.integers(0, 40).map("w{}".format), max_size=60).map(" ".join)
    texts = data.draw(st.lists(words, min_size=1, max_size=12))
    rows = encoders[family].encode(texts, role="document").data
    backward = encoders[family].encode(texts[::-1], role="document").data[::-1]
    alone = np.concatenate([encoders[family].encode([text], role="document").data for text in texts])
    np.testing.assert_allclose(rows, backward, atol=1e-5)
    np.testing.assert_allclose(rows, alone, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "cls", "max", "last", "weightedmean", "attention"])
def test_pooling_in_the_graph_is_the_kernels(how, tiny_layout, tiny):
    layout = tiny_layout("bert", pooling=how, normalise=False)
    texts = [tiny.SHORT, "", "w9 w3 w3 w1 w8"]
    lengths = np.array([5, 2, 7])
    encoder = TransformerEncoder(layout, FP32)
    rows = encoder.encode(texts, role="query").data
    hidden = _hidden(encoder, texts)
    mask = (np.arange(hidden.shape[1]) < lengths[:, None]).astype(np.int64)
    wanted = pool(hidden, mask, how=how, query=tiny.attention_query() if how == "attention" else None)
    np.testing.assert_allclose(rows, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("how", ["weightedmean", "attention"])
def test_a_prompt_left_out_takes_its_places_and_nothing_else(how, tiny_layout, tiny):
    made = tiny_layout("bert", pooling=how, include_prompt=False)
    layout = read_layout(made.folder, name="tiny", prompts={"query": "w30 w31 ", "document": ""})
    encoder = TransformerEncoder(layout, FP32)
    rows = encoder.encode(["w9 w3", "w1"], role="query").data
    mask = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0]])
    query = tiny.attention_query() if how == "attention" else None
    wanted = pool(_hidden(encoder, ["w9 w3", "w1"]), mask, how=how, query=query, before=3)
    np.testing.assert_allclose(rows, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)


def _hidden(encoder, texts):
    # The inner step, special tokens included: what the public `tokens` leaves out is pooled as well.
    tokenised = encoder._tokenizer.tokenise(texts, role="query")
    batch = next(encoder._batches(tokenised, 0))
    hidden = encoder._token_model.run(batch[1], batch[2])[np.argsort(batch[0])]
    return hidden[:, : batch[2].max()]  # without the columns that only round a batch's shape


@pytest.mark.parametrize(("activation", "biased"), [("Tanh", True), ("Identity", False)])
def test_projection_and_its_activation(activation, biased, tiny_layout, tiny):
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((5, 16)).astype(np.float32)
    bias = rng.standard_normal(5).astype(np.float32) if biased else None
    plain = TransformerEncoder(tiny_layout("bert", normalise=False), FP32)
    hidden = _hidden(plain, [tiny.SHORT]).mean(1)
    wanted = hidden @ weight.T + (0 if bias is None else bias)
    wanted = np.tanh(wanted) if activation == "Tanh" else wanted
    encoder = TransformerEncoder(tiny_layout("bert", dense=(weight, bias, activation)), FP32)
    found = encoder.encode([tiny.SHORT], role="document")
    assert found.space.dim == 5
    np.testing.assert_allclose(found.data, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_prompts_go_before_and_are_left_out_of_pooling_where_the_model_says_so(tiny_layout, tiny):
    whole = tiny_layout("bert")
    prompts = {"query": "w30 w31 ", "document": ""}
    apart = tiny_layout("bert", include_prompt=False)
    base = TransformerEncoder(whole, FP32)
    pooled = TransformerEncoder(read_layout(whole.folder, name="tiny", prompts=prompts), FP32)
    skipped = TransformerEncoder(read_layout(apart.folder, name="tiny", prompts=prompts), FP32)
    wanted = base.encode(["w30 w31 w1 w2"], role="query").data
    np.testing.assert_allclose(pooled.encode(["w1 w2"], role="query").data, wanted, atol=1e-6)
    assert pooled.count_tokens(["w1 w2"], role="query") == [6]
    assert pooled.count_tokens(["w1 w2"], role="document") == [4]
    # sentence-transformers leaves out [CLS] and the prompt, and keeps [SEP].
    mean = _hidden(base, ["w30 w31 w1 w2"])[0, 3:].mean(0)
    found = skipped.encode(["w1 w2"], role="query").data[0]
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)
    same = base.encode(["w1 w2"], role="document").data
    np.testing.assert_allclose(skipped.encode(["w1 w2"], role="document").data, same, atol=1e-6)
    assert pooled.space != base.space
    assert skipped.space != pooled.space


def test_token_vectors_know_their_characters(tiny_layout):
    layout = read_layout(tiny_layout("bert").folder, name="tiny", prompts={"query": "w30 w31 ", "document": ""})
    encoder = TransformerEncoder(layout, FP32)
    for role in ("query", "document"):
        (found,) = encoder.tokens(["  w1 écu w22"], role=role)
        assert found.tokens == ("w1", "[UNK]", "w22")
        assert found.offsets.tolist() == [[2, 4], [5, 8], [9, 12]]
        assert found.vectors.shape == (3, 16)
    (empty,) = encoder.tokens([""])
    assert empty.vectors.shape == (0, 16)
    assert empty.offsets.shape == (0, 2)


def test_over_long_texts_are_cut_and_told(encoders, tiny):
    encoder = encoders["bert"]
    long = " ".join(["w1"] * 200)
    with pytest.warns(TruncatedText, match=r"2 of 3 texts are longer than the 75 tokens .*longest: 202 tokens"):
        rows = encoder.encode([long, "w2", long + " w2"[:0]], role="document").data
    same = encoder.encode([" ".join(["w1"] * 73)], role="document").data
    np.testing.assert_allclose(rows[0], same[0], atol=1e-6)
    assert encoder.count_tokens([long, ""], role="query") == [202, 2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode([" ".join(["w1"] * 73), ""], role="document")


def test_a_matryoshka_prefix_is_a_space_of_its_own(tiny_layout):
    layout = tiny_layout("bert")
    full = TransformerEncoder(layout, FP32)
    cut = TransformerEncoder(layout, EncoderSettings(threads=1, precision="fp32", dim=4))
    vectors = cut.encode(["w1 w2"], role="query")
    assert vectors.space == cut.space == full.space.truncate(4)
    assert vectors.space.parent == full.space.fingerprint
    wanted = full.encode(["w1 w2"], role="query").truncate(4).data
    np.testing.assert_array_equal(vectors.data, wanted)
    with pytest.raises(InvalidInput, match="dim = 17"):
        TransformerEncoder(layout, EncoderSettings(dim=17))


def test_windows_tokenised_ahead_give_the_same_rows(tiny_layout, monkeypatch):
    layout = tiny_layout("bert")
    texts = [" ".join(f"w{(at * k) % 32}" for k in range(1 + at % 9)) for at in range(20)]
    whole = TransformerEncoder(layout, FP32).encode(texts, role="document").data
    monkeypatch.setattr("gnomon.encode.runtime.batches.WINDOW_TEXTS", 6)
    rows = {
        threads: TransformerEncoder(layout, EncoderSettings(threads=threads, precision="fp32")).encode(
            texts, role="document"
        )
        for threads in (1, 2)
    }
    np.testing.assert_allclose(rows[1].data, rows[2].data, atol=1e-6)
    np.testing.assert_allclose(rows[1].data, whole, atol=1e-6)


def test_precisions_share_a_space(tiny_layout):
    layout = tiny_layout("bert")
    spaces = {TransformerEncoder(layout, EncoderSettings(precision=p)).space for p in ("fp32", "bf16", "auto")}
    assert len(spaces) == 1


def test_tensors_under_a_prefix_are_found(tiny_layout, encoders, tiny):
    encoder = TransformerEncoder(tiny_layout("roberta", prefix="roberta."), FP32)
    rows = encoder.encode([tiny.LONG], role="query").data
    np.testing.assert_allclose(rows, encoders["roberta"].encode([tiny.LONG], role="query").data, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type = 'relative_key'"),
        ({"hidden_act": "mish"}, "hidden_act = 'mish'"),
        ({"is_decoder": True}, "is_decoder = True"),
        ({"num_attention_heads": 3}, "3 attention heads over a hidden size of 16"),
        ({"model_type": "roformer"}, "family 'roformer'"),
    ],
)
def test_what_is_not_implemented_is_refused(config, told, tiny_layout):
    with pytest.raises(ModelUnsupported, match=r"onnx|config\.json") as refused:
        TransformerEncoder(tiny_layout("bert", config=config))
    assert told in str(refused.value)
    assert refused.value.expected
    assert refused.value.hint


def test_a_tokenizer_of_another_model_is_refused(tiny_layout):
    encoder = TransformerEncoder(tiny_layout("bert", config={"vocab_size": 30}), FP32)
    with pytest.raises(ModelUnsupported, match="the id 35 to a model of 30 tokens"):
        encoder.encode(["w31"], role="query")


def test_code_of_a_models_own_is_named_and_not_run(tiny_layout):
    code = {"AutoConfig": "configuration_new.NewConfig", "AutoModel": "someone/code--modeling_new.NewModel"}
    with pytest.raises(
        ModelUnsupported, match=r"configuration_new\.py, modeling_new\.py\), which is never run"
    ) as refused:
        TransformerEncoder(tiny_layout("bert", config={"model_type": "novelty", "auto_map": code}))
    assert "'novelty'" in refused.value.message
    assert "export-onnx" in refused.value.hint


def test_a_missing_tensor_is_named(tiny_layout):
    encoder = TransformerEncoder(tiny_layout("bert", config={"num_hidden_layers": 3}), FP32)
    with pytest.raises(ModelUnsupported, match=r"no tensor encoder\.layer\.2\.attention\.self\.query\.weight"):
        encoder.encode(["w1"], role="query")


def test_truncated_weights_are_refused(tiny_layout):
    layout = tiny_layout("bert")
    layout.weights.write_bytes(layout.weights.read_bytes()[:-100])
    with pytest.raises(ModelUnsupported, match="damaged"):
        TransformerEncoder(layout, FP32).encode(["w1"], role="query")


def test_minilm_gives_sentence_transformers_vectors(minilm):
    rows = minilm.encode(list(MINILM), role="query").data
    np.testing.assert_allclose(rows[:, :8], list(MINILM.values()), atol=2e-3)
    assert abs(float(rows[0] @ rows[1]) - MINILM_COSINE) < 2e-3


def test_minilm_in_fp32_gives_them_to_five_digits(minilm_folder):
    layout = read_layout(minilm_folder, name="all-MiniLM-L6-v2")
    rows = TransformerEncoder(layout, FP32).encode(list(MINILM), role="query").data
    np.testing.assert_allclose(rows[:, :8], list(MINILM.values()), atol=1e-5)
    assert abs(float(rows[0] @ rows[1]) - MINILM_COSINE) < 1e-5


def test_minilm_keeps_every_promise(minilm):
    check_encoder(minilm)


def test_weights_in_half_precision_and_in_shards(tiny, tiny_layout, encoders, tmp_path):
    from safetensors.numpy import save_file

    layout = tiny_layout("bert")
    folder = shutil.copytree(layout.folder, tmp_path / "shards")
    held = tiny.tensors("bert")
    names = sorted(held)
    parts = {"a.safetensors": names[:10], "b.safetensors": names[10:]}
    for file, part in parts.items():
        save_file({name: held[name].astype(np.float16) for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    encoder = TransformerEncoder(read_layout(folder, name="tiny"), FP32)
    rows = encoder.encode([tiny.LONG], role="query").data
    np.testing.assert_allclose(rows, encoders["bert"].encode([tiny.LONG], role="query").data, atol=5e-3)


def test_making_an_encoder_loads_no_runtime_and_no_torch(tiny_layout):
    code = (
        "import sys; from pathlib import Path\n"
        "from gnomon.encode.layout.model import read_layout\n"
        "from gnomon.encode.transformer import TransformerEncoder\n"
        f"encoder = TransformerEncoder(read_layout(Path({str(tiny_layout('bert').folder)!r}), name='tiny'))\n"
        "assert encoder.count_tokens(['w1'], role='query') == [3]\n"
        "assert 'openvino' not in sys.modules\n"
        "encoder.encode(['w1'], role='query')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
