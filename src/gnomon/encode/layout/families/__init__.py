"""The transformer families that gnomon runs from safetensors: a recipe each, from config.json to a network's spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.families.albert import albert, electra
from gnomon.encode.layout.families.bert import bert, distilbert, mpnet, roberta
from gnomon.encode.layout.families.clip import clip_text, siglip_text
from gnomon.encode.layout.families.deberta import deberta_v2
from gnomon.encode.layout.families.decoders import gemma3, llama, mistral, qwen2, qwen3
from gnomon.encode.layout.families.gte import gte
from gnomon.encode.layout.families.modernbert import modernbert
from gnomon.encode.layout.families.nomic_bert import nomic_bert
from gnomon.encode.layout.families.spec import TransformerSpec, require
from gnomon.encode.layout.families.t5 import t5

FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], TransformerSpec]] = {
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "camembert": roberta,
    "distilbert": distilbert,
    "mpnet": mpnet,
    "electra": electra,
    "albert": albert,
    "deberta-v2": deberta_v2,
    "t5": t5,
    "mt5": t5,
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma3_text": gemma3,
    "clip": clip_text,
    "clip_text_model": clip_text,
    "siglip": siglip_text,
    "siglip_text_model": siglip_text,
    "modernbert": modernbert,
    "nomic_bert": nomic_bert,
    "gte": gte,
    "new": gte,
}
"""By the config's model_type."""

NATIVE_IN_0_1 = frozenset({"bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet"})
"""Families that gnomon 0.1 ran from safetensors; the others from an ONNX file, if at all."""


def transformer_spec(family: str, config: Mapping[str, Any]) -> TransformerSpec:
    """A model of one of FAMILIES. Raises ModelUnsupported for a config that asks for what the networks do not do."""
    for key in ("is_decoder", "add_cross_attention"):
        require(config, key, (False,), default=False)
    try:
        return FAMILIES[family](config)
    except KeyError as missing:
        raise ModelUnsupported(
            f"the config.json of a {family} model without {missing.args[0]}",
            expected="a complete config.json",
            hint="fetch the model's config.json again",
        ) from missing
