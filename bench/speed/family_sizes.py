"""The sizes of the models that people use of each family, as transformers' configs name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class FamilySize:
    """`config` and `network` are classes of transformers. `share` of the texts are measured: few for slow models."""

    config: str
    network: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    pooling: str = "mean"
    max_tokens: int = 512
    share: float = 1.0

    def as_json(self) -> dict[str, Any]:
        """For the reference's process."""
        return asdict(self)


BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
ROBERTA = {**BASE, "max_position_embeddings": 514, "type_vocab_size": 1}
DEBERTA = {
    **BASE,
    "vocab_size": 128_100,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "max_relative_positions": -1,
    "type_vocab_size": 0,
}
T5 = {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_layers": 12, "num_heads": 12}
QWEN3 = {
    "vocab_size": 151_669,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "rope_theta": 1_000_000,
}
GEMMA3 = {
    "vocab_size": 262_144,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 24,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 256,
    "sliding_window": 512,
    "use_bidirectional_attention": True,
}
SIZES: Mapping[str, FamilySize] = {
    "bert": FamilySize("BertConfig", "BertModel"),
    "distilbert": FamilySize("DistilBertConfig", "DistilBertModel"),
    "mpnet": FamilySize("MPNetConfig", "MPNetModel", {"max_position_embeddings": 514}),
    "xlm-roberta": FamilySize("XLMRobertaConfig", "XLMRobertaModel", {**ROBERTA, "vocab_size": 250_002}),
    "electra": FamilySize("ElectraConfig", "ElectraModel", {**BASE, "embedding_size": 768}),
    "albert": FamilySize("AlbertConfig", "AlbertModel", BASE),
    "deberta-v2": FamilySize("DebertaV2Config", "DebertaV2Model", DEBERTA),
    "t5": FamilySize("T5Config", "T5EncoderModel", T5),
    "modernbert": FamilySize("ModernBertConfig", "ModernBertModel"),
    "nomic_bert": FamilySize("NomicBertConfig", "NomicBertModel"),
    "gte": FamilySize("GteConfig", "GteModel"),
    "gemma3_text": FamilySize("Gemma3TextConfig", "Gemma3TextModel", GEMMA3, share=0.25),
    "qwen3": FamilySize("Qwen3Config", "Qwen3Model", QWEN3, "lasttoken", share=0.25),
}
