"""Folders of static models, made in a moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from support.version_collections import WORDS

CANARIES = ("gnomon", "return", "km", "sundial", "read")  # a collection tries texts of its own


def write_static_model(folder: Path, *, seed: int = 0, dim: int = 48, deaf: bool = False) -> Path:
    """A static model whose words, those of the toys' texts, each have a direction drawn from a seed.

    `deaf`: all words are nearly alike, so nothing can be found.
    """
    words = ["[PAD]", "[UNK]", "note", *CANARIES, *WORDS]
    words += [f"n{number}t{turn}" for number in range(400) for turn in range(3)]
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((len(words), dim)).astype(np.float32)
    if deaf:
        vectors = np.ones_like(vectors) + 1e-4 * vectors
    vectors[:3] *= 0.01
    return write_word_model(folder, words, vectors)


def write_word_model(folder: Path, words: Sequence[str], vectors: np.ndarray) -> Path:
    """A model2vec folder of the given words, the second of which stands for unknown ones."""
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
