"""Chunks: exact offsets, nothing lost, never above the limit, in time that is linear."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from gnomon.core.documents import Chunk, Document
from gnomon.text.chunk import Chunker, ChunkSettings

OVERHEAD = 2


def count_words(texts: list[str]) -> list[int]:
    """Words and signs, and two special tokens, as an encoder's count_tokens would."""
    return [len(re.findall(r"\w+|[^\w\s]", text)) + OVERHEAD for text in texts]


def byte_tokenizer() -> str:
    """Every byte a token: nothing that is cut in it is as long as a sum of words says."""
    alphabet = {sign: at for at, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return str(tokenizer.to_str())


def word_tokenizer() -> str:
    """Whole words only, as WordPiece sees a word of more than 100 characters: one unknown token."""
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##a": 2}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return str(tokenizer.to_str())


CHUNKERS = {
    "words": lambda s: Chunker(s, count=count_words),
    "bytes": lambda s: Chunker(s, tokenizer_json=BYTES, overhead=OVERHEAD),
    "unknown words": lambda s: Chunker(s, tokenizer_json=WORDS, overhead=OVERHEAD),
}
BYTES, WORDS = byte_tokenizer(), word_tokenizer()

LINES = ["# Top", "## Second one", "### Third", "```", "~~~~", "# in code?", "", "- item", "plain words here"]
LINES += [
    "naïve café 北京 👩‍👧",
    "Under\n===",
    "| a | b |\n|---|---|",
    "x" * 90,
    "    indented",
    "***",
    "> q",
]
MARKDOWN = st.lists(st.sampled_from(LINES), max_size=40).map("\n".join)
TEXTS = st.one_of(st.text(max_size=400), MARKDOWN, st.text(alphabet="a \n\t\u0301\u200d👍é#`", max_size=300))


def assert_sound(document: Document, chunks: list[Chunk], max_tokens: int) -> None:
    covered = bytearray(len(document.text))
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert chunk.document_id == document.id
        assert document.text[chunk.start : chunk.end] == chunk.text != ""
        assert chunk.embed_text.endswith(chunk.text)
        assert chunk.tokens <= max_tokens or len(chunk.text) == 1
        covered[chunk.start : chunk.end] = b"\x01" * len(chunk.text)
    lost = [sign for sign, at in zip(document.text, covered, strict=True) if not at and not sign.isspace()]
    assert lost == []
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(starts)
    assert all(one.end <= two.end for one, two in pairwise(chunks))


@pytest.mark.parametrize("how", CHUNKERS)
@settings(max_examples=60, deadline=None)
@given(
    text=TEXTS,
    max_tokens=st.integers(10, 60),
    overlap=st.integers(0, 5),
    title=st.sampled_from(["", "A title", "word " * 50, "ü" * 200]),
    media_type=st.sampled_from(["text/plain", "text/markdown"]),
)
@example(text="\ufdfa" * 40, max_tokens=10, overlap=0, title="", media_type="text/plain")
def test_offsets_coverage_and_limit(how, text, max_tokens, overlap, title, media_type):
    document = Document("d", text, title=title, media_type=media_type)
    chunker = CHUNKERS[how](ChunkSettings(max_tokens, overlap))
    chunks = chunker.chunk(document)
    assert_sound(document, chunks, max_tokens)
    assert chunks == chunker.chunk(document)
    if how == "words":
        assert [chunk.tokens for chunk in chunks] == count_words([chunk.embed_text for chunk in chunks])
