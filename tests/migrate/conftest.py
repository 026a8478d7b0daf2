"""Collections with toy models, and folders of models that are made in a moment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gnomon.collection import Collection, CollectionSettings
from support.version_collections import WORDS, check_sound, documents, opened, text

SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
CANARIES = ("gnomon", "return", "km", "sundial", "read")  # a collection tries texts of its own


def note(number: int, turn: int = 0) -> str:
    """A text whose first sentence could be asked for, and is found in it alone."""
    return f"See note n{number}t{turn} for {WORDS[number % 25]} and {WORDS[number % 7]}. {text(number, turn)}"


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """Thirty documents in v1; sound at the end, whatever a test does."""
    collection = opened(tmp_path / "kb", settings=SMALL)
    collection.add(documents({str(number): note(number) for number in range(30)}))
    yield collection
    collection.close()
    check_sound(tmp_path / "kb")


@pytest.fixture
def static_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a static model: each word of the toys' texts has a direction, drawn from a seed."""

    def make(name: str, *, seed: int = 0, dim: int = 48, deaf: bool = False) -> Path:
        words = ["[PAD]", "[UNK]", "note", *CANARIES, *WORDS]
        words += [f"n{number}t{turn}" for number in range(400) for turn in range(3)]
        random = np.random.default_rng(seed)
        vectors = random.standard_normal((len(words), dim)).astype(np.float32)
        if deaf:  # all words alike: nothing can be found
            vectors = np.ones_like(vectors) + 1e-4 * vectors
        vectors[:3] *= 0.01
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        save_file({"embeddings": vectors}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model_type": "model2vec", "normalize": True}))
        tokenizer = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "WordLevel",
                "vocab": {word: at for at, word in enumerate(words)},
                "unk_token": "[UNK]",
            },
        }
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        return folder

    return make
