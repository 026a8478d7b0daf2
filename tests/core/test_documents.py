"""Documents, chunks and rankings: values with stable hashes."""

import hashlib
import json
import pickle
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Hit, Ranking

TEXT = st.text(st.characters(), max_size=8)
CHUNK = Chunk("a.md", 0, 0, 5, "Hello", "Greeting\nHello", 4, ("Greeting",))


@given(TEXT, TEXT, TEXT, TEXT)
def test_content_hash_is_equal_only_for_equal_title_and_text(a: str, b: str, c: str, d: str) -> None:
    one, other = Document("x", b, title=a), Document("y", d, title=c)
    assert (one.content_hash == other.content_hash) == ((a, b) == (c, d))


def test_content_hash_does_not_confuse_where_the_title_ends() -> None:
    assert Document("x", "c", title="a\x00b").content_hash != Document("x", "b\x00c", title="a").content_hash
    assert Document("x", "", title="ab").content_hash != Document("x", "ab").content_hash


def test_content_hash_looks_at_nothing_else() -> None:
    one = Document("x", "text", "title", "here", "text/plain", {"a": 1})
    other = Document("y", "text", "title", "there", "text/html", {"b": 2})
    assert one.content_hash == other.content_hash


def test_text_hash_is_the_sha256_of_what_is_embedded() -> None:
    assert CHUNK.text_hash == hashlib.sha256(b"Greeting\nHello").digest()
    assert replace(CHUNK, text="x", ordinal=9, heading=()).text_hash == CHUNK.text_hash
    assert replace(CHUNK, embed_text="Hello").text_hash != CHUNK.text_hash


def test_lone_surrogates_have_hashes() -> None:
    assert len(Document("x", "\ud800").content_hash) == 64
    assert len(replace(CHUNK, embed_text="\udfff").text_hash) == 32


HIT = Hit(1, "a.md", 0.5, "Hello", "Hello", 0, 5)
RANKING = Ranking(np.array([3, 1]), np.array([0.9, 0.5]), {"dense": np.array([0.9, np.nan])})


@pytest.mark.parametrize("value", [Document("x", "text"), CHUNK, HIT], ids=lambda v: type(v).__name__)
def test_values_are_frozen_and_travel(value: Document | Chunk | Hit) -> None:
    with pytest.raises((FrozenInstanceError, TypeError)):
        value.text = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(value)) == value
    assert json.loads(json.dumps(asdict(value)))["text"] == value.text


def test_defaults_are_not_shared() -> None:
    assert Document("x", "").metadata is not Document("y", "").metadata


def test_first_cuts_every_array() -> None:
    best = RANKING.first(1)
    assert (best.ids.tolist(), best.scores.tolist(), best.stages["dense"].tolist()) == ([3], [0.9], [0.9])
    assert len(RANKING.first(9)) == 2
    assert len(Ranking.empty()) == 0


@pytest.mark.usefixtures("shapes_unchecked")
def test_a_ranking_of_uneven_arrays_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        Ranking(np.array([1, 2]), np.array([0.5, 0.4]), {"dense": np.array([0.1])})
    assert str(caught.value) == "a ranking of arrays with lengths [1, 2]\nExpected: one length"
