"""From a name to an encoder, and a package that costs nothing until it is used."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from safetensors.numpy import save_file

import gnomon.encode
from gnomon.core.contracts import Encoder, RoleEncoder
from gnomon.core.errors import InvalidInput, MissingPrompt, ModelNotFound
from gnomon.encode import EncoderSettings, load_encoder
from gnomon.testing import HashEncoder
from support.plugins import installed_plugins

PLUGIN = EntryPoint("acme", f"{__name__}:acme_encoder", "gnomon.encoders")


class Minimal:
    """An encoder with no more than the contract asks for."""

    def __init__(self, encoder):
        self.space, self.max_tokens, self.tokenizer_json = encoder.space, encoder.max_tokens, None
        self.count_tokens, self.encode = encoder.count_tokens, encoder.encode


def acme_encoder(model, *, settings, prompts):
    """What a package's entry point names."""
    if model == "nonsense":
        return object()
    return Minimal(HashEncoder(settings.dim or 32, salt=f"{model} {prompts}"))


@pytest.fixture
def folder(tiny, tmp_path):
    folder = tiny.write(tmp_path / "tiny-bert", "bert")
    tiny.as_sentence_transformer(folder, "mean")
    return folder


def test_a_folder_becomes_an_encoder(folder):
    encoder = load_encoder(folder)
    assert isinstance(encoder, Encoder)
    assert type(encoder).__name__ == "TransformerEncoder"
    assert encoder.space.name == "tiny-bert"
    assert encoder.max_tokens == 75
    assert len(encoder.encode(["w1 w2", "w3"], role="document")) == 2
    assert load_encoder(str(folder)).space == encoder.space


def test_a_static_model_becomes_the_other_encoder(tiny, tmp_path):
    save_file({"embeddings": np.eye(36, 6, dtype=np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
    (tmp_path / "tokenizer.json").write_text(json.dumps(tiny.tokenizer("bert")))
    encoder = load_encoder(tmp_path)
    assert isinstance(encoder, Encoder)
    assert type(encoder).__name__ == "StaticEncoder"


def test_prompts_make_another_space(folder):
    plain, asked = load_encoder(folder), load_encoder(folder, prompts={"query": "w7 "})
    assert plain.space != asked.space
    (one,) = asked.encode(["w1"], role="query").data
    (other,) = plain.encode(["w7 w1"], role="query").data
    assert np.allclose(one, other, atol=1e-6)


def test_a_package_adds_encoders_by_an_entry_point():
    with installed_plugins(PLUGIN):
        encoder = load_encoder("ACME:large", settings=EncoderSettings(dim=8), prompts={"query": "q "})
        assert isinstance(encoder, RoleEncoder)
        assert encoder.space == HashEncoder(8, salt="large {'query': 'q '}").space
        assert len(encoder.encode_query("one text")) == 1
        assert load_encoder("acme", settings=EncoderSettings()).space == HashEncoder(salt=" None").space
    with installed_plugins(), pytest.raises(ModelNotFound, match="no provider 'acme'"):
        load_encoder("acme:large")


def test_a_package_that_gives_something_else_is_named():
    with installed_plugins(PLUGIN), pytest.raises(InvalidInput, match=r"(?s)'acme' gave a object.*check_encoder"):
        load_encoder("acme:nonsense")


def test_a_packages_name_hides_neither_cards_nor_folders(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    entries = [EntryPoint(name, PLUGIN.value, PLUGIN.group) for name in ("all-MiniLM-L6-v2", "tiny-bert")]
    with installed_plugins(*entries):
        assert load_encoder(folder).space.name == "tiny-bert"
        assert load_encoder(f"./{folder.name}").space.name == "tiny-bert"
        with pytest.raises(ModelNotFound, match="all-MiniLM-L6-v2:x"):
            load_encoder("all-MiniLM-L6-v2:x")


def test_the_default_model_by_name(minilm_folder):
    encoder = load_encoder("all-MiniLM-L6-v2")
    assert encoder.space.short.startswith("all-MiniLM-L6-v2 (384-d, ")
    assert encoder.space == load_encoder(minilm_folder).space


def test_errors_come_through(folder):
    said = {"prompts": {"sts": "sts: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    with pytest.raises(MissingPrompt):
        load_encoder(folder)
    with pytest.raises(ModelNotFound):
        load_encoder(folder / "nothing")


def test_the_package_imports_nothing_heavy():
    code = (
        "import sys, gnomon.encode; from gnomon.encode import all_cards, locate, read_layout; all_cards();"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"openvino", "huggingface_hub", "tokenizers", "safetensors", "torch", "httpx", "httpx2"}
    assert not heavy & set(run.stdout.split())


def test_every_name_of_the_package_is_there():
    for name in gnomon.encode.__all__:
        assert getattr(gnomon.encode, name).__name__ == name
    with pytest.raises(AttributeError, match="attribute Nothing"):
        _ = gnomon.encode.Nothing
