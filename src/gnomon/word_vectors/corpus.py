"""The corpus of word vectors: the vocabulary, word counts, and the texts as word ids."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings

UNKNOWN = "[UNK]"
# Code points that part words: ASCII but letters, digits and underscore; Latin-1 signs; general, CJK and
# full-width punctuation; the byte order mark. Written out, because \w means other things to other engines.
_PARTING = (
    (0x00, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x5E),
    (0x60, 0x60),
    (0x7B, 0xA9),
    (0xAB, 0xB4),
    (0xB6, 0xB9),
    (0xBB, 0xBF),
    (0xD7, 0xD7),
    (0xF7, 0xF7),
    (0x2000, 0x206F),
    (0x3000, 0x303F),
    (0xFEFF, 0xFEFF),
    (0xFF00, 0xFF0F),
)


def _in_class(code: int) -> str:
    return ("\\" if chr(code) in r"[]^\-&" else "") + chr(code)


WORD_PATTERN = "[^" + "".join(f"{_in_class(first)}-{_in_class(last)}" for first, last in _PARTING) + "]+"
"""Runs of letters, digits, marks and underscores; Python's `re` and the tokenizers library agree on it."""
_WORD = re.compile(WORD_PATTERN)


def lower(text: str) -> str:
    """The text in lower case as the tokenizers library makes it, letter by letter.

    Python's own looks at a word's end to write a Greek sigma, which the served tokenizer does not.
    """
    if text.isascii():
        return text.lower()
    from tokenizers.normalizers import Lowercase

    return str(Lowercase().normalize_str(text))


def words_of(text: str, *, lowercase: bool) -> list[str]:
    """The words of a text, in order.

    >>> words_of("The king's 2 crowns", lowercase=True)
    ['the', 'king', 's', '2', 'crowns']
    """
    return _WORD.findall(lower(text) if lowercase else text)


def tokenizer_json(words: Sequence[str], *, lowercase: bool) -> str:
    """A tokenizer in the `tokenizers` library's JSON: the unknown token first, then the words in order.

    A word that is itself written as the unknown token gives way: the unknown token gets brackets until it is
    no word.
    """
    unknown = UNKNOWN
    taken = set(words)
    while unknown in taken:
        unknown = f"[{unknown}]"
    plain: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"} if lowercase else None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": WORD_PATTERN},
            "behavior": "Removed",
            "invert": True,
        },
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: at for at, word in enumerate((unknown, *words))},
            "unk_token": unknown,
        },
    }
    return json.dumps(plain, ensure_ascii=False)


PASSAGE_WORDS = 10_000
"""The longest stretch without a break; gensim takes no longer ones."""
_BLOCK_CHARACTERS = 1_000_000
_GZIP = b"\x1f\x8b"
_PLAIN = frozenset({"", ".txt", ".text", ".gz"})


@dataclass(frozen=True, eq=False)
class Corpus:
    """A corpus in memory, four bytes a word. Words stand in order of falling count, equal ones by name.

    `tokens` are positions in `words`; `starts` is where each passage begins, and no window reaches over that.
    Words that were too rare are gone, and what stood around them has moved together.
    """

    words: tuple[str, ...]
    counts: Int[np.ndarray, " words"]
    tokens: Int[np.ndarray, " tokens"]
    starts: Int[np.ndarray, " passages"]

    def passages(self) -> Iterator[Int[np.ndarray, " _"]]:
        """The tokens of each passage, at most PASSAGE_WORDS at a time."""
        ends = [*self.starts[1:].tolist(), len(self.tokens)]
        for start, end in zip(self.starts.tolist(), ends, strict=True):
            for at in range(start, end, PASSAGE_WORDS):
                yield self.tokens[at : min(at + PASSAGE_WORDS, end)]


def corpus_of(texts: Iterable[str], *, min_count: int = 5, lowercase: bool = True) -> Corpus:
    """The corpus of texts, each a passage of its own. Words seen fewer than `min_count` times are left out.

    Raises InvalidInput for a lone string, and where no word comes often enough.
    """
    if isinstance(texts, str):
        raise InvalidInput("one string", expected="several texts", hint='write ["the text"]')
    places: dict[str, int] = {}
    ids, starts = array("i"), array("q")
    for text in texts:
        starts.append(len(ids))
        ids.extend([places.setdefault(word, len(places)) for word in words_of(text, lowercase=lowercase)])
    return _counted(list(places), np.array(ids, dtype=np.intc), np.array(starts, dtype=np.int64), min_count=min_count)


def read_corpus(paths: Sequence[Path], *, min_count: int = 5, lowercase: bool = True) -> Corpus:
    """The corpus of files and folders: plain text (gzipped or not) read as a stream, others by their readers.

    A passage is a paragraph: text up to a blank line, or a document's end.
    Raises InvalidInput for paths that do not exist, UnreadableFile for a file that was named and is no text.
    """
    return corpus_of(texts_of(paths), min_count=min_count, lowercase=lowercase)


def texts_of(paths: Sequence[Path]) -> Iterator[str]:
    """Paragraphs of files and folders, in a fixed order."""
    for path in paths:
        if path.is_file() and path.suffix.lower() in _PLAIN:
            yield from _streamed(path)
        else:
            for found in discover([path], settings=ReadSettings()):
                if not found.kind and found.path == path.resolve():
                    raise UnreadableFile(
                        f"{path}: {found.skipped}",
                        expected="text files, or folders that hold them",
                        hint="leave the file out",
                    )
                if found.kind:
                    for document in read(found, settings=ReadSettings()):
                        yield from document.text.split("\n\n")


def _streamed(path: Path) -> Iterator[str]:
    """Paragraphs of a text file of any size; a longer one than a block is cut between two words."""
    kept = ""
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            unpacked: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
            with io.TextIOWrapper(unpacked, encoding="utf-8") as file:
                while block := file.read(_BLOCK_CHARACTERS):
                    number += 1
                    *whole, kept = (kept + block).split("\n\n")
                    yield from whole
                    if len(kept) >= _BLOCK_CHARACTERS:
                        cut = max(kept.rfind(" "), kept.rfind("\n")) + 1 or len(kept)
                        yield kept[:cut]
                        kept = kept[cut:]
        yield kept
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(
            f"{path} cannot be read after {number} million characters: {error}",
            expected="a text in UTF-8, gzipped or not",
            hint="see whether the file is whole; convert another encoding with iconv",
        ) from error


def _counted(
    words: list[str],
    ids: Int[np.ndarray, " tokens"],
    starts: Int[np.ndarray, " passages"],
    *,
    min_count: int,
) -> Corpus:
    counts = np.bincount(ids, minlength=len(words))
    kept = sorted(np.flatnonzero(counts >= min_count).tolist(), key=lambda at: (-counts[at], words[at]))
    if len(kept) < 2:
        raise InvalidInput(
            f"{len(ids):,} words, {len(kept)} of them seen {min_count} times or more",
            expected="at least two words that come often enough to learn from",
            hint="give more text, or a lower min_count",
        )
    place = np.full(len(words), -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    renamed = place[ids]
    stays = renamed >= 0
    before = np.concatenate([[0], np.cumsum(stays)])[starts]
    lengths = np.diff(np.append(before, int(stays.sum())))
    return Corpus(
        words=tuple(words[at] for at in kept),
        counts=np.asarray(counts[kept], dtype=np.int64),
        tokens=renamed[stays],
        starts=np.asarray(before[lengths > 0], dtype=np.int64),
    )
