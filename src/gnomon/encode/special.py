"""Special tokens by their role, as a tokenizer's own files name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gnomon.encode.folder import read_json


def special_token(base: Path, kinds: Sequence[str]) -> str | None:
    """The first of these special tokens (such as "mask_token") that the tokenizer has; None without one."""
    files = [read_json(base / name) for name in ("tokenizer_config.json", "special_tokens_map.json")]
    for kind in kinds:
        for said in files:
            token = said.get(kind)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and text:
                return text
    return None
