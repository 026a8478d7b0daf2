"""Texts and queries without a token that the model knows: the job goes on, and what is missing is said."""

import warnings

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import UnknownText
from support.static_models import write_word_model
from support.version_collections import WORDS

ENGLISH = {"id": "en", "text": "keys rotate every ninety days"}
THAI = {"id": "th", "text": "สวัสดีครับ ยินดีต้อนรับ"}


@pytest.fixture
def model(tmp_path):
    """A static model of a few English words."""
    words = ["[PAD]", "[UNK]", *dict.fromkeys([*ENGLISH["text"].split(), "gnomon", "return", *WORDS])]
    vectors = np.random.default_rng(0).standard_normal((len(words), 32)).astype(np.float32)
    return write_word_model(tmp_path / "m", words, vectors)


def test_one_text_without_a_known_token_does_not_fail_the_run(model, tmp_path):
    with gnomon.open(tmp_path / "kb", encoder=gnomon.load_encoder(model)) as kb:
        with pytest.warns(UnknownText, match="1 of 2 texts"):
            kb.add([ENGLISH, THAI])
        assert len(kb) == 2
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [hit.document for hit in kb.search("keys rotate", k=1)] == ["en"]
        with pytest.warns(UnknownText, match="by keywords alone"):
            assert [hit.document for hit in kb.search("สวัสดีครับ")] == ["th"]
        with pytest.warns(UnknownText, match="search by meaning finds nothing"):
            assert list(kb.search("🚀", mode="dense")) == []
