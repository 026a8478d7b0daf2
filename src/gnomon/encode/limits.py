"""How long a text may be: the smallest of all that the model's files and its card say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.cards import Card
from gnomon.encode.folder import read_json

# transformers writes 1e30 for "no limit" in tokenizer_config.json.
_UNLIMITED = 10_000_000
# Static models average token vectors: no position, no limit but this one, which model2vec writes as well.
STATIC_TOKENS = 1_000_000
# These count positions from the padding index on: the first real token has position pad + 1.
_PADDED = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "longformer"})


def read_max_tokens(base: Path, family: str, config: Mapping[str, Any], *, card: Card | None) -> int:
    """Tokens a text, special tokens included. Raises ModelUnsupported where no file and no card says it.

    sentence-transformers 5 and older write max_seq_length in sentence_bert_config.json, 6 writes
    model_max_length in tokenizer_config.json.
    """
    said = _number(sentence_config(base).get("max_seq_length"))
    if said is None:
        said = _number(read_json(base / "tokenizer_config.json").get("model_max_length"))
    limits = [said, positions(family, config), card.max_tokens if card else None]
    known = [limit for limit in limits if limit is not None]
    if not known:
        raise ModelUnsupported(
            f"{base} does not say how long a text may be",
            wanted="max_seq_length in sentence_bert_config.json or max_position_embeddings in config.json",
            next_step='write {"max_seq_length": 512} (its true length) to sentence_bert_config.json',
        )
    return min(known)


def positions(family: str, config: Mapping[str, Any]) -> int | None:
    """How many tokens the position embeddings cover; None where the config does not say."""
    found = _number(config.get("max_position_embeddings") or config.get("n_positions"))
    if found is None:
        return None
    if family == "mpnet":
        return found - 2
    if family in _PADDED:
        return found - int(config.get("pad_token_id", 1)) - 1
    return found


def sentence_config(base: Path) -> dict[str, Any]:
    """sentence_bert_config.json, or the file that older versions named after the family."""
    for path in (base / "sentence_bert_config.json", *sorted(base.glob("sentence_*_config.json"))):
        if path.is_file():
            return read_json(path)
    return {}


def _number(plain: Any) -> int | None:
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        return None
    return int(plain) if 0 < plain <= _UNLIMITED else None
