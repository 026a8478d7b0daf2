"""Tokens of a text before it is sent: counted by the model's tokenizer where it is here, else estimated from above."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gnomon.core.token_counting import TokenCounting, load_tokenizer_json

_PIECE = re.compile(
    r" ?[a-z]{1,6}|[A-Z][a-z]{1,5}|[A-Z]{1,2}"  # what is left of a longer word follows in pieces of six
    r"|[0-9]{1,2}|[\n\t\r]|[ ]{1,8}"
    r"|[\u0400-\u04ff]{1,2}|[\u0080-\u03ff\u0500-\u07ff]"
    r"|[!-/:-@\[-`{-~]"
)
_DEAR = re.compile(r"[\u0800-\ud7ff\ue000-\U0010ffff]")
_DEAR_TOKENS = 2


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has at most, special tokens included: above the count of usual tokenizers.

    Six letters, two digits, a sign, two Cyrillic letters or one of another alphabet are a token; a character of
    Chinese, Japanese, Korean, an Indic script or an emoji is two. Real texts have fewer: docs/providers.md has the
    measured ratios.
    """
    return 2 + len(_PIECE.findall(text)) + _DEAR_TOKENS * len(_DEAR.findall(text))


def estimate_all(texts: Sequence[str], prompt: str = "") -> list[int]:
    """`estimate_tokens` of each text with a prompt before it."""
    return [estimate_tokens(prompt + text) for text in texts]


def tokenizer_on_this_machine(hub_id: str) -> TokenCounting | None:
    """How the tokenizer of a hub id counts, where one of the model caches has it. Nothing is fetched."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id):
        return None
    from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine

    folder = find_on_this_machine(SourceSettings.from_environment(), hub_id)
    file = None if folder is None else Path(folder) / "tokenizer.json"
    if file is None or not file.is_file():
        return None
    return TokenCounting(str(load_tokenizer_json(file.read_text(encoding="utf-8")).to_str()))
