"""Token counts of texts and spans: exact ones, and approximate ones fast enough for every candidate chunk."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.token_counting import CountTokens, TokenCounting, load_tokenizer_json

_PIECE = re.compile(r"\S{1,32}|[^\S ]+|[ ]{2,}")
_SAMPLE = "The pointer of a sundial, a “gnomon”, isn't new:\n\n- it projects (in 2 steps) what\n- e.g. x_1 = 3.14"
_MOST_PIECES = 400_000


class TokenCounter:
    """Counts tokens as the encoder sees them.

    `exact` runs the tokenizer. `ruler` adds up the lengths of words, each tokenised once and cached, which
    is within a few tokens a chunk at fifty times the speed; the chunks are counted exactly afterwards. Runs of
    more than 32 characters are counted in pieces, since a tokenizer may count a megabyte without a space as
    one unknown word.
    """

    def __init__(self, counting: TokenCounting | None, count: CountTokens | None = None) -> None:
        if counting is None and count is None:
            raise InvalidInput(
                "neither a tokenizer nor a function that counts tokens",
                expected="`tokenizer_json`, `count` or both",
                hint="pass the encoder's tokenizer_json, or its count_tokens with role='document'",
            )
        self._counting = counting
        self._count: CountTokens = count or self._counter(counting)
        self.overhead = self._count([""])[0]
        self._lengths: dict[str, int] = {}
        self._unknown: dict[str, float] = {}

    def exact(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens and prompt included."""
        return self._count(texts) if texts else []

    def rough(self, text: str) -> int:
        """About how many tokens the text adds to special tokens and prompt."""
        return sum(self._known(_PIECE.findall(text)))

    def unknown_share(self, text: str) -> float:
        """The share of a text's characters, white space left out, that are in tokens that the model does not know."""
        pieces = _PIECE.findall(text)
        if not self._lengths.keys() >= set(pieces):
            self._known(pieces)
        if self._unknown.keys().isdisjoint(pieces):
            return 0.0
        words = [piece for piece in pieces if not piece.isspace()]
        return sum(len(piece) * self._unknown.get(piece, 0.0) for piece in words) / sum(map(len, words))

    def ruler(self, text: str) -> Ruler:
        """A ruler over the text."""
        starts, pieces = [], []
        for piece in _PIECE.finditer(text):
            starts.append(piece.start())
            pieces.append(piece[0])
        return Ruler(text, starts, pieces, tokens=self._known(pieces))

    def _known(self, pieces: Sequence[str]) -> list[int]:
        if len(self._lengths) > _MOST_PIECES:
            self._lengths, self._unknown = {}, {}
        new = list({piece for piece in pieces if piece not in self._lengths})
        if new:
            self._lengths.update(zip(new, self._measured(new), strict=True))
        lengths = self._lengths
        return [lengths[piece] for piece in pieces]

    def _measured(self, pieces: Sequence[str]) -> list[int]:
        texts = [piece if piece.isspace() else self._lead + piece for piece in pieces]
        if self._unknown_id is None:
            return self._bare(texts)
        lengths = []
        for piece, encoded in zip(
            pieces, self._tokenizer.encode_batch_fast(texts, add_special_tokens=False), strict=True
        ):
            ids = encoded.ids
            lengths.append(len(ids))
            if self._unknown_id in ids:
                self._unknown[piece] = ids.count(self._unknown_id) / len(ids)
        return lengths

    @cached_property
    def _unknown_id(self) -> int | None:
        """The id of unknown tokens; None where there is none, as in byte-level tokenizers."""
        if self._tokenizer is None:
            return None
        token, model = getattr(self._tokenizer.model, "unk_token", None), self._tokenizer.model
        number = self._tokenizer.token_to_id(token) if token else getattr(model, "unk_id", None)
        return None if number is None else int(number)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer_json(self._counting.tokenizer_json) if self._counting else None

    def _counter(self, counting: TokenCounting | None) -> CountTokens:
        return counting.counter(self._tokenizer) if counting else self._above_overhead

    @cached_property
    def _bare(self) -> CountTokens:
        """Counts texts without prompt and special tokens."""
        known = self._counting
        return self._counter(known and TokenCounting(known.tokenizer_json, special_tokens=False))

    def _above_overhead(self, texts: Sequence[str]) -> list[int]:
        return [max(0, tokens - self.overhead) for tokens in self._count(texts)]

    @cached_property
    def _lead(self) -> str:
        """A space before each word or none: byte-level BPE counts `word` and ` word` differently."""
        wanted = self._bare([_SAMPLE])[0]
        pieces = _PIECE.findall(_SAMPLE)
        apart = {lead: sum(self._bare([lead + piece for piece in pieces])) for lead in ("", " ")}
        return min(apart, key=lambda lead: abs(apart[lead] - wanted))


class Ruler:
    """Measures any span of one text in tokens, in logarithmic time."""

    def __init__(self, text: str, starts: list[int], pieces: list[str], *, tokens: list[int]) -> None:
        self.text, self._starts, self._tokens = text, starts, tokens
        self._widths = [len(piece) for piece in pieces]
        self._before = [0, *accumulate(tokens)]
        self._near = 0

    @property
    def total(self) -> int:
        """The whole text's tokens."""
        return self._before[-1]

    def between(self, start: int, end: int) -> int:
        """Tokens of the span; a piece that is cut counts by its share."""
        return math.ceil(self._up_to(end) - self._up_to(start) - 1e-6)

    def size(self, part: str) -> int:
        """Tokens of a string that stands somewhere in the text.

        The splitter passes strings without their offsets. It moves forward, so that looking near
        the last one finds most at once; a twin at another place has the same length in tokens.
        """
        if not self.text.startswith(part, self._near):
            found = self.text.find(part, max(0, self._near - 4 * len(part)))
            self._near = found if found >= 0 else max(0, self.text.find(part))
        return self.between(self._near, self._near + len(part))

    def _up_to(self, at: int) -> float:
        piece = bisect_right(self._starts, at) - 1
        if piece < 0:
            return 0
        width = self._widths[piece]
        return self._before[piece] + self._tokens[piece] * min(at - self._starts[piece], width) / width
