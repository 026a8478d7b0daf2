"""Tiny models with known weights, and their layouts."""

import json
from pathlib import Path

import pytest

from gnomon.encode.layout.model import read_layout

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def tiny():
    """The module that makes tiny models."""
    from support import tiny_encoders

    return tiny_encoders


@pytest.fixture(scope="session")
def st_models():
    """The module that has sentence-transformers save tiny models."""
    pytest.importorskip("sentence_transformers")
    from support import sentence_transformers_models

    return sentence_transformers_models


@pytest.fixture(scope="session")
def golden():
    """What transformers computes with them."""
    return json.loads((HERE / "golden.json").read_text())


@pytest.fixture(scope="session")
def tiny_layout(tiny, tmp_path_factory):
    """(family, pooling="mean", **changes) to a layout of a tiny model in sentence-transformers form."""

    def build(family, *, pooling="mean", prefix="", config=None, **modules):
        folder = tiny.write(tmp_path_factory.mktemp(family), family, prefix)
        tiny.as_sentence_transformer(folder, pooling, **modules)
        if config:
            plain = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(plain | config))
        return read_layout(folder, name=f"tiny {family}")

    return build
