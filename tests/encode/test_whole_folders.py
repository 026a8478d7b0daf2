"""Folders as the makers of EmbeddingGemma, Qwen3-Embedding and GTE-ModernColBERT publish them, of random weights."""

import json

import numpy as np
import pytest

import gnomon
from gnomon.encode.settings import EncoderSettings

pytest.importorskip("sentence_transformers")
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from torch import nn

from support import family_models
from support.hub_server import hub

FP32 = EncoderSettings(threads=1, precision="fp32")
HUB_ID = "some-author/tiny-qwen3-embedding"
TEXTS = [text for text in family_models.TEXTS[:4] if text]


def backbone(folder, name, **options):
    """A Transformer module of a model of family_models; `options` go to its tokenizer_config.json."""
    family_models.build(name, folder)
    for beside in ("modules.json", "sentence_bert_config.json"):
        (folder / beside).unlink()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[SEP]"}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **special, **options}
    (folder / "tokenizer_config.json").write_text(json.dumps(said))
    return Transformer(str(folder), model_kwargs={"dtype": "float32"})


def reference(model, role, **more):
    encode = model.encode_query if role == "query" else model.encode_document
    return encode(TEXTS, **more)


def test_embedding_gemma_with_its_dense_layers_and_prompts(tmp_path):
    prompts = {
        "query": "w30 w31 w32 ",
        "document": "w33 w34 ",
        "Clustering": "w35 ",
        "STS": "w36 ",
        "Retrieval-query": "w37 ",
    }
    dense = [Dense(*sizes, bias=False, activation_function=nn.Identity()) for sizes in ((32, 48), (48, 32))]
    first = backbone(tmp_path / "m", "embeddinggemma")
    model = SentenceTransformer(modules=[first, Pooling(32, "mean"), *dense, Normalize()], prompts=prompts)
    model.save(str(tmp_path / "saved"))
    encoder = gnomon.load_encoder(tmp_path / "saved", settings=FP32)
    found = {role: encoder.encode(TEXTS, role=role).data for role in ("query", "document")}
    for role, rows in found.items():
        np.testing.assert_allclose(rows, reference(model, role), atol=1e-5)
    assert np.abs(found["query"] - found["document"]).max() > 0.01


def test_qwen3_embedding_by_its_hub_id_and_a_prefix_of_its_dimensions(tmp_path, monkeypatch):
    first = backbone(tmp_path / "m", "qwen3", padding_side="left")
    assert first.tokenizer.padding_side == "left"
    modules = [first, Pooling(32, "lasttoken", include_prompt=True), Normalize()]
    model = SentenceTransformer(modules=modules, prompts={"query": "w30 w31 ", "document": ""})
    model.save(str(tmp_path / "saved"))
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub(tmp_path / "saved", hub_id=HUB_ID) as (_, endpoint):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        encoder = gnomon.load_encoder(HUB_ID, settings=EncoderSettings(threads=1, precision="fp32", dim=8))
    assert encoder.space.dim == 8
    for role in ("query", "document"):
        wanted = reference(model, role, truncate_dim=8, normalize_embeddings=True)
        np.testing.assert_allclose(encoder.encode(TEXTS, role=role).data, wanted, atol=1e-5)


def test_token_vectors_of_a_modernbert(tmp_path):
    first = backbone(tmp_path / "m", "modernbert")
    token_level = {"module_input_name": "token_embeddings"}
    dense = Dense(32, 8, bias=False, activation_function=nn.Identity(), **token_level)
    parts = [first, dense, MultiVectorMask(skiplist_words=["w3"]), Normalize(**token_level)]
    model = MultiVectorEncoder(modules=parts, prompts={"query": "w30 ", "document": "w31 "})
    model.save(str(tmp_path / "saved"))
    encoder = gnomon.load_encoder(tmp_path / "saved", settings=FP32)
    for role in ("query", "document"):
        wanted = [np.asarray(rows) for rows in reference(model, role)]
        vectors = encoder.encode(TEXTS, role=role)
        assert np.diff([*vectors.starts, len(vectors.data)]).tolist() == [len(rows) for rows in wanted]
        np.testing.assert_allclose(vectors.data, np.concatenate(wanted), atol=1e-4)
