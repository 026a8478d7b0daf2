"""Tokens of a text before it is sent: counted by the model's tokenizer where it is here, else estimated from above."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from gnomon.core.token_counting import TokenCounting, load_tokenizer_json

# Each match is a token. Words of English are six letters a token; those of languages with accents are in more pieces.
_OTHER = (
    r"|[A-Z]{1,2}|[0-9]{1,2}|[\n\t\r]|[ ]{1,8}|[!-/:-@\[-`{-~]"
    r"|[\u0400-\u04ff]{1,2}|[\u0080-\u03ff\u0590-\u07ff\u1e00-\u1eff]"
)
_PLAIN = re.compile(r" ?[a-z]{1,6}|[A-Z][a-z]{1,5}" + _OTHER)
_ACCENTED = re.compile(r" ?\b[A-Za-z][a-z]{0,2}|[a-z]{1,3}" + _OTHER)
_ACCENT = re.compile(r"[\u00c0-\u024f\u1e00-\u1eff]")
# Tokens a character of: Thai, Chinese, Japanese, Korean; Indic; Armenian, Burmese, Georgian, signs; all others.
_SCRIPTS = (
    (re.compile(r"[\u0e00-\u0e7f\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]"), 1.25),
    (re.compile(r"[\u0900-\u0dff]"), 1.5),
    (re.compile(r"[\u0500-\u058f\u1000-\u10ff\u2000-\u2fff]"), 2.0),
    (
        re.compile(
            r"[\u0800-\u08ff\u0e80-\u0fff\u1100-\u1dff\u1f00-\u1fff\ua000-\uabff\ud7b0-\ufeff\U00010000-\U0010ffff]"
        ),
        3.0,
    ),
)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has at most, special tokens included.

    It is above the count of OpenAI's cl100k and of usual tokenizers for text that people write: 1.3 times for English,
    1.2 for German and Chinese (docs/providers.md). Rows of random letters have more tokens than it says.
    """
    if text.isascii():
        return 2 + len(_PLAIN.findall(text))
    pieces = (_ACCENTED if _ACCENT.search(text) else _PLAIN).findall(text)
    return 2 + len(pieces) + math.ceil(sum(weight * len(script.findall(text)) for script, weight in _SCRIPTS))


def estimate_all(texts: Sequence[str], prompt: str = "") -> list[int]:
    """`estimate_tokens` of each text with a prompt before it."""
    return [estimate_tokens(prompt + text) for text in texts]


def tokenizer_on_this_machine(hub_id: str) -> TokenCounting | None:
    """How the tokenizer of a hub id counts, where one of the model caches has it. Nothing is fetched."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id):
        return None
    from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine

    folder = find_on_this_machine(SourceSettings.from_environment(), hub_id)
    file = Path(_in_hub_cache(hub_id) if folder is None else folder / "tokenizer.json")
    if not file.is_file():
        return None
    return TokenCounting(str(load_tokenizer_json(file.read_text(encoding="utf-8")).to_str()))


def _in_hub_cache(hub_id: str) -> str:
    """A tokenizer.json that was fetched without weights."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, "tokenizer.json")
    return found if isinstance(found, str) else ""
