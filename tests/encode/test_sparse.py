"""Sparse encoders: against sentence-transformers' SparseEncoder, and the sparse head of BGE-M3."""

import json
import shutil

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode import EncoderSettings, load_sparse_encoder
from gnomon.testing import SparseHashEncoder, check_sparse_encoder

pytest.importorskip("sentence_transformers")
FP32 = EncoderSettings(threads=1, precision="fp32")
FORMS = {
    "bert": {},
    "roberta": {"family": "roberta"},
    "distilbert": {"family": "distilbert"},
    "mpnet": {"family": "mpnet"},
    "a sum": {"pooling": {"pooling_strategy": "sum"}},
    "two logarithms": {"pooling": {"activation_function": "log1p_relu"}},
    "few terms": {"max_active_dims": 5},
    "prompts": {"prompts": {"query": "w1 ", "document": "w2 w3 "}},
}


@pytest.fixture(scope="module")
def routed(st_models, tmp_path_factory):
    return st_models.inference_free(tmp_path_factory.mktemp("routed"))


@pytest.fixture(scope="module")
def splade(st_models, tmp_path_factory):
    return st_models.splade(tmp_path_factory.mktemp("splade"))


def require_equal(folder, model, texts):
    encoder = load_sparse_encoder(folder, settings=FP32)
    for role in ("query", "document"):
        encode = model.encode_query if role == "query" else model.encode_document
        wanted = np.asarray(encode(texts, convert_to_sparse_tensor=False))
        vectors = encoder.encode(texts, role=role)
        np.testing.assert_allclose(vectors.to_dense(), wanted, atol=1e-4)
        assert wanted.any()
    return encoder


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_those_of_sentence_transformers(form, st_models, tmp_path):
    require_equal(*st_models.splade(tmp_path, **FORMS[form]), st_models.TEXTS)


def test_queries_without_a_network(routed, st_models):
    encoder = require_equal(*routed, st_models.TEXTS)
    assert encoder.encode([""], role="query").active.tolist() == [0]


def test_a_bare_masked_language_model_is_splade(splade, st_models):
    folder, model = splade
    require_equal(folder.parent / "m", model, st_models.TEXTS)


def test_the_vocabulary_is_taken_in_slices(splade, st_models, monkeypatch):
    from gnomon.encode.graph import sparse as graph

    monkeypatch.setattr(graph, "SLICE", 7)
    require_equal(*splade, st_models.TEXTS)


def test_weights_of_a_json_file_by_token(routed, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(routed[0], folder)
    base = folder / "query_0_SparseStaticEmbedding"
    (base / "model.safetensors").unlink()
    (base / "config.json").write_text(json.dumps({"path": "idf.json"}))
    (base / "idf.json").write_text(json.dumps({"river": 3.5, "bank": 0.25, "nowhere": 9.0}))
    encoder = load_sparse_encoder(folder, settings=FP32)
    vectors = encoder.encode(["the river, river bank"], role="query")
    assert encoder.terms(vectors) == [{"river": 3.5, "bank": 0.25}]


def test_the_sparse_head_of_bge_m3(st_models, tmp_path):
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModel, AutoTokenizer

    base = st_models.bert(tmp_path / "m", 16, 3)
    head = {"weight": torch.randn(1, 16), "bias": torch.randn(1)}
    torch.save(head, f"{base}/sparse_linear.pt")
    with pytest.raises(ModelUnsupported, match=r"in sparse_linear\.pt, a pickle") as refused:
        load_sparse_encoder(base, settings=FP32)
    assert "weights_only=True" in refused.value.hint
    save_file(head, f"{base}/sparse_linear.safetensors")
    encoder, tokenizer = load_sparse_encoder(base, settings=FP32), AutoTokenizer.from_pretrained(base)
    vectors = encoder.encode(st_models.TEXTS, role="document")
    for text, got in zip(st_models.TEXTS, vectors, strict=True):
        ids = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = AutoModel.from_pretrained(base)(**ids).last_hidden_state[0]
        weights = torch.relu(hidden @ head["weight"][0] + head["bias"]).tolist()
        wanted = dict[int, float]()
        for one, weight in zip(ids["input_ids"][0].tolist(), weights, strict=True):
            if weight > 0 and one not in tokenizer.convert_tokens_to_ids(["[CLS]", "[PAD]", "[UNK]"]):
                wanted[one] = max(weight, wanted.get(one, 0.0))
        assert got.indices.tolist() == sorted(wanted)
        np.testing.assert_allclose(got.data, [wanted[one] for one in sorted(wanted)], atol=1e-4)


def test_it_keeps_every_promise(splade, st_models):
    check_sparse_encoder(load_sparse_encoder(splade[0], settings=FP32), texts=st_models.CHECKED)
    check_sparse_encoder(SparseHashEncoder())


def test_over_long_texts_are_told(splade):
    encoder = load_sparse_encoder(splade[0], settings=FP32)
    with pytest.warns(TruncatedText, match="longer than the 64 tokens"):
        encoder.encode(["w1 " * 100], role="document")


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


CHANGES = {
    "pooling": lambda f: change(f / "1_SpladePooling" / "config.json", pooling_strategy="sum"),
    "activation": lambda f: change(f / "1_SpladePooling" / "config.json", activation_function="log1p_relu"),
    "active": lambda f: change(f / "config_sentence_transformers.json", max_active_dims=9),
    "prompt": lambda f: change(f / "config_sentence_transformers.json", prompts={"query": "w1 "}),
    "length": lambda f: change(f / "tokenizer_config.json", model_max_length=40),
}


def test_whatever_decides_a_weight_is_in_the_fingerprint(splade, tmp_path):
    spaces = {load_sparse_encoder(splade[0]).space.fingerprint}
    for what, edit in CHANGES.items():
        shutil.copytree(splade[0], tmp_path / what)
        edit(tmp_path / what)
        spaces.add(load_sparse_encoder(tmp_path / what).space.fingerprint)
    assert len(spaces) == len(CHANGES) + 1


def test_what_cannot_run_is_refused(splade, st_models, tmp_path):
    folder, _ = splade
    with pytest.raises(ModelUnsupported, match="sparse encoder") as refused:
        gnomon.load_encoder(folder)
    assert "load_sparse_encoder" in refused.value.hint
    with pytest.raises(InvalidInput, match="dim = 8"):
        load_sparse_encoder(folder, settings=EncoderSettings(dim=8))
    with pytest.raises(ModelUnsupported, match="no sparse encoder"):
        load_sparse_encoder(st_models.bert(tmp_path / "dense", 16, 1))
    odd = {
        "a cosine": ("config_sentence_transformers.json", {"similarity_fn_name": "cosine"}),
        "SpladePooling 'mean'": ("1_SpladePooling/config.json", {"pooling_strategy": "mean"}),
    }
    for number, (file, keys) in enumerate(odd.values()):
        shutil.copytree(folder, tmp_path / str(number))
        change(tmp_path / str(number) / file, **keys)
        with pytest.raises(ModelUnsupported):
            load_sparse_encoder(tmp_path / str(number))
