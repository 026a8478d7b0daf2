"""Chunks: exact offsets, nothing lost, never above the limit, in time that is linear."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.token_counting import TokenCounting
from gnomon.text.chunk import SEGMENT_CHARACTERS, Chunker, ChunkSettings, segments
from gnomon.text.token_counts import TokenCounter

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
@example(text="0:0\x1b0\x1b0\x1b\x1b0000", max_tokens=10, overlap=4, title="", media_type="text/plain")
def test_offsets_coverage_and_limit(how, text, max_tokens, overlap, title, media_type):
    document = Document("d", text, title=title, media_type=media_type)
    chunker = CHUNKERS[how](ChunkSettings(max_tokens, overlap))
    chunks = chunker.chunk(document)
    assert_sound(document, chunks, max_tokens)
    assert chunks == chunker.chunk(document)
    if how == "words":
        assert [chunk.tokens for chunk in chunks] == count_words([chunk.embed_text for chunk in chunks])


def words_of(max_tokens: int = 40, overlap: int = 0, *, prepend_title: bool = True) -> Chunker:
    return Chunker(ChunkSettings(max_tokens, overlap, prepend_title), count=count_words)


def test_a_short_document_is_one_chunk_with_its_title_in_front():
    text = "Zebrafish hearts heal.\n\nMice hearts do not."
    (chunk,) = words_of().chunk(Document("d", f"\n {text} \n", title="Heart repair"))
    assert chunk.text == text
    assert chunk.embed_text == f"Heart repair\n{text}"
    assert (chunk.start, chunk.end, chunk.heading) == (2, 2 + len(text), ())
    (bare,) = words_of(prepend_title=False).chunk(Document("d", text, title="Heart repair"))
    assert bare.embed_text == text


@pytest.mark.parametrize("text", ["Heart repair in fish.", "# Heart repair\n\nin fish", "## Heart repair"])
def test_a_title_that_the_text_begins_with_is_not_said_twice(text):
    document = Document("d", text, title="Heart repair", media_type="text/markdown")
    (chunk,) = words_of().chunk(document)
    assert chunk.embed_text == text


GUIDE = """# Guide

Start here.

## Install

### Linux

{linux}

```sh
# not a heading
```

{linux}

## Use

{use}
"""


def test_the_headings_above_a_chunk_are_kept_and_embedded():
    text = GUIDE.format(linux="Fetch the thing and run it now. " * 3, use="Call it often, please. " * 4)
    chunks = words_of(34).chunk(Document("d", text, title="Guide", media_type="text/markdown"))
    assert_sound(Document("d", text), chunks, 34)
    paths = [chunk.heading for chunk in chunks]
    assert ("Guide", "Install", "Linux") in paths
    assert paths[-1] == ("Guide", "Use")
    assert not any("not a heading" in heading for path in paths for heading in path)
    inside = next(chunk for chunk in chunks if chunk.heading[-1] == "Linux" and "###" not in chunk.text)
    assert inside.embed_text == f"Guide > Install > Linux\n{inside.text}"
    opening = next(chunk for chunk in chunks if chunk.text.startswith("## Use"))
    assert opening.embed_text == f"Guide\n{opening.text}"


def test_a_plain_text_has_no_headings():
    chunks = words_of(20).chunk(Document("d", "# shell comment\n" + "run this now " * 20))
    assert {chunk.heading for chunk in chunks} == {()}


def test_a_long_heading_path_is_cut_from_the_outside_to_a_quarter():
    body = "plain words go here, many of them. " * 20
    text = f"# {'outer ' * 9}\n\n## inner one\n\n{body}"
    document = Document("d", text, title="title " * 30, media_type="text/markdown")
    chunks = words_of(42).chunk(document)
    assert_sound(document, chunks, 42)
    assert chunks[-1].embed_text.startswith("inner one\n")
    assert chunks[-1].heading == (" ".join(["outer"] * 9), "inner one")
    alone = words_of(42).chunk(Document("d", body, title="title " * 30))
    assert alone[1].embed_text.startswith("title " * 9 + "title\n")


def test_overlap_repeats_the_end_of_the_chunk_before():
    text = " ".join(f"Sentence number {number} ends." for number in range(60))
    apart, shared = (words_of(40, overlap).chunk(Document("d", text)) for overlap in (0, 12))
    assert all(one.end <= two.start for one, two in pairwise(apart))
    assert all(one.start < two.start < one.end for one, two in pairwise(shared))


@pytest.mark.parametrize("text", ["", "   ", "\n\n\t\n", "\u2003\u00a0", "\x1c\x1f"])
@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown"])
def test_nothing_but_white_space_gives_no_chunk(text, media_type):
    assert words_of().chunk(Document("d", text, title="Title", media_type=media_type)) == []


def test_a_text_of_many_segments_is_whole_and_in_order():
    paragraphs = [f"Paragraph {number}: " + "some words of it. " * (number % 40) for number in range(2500)]
    document = Document("d", "\n\n".join(paragraphs), title="Long")
    assert len(document.text) > 4 * SEGMENT_CHARACTERS
    chunks = words_of(100).chunk(document)
    assert_sound(document, chunks, 100)
    assert sum(chunk.tokens for chunk in chunks) / len(chunks) > 60
    assert next(words_of(100).iterate(document)) == chunks[0]


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet="ab. \n\u0301", max_size=300),
    headings=st.lists(st.integers(0, 300), max_size=5).map(sorted),
    characters=st.integers(8, 60),
    line_characters=st.integers(8, 40),
)
def test_segments_cover_the_text_in_order(text, headings, characters, line_characters):
    starts = [start for start in headings if start < len(text)]
    spans = list(segments(text, starts, characters=characters, line_characters=line_characters))
    assert "".join(text[start:end] for start, end in spans) == text
    assert all(start < end <= start + characters * 5 // 4 + line_characters * 5 // 4 for start, end in spans)
    longest = max((len(line) for a, b in spans for line in text[a:b].split("\n")), default=0)
    assert longest <= line_characters * 5 // 4


SIZE = 300_000
STRANGE = {
    "no space": "abcdefghij" * (SIZE // 10),
    "new lines": "\n" * SIZE + "x",
    "emoji": "👩\u200d👩\u200d👧" * (SIZE // 5),
    "combining marks": "e" + "\u0301" * SIZE,
    "signs": "#" * SIZE,
    "fences": "```\n" * (SIZE // 4),
    "headings": "# a\n" * (SIZE // 4),
    "no full stop": "北京大学生前来应聘" * (SIZE // 36),
    "list": "\n".join("  " * (depth % 99) + "- x" for depth in range(SIZE // 100)),
}


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown"])
@pytest.mark.parametrize("strange", STRANGE)
def test_strange_texts_are_cut_in_time(strange, media_type):
    document = Document("d", STRANGE[strange], media_type=media_type)
    began = time.process_time()
    chunks = Chunker(ChunkSettings(256, 16), tokenizer_json=WORDS, overhead=2).chunk(document)
    spent_s = time.process_time() - began
    assert_sound(document, chunks, 256)
    assert max(len(line) for chunk in chunks for line in chunk.text.split("\n")) <= 12_500
    # A splitter left alone with the whole text takes minutes for most of these.
    assert spent_s < 8


def test_settings_are_checked_and_survive_json():
    chosen = ChunkSettings(256, 32, prepend_title=False)
    assert ChunkSettings.from_json(chosen.to_json()) == chosen
    assert words_of(40).settings == ChunkSettings(40)
    with pytest.raises(InvalidInput, match=r"(?s)at most 3 tokens.*at least 8.*256 or 512"):
        ChunkSettings(3)
    with pytest.raises(InvalidInput, match=r"(?s)overlap of 60 tokens in chunks of at most 100.*0 to 50"):
        ChunkSettings(100, 60)
    with pytest.raises(InvalidInput, match=r"(?s)prompt take 90.*at least 8 tokens.*shorter prompt"):
        Chunker(ChunkSettings(96), tokenizer_json=WORDS, overhead=90)
    with pytest.raises(InvalidInput, match=r"(?s)neither a tokenizer nor.*`count` or both"):
        Chunker(ChunkSettings(96))
    with pytest.raises(InvalidInput, match=r"(?s)cannot be read.*tokenizer\.json.*Hint"):
        Chunker(ChunkSettings(96), tokenizer_json="{}")


@pytest.mark.parametrize("tokenizer", ["BYTES", "WORDS"])
@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.text(alphabet="abé#.-", min_size=1, max_size=12), min_size=1, max_size=40))
def test_the_ruler_agrees_with_the_tokenizer(tokenizer, words):
    """The slow twin of the ruler is the tokenizer itself; between words both must count alike."""
    measure = TokenCounter(TokenCounting(globals()[tokenizer], special_tokens=False, added=OVERHEAD))
    text = " ".join(words)
    ruler = measure.ruler(text)
    # The first word of a byte-level text stands without the space that the others carry.
    slack = 1 if tokenizer == "BYTES" else 0
    assert 0 <= ruler.total - (measure.exact([text])[0] - OVERHEAD) <= slack
    assert measure.rough(text) == ruler.total
    half = len(" ".join(words[: len(words) // 2]))
    assert ruler.between(0, half) + ruler.between(half, len(text)) == ruler.total
    assert ruler.size(text[half:]) == ruler.between(half, len(text)) or text.find(text[half:]) < half
