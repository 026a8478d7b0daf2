"""DeBERTa-v2 and v3: attention by content and by relative position, apart from each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.bert import BERT_NAMES
from gnomon.encode.layout.families.spec import Disentangled, TransformerSpec, refuse_config, require, sizes

DEBERTA_NAMES = replace(
    BERT_NAMES,
    query="attention.self.query_proj",
    key="attention.self.key_proj",
    value="attention.self.value_proj",
    token_types="",
    position_embeddings="",
)


def deberta_v2(config: Mapping[str, Any]) -> TransformerSpec:
    """DeBERTa (He et al. 2020, arXiv:2006.03654) in its second version, and v3 (arXiv:2111.09543)."""
    require(config, "conv_kernel_size", (0, None), default=0)
    hidden = int(config["hidden_size"])
    if int(config.get("embedding_size") or hidden) != hidden:
        refuse_config("embedding_size is not hidden_size", "embeddings of the hidden size")
    names = DEBERTA_NAMES
    if config.get("position_biased_input", True):
        names = replace(names, position_embeddings=BERT_NAMES.position_embeddings)
    if int(config.get("type_vocab_size", 0)):
        names = replace(names, token_types=BERT_NAMES.token_types)
    disentangled = _disentangled(config)
    kinds = disentangled.kinds if disentangled else 1
    found = sizes({"layer_norm_eps": 1e-7, **config})
    scale = (hidden // found["heads"] * kinds) ** -0.5
    return TransformerSpec(names, **found, attention_scale=scale, disentangled=disentangled)


def _disentangled(config: Mapping[str, Any]) -> Disentangled | None:
    if not config.get("relative_attention"):
        return None
    kinds = config.get("pos_att_type") or ()
    kinds = [kind.strip() for kind in kinds.lower().split("|")] if isinstance(kinds, str) else list(kinds)
    farthest = int(config.get("max_relative_positions", -1))
    shared = bool(config.get("share_att_key"))
    names = ("query_proj", "key_proj") if shared else ("pos_query_proj", "pos_key_proj")
    norms = [part.strip() for part in str(config.get("norm_rel_ebd", "none")).lower().split("|")]
    return Disentangled(
        buckets=int(config.get("position_buckets", -1)),
        farthest=farthest if farthest >= 1 else int(config["max_position_embeddings"]),
        content_to_position=f"attention.self.{names[1]}" if "c2p" in kinds else "",
        position_to_content=f"attention.self.{names[0]}" if "p2c" in kinds else "",
        embeddings="encoder.rel_embeddings.weight",
        norm="encoder.LayerNorm" if "layer_norm" in norms else "",
    )
