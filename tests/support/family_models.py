"""Tiny models of every transformer family that is served, with random weights, and what transformers makes of texts.

To add a family: a row in FAMILIES. tests/encode/test_families.py holds each row to transformers.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from gnomon.kernels.pooling import pool

WORDS = [f"w{number}" for number in range(40)]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "</s>", "<bos>", "<eos>"]
SIZES = {
    "vocab_size": len(SPECIALS) + len(WORDS),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "max_relative_positions": -1,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
}
TEXT_TOWER = {**SIZES, "num_hidden_layers": 2, "max_position_embeddings": 64}
TOWERS = {
    "text_config": {**TEXT_TOWER, "eos_token_id": 7},
    "vision_config": {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 4,
        "patch_size": 4,
    },
}
OLD_CLIP = {**TOWERS, "text_config": {**TEXT_TOWER, "eos_token_id": 2}, "projection_dim": 24}
T5 = {"d_model": 32, "d_kv": 6, "d_ff": 48, "num_layers": 3, "num_heads": 4, "n_positions": 40}
TEXTS = [
    "w3",
    "w1 w2 w3 w4 w5",
    "",
    " ".join(WORDS[(7 * at) % 40] for at in range(30)),
    " ".join(WORDS[(11 * at + 3) % 40] for at in range(100)),  # longer than any of these models reads
]


@dataclass(frozen=True)
class FamilyModel:
    """`config` and `network` are classes of transformers, by name; `template` says where special tokens go.

    `config_json`, where there is one, describes the same model as another implementation does. `reference` gives the
    last hidden state of a model for ids and mask, both [texts, tokens]; with the pooling "text features" the vectors
    themselves, of a folder that transformers alone saved. `bf16` is the least cosine to fp32.
    """

    config: str
    network: str
    more: Mapping[str, Any] = field(default_factory=dict)
    template: str = "[CLS] $A [SEP]"
    pooling: str = "mean"
    max_tokens: int = 64
    bf16: float = 0.998
    weight_scale: float = 0.3
    config_json: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[[Any, Any, Any], Any] = lambda model, ids, mask: model(ids, attention_mask=mask)[0]


# Grouped heads; the token ids that decoders' configs name are beyond this vocabulary.
DECODER = {"num_key_value_heads": 2, "bos_token_id": None, "eos_token_id": None}
GEMMA3 = {**DECODER, "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 20}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def decoder(family: str, *, bf16: float = 0.99, **more: Any) -> "FamilyModel":
    """A decoder read at its last token, its end token; saved with its language-modelling head."""
    return FamilyModel(
        f"{family}Config",
        f"{family}ForCausalLM",
        {**DECODER, **more},
        "$A </s>",
        "last",
        bf16=bf16,
        reference=lambda model, ids, mask: model.model(ids, attention_mask=mask)[0],
    )


FEATURES = "text features"


def text_features(model: Any, ids: Any, mask: Any) -> Any:
    """CLIP's vectors of texts."""
    return model.get_text_features(ids, attention_mask=mask).pooler_output


def filled(ids: Any) -> Any:
    """Ids filled up to the length that SigLIP was trained with."""
    return torch.nn.functional.pad(ids, (0, 64 - ids.shape[1]))


def filled_features(model: Any, ids: Any, mask: Any) -> Any:
    """SigLIP's vectors of texts."""
    return model.get_text_features(filled(ids)).pooler_output


def filled_pooled(model: Any, ids: Any, mask: Any) -> Any:
    """The same of its text tower alone."""
    return model(filled(ids)).pooler_output


# Layers of both kinds, and a window that most texts are longer than.
MODERNBERT = {"local_attention": 8, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
# As the remote code of nomic-embed-text-v1.5 and gte-base-en-v1.5 wants it.
NOMIC = {
    "model_type": "nomic_bert",
    "activation_function": "swiglu",
    "causal": False,
    "layer_norm_epsilon": 1e-12,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "n_embd": 32,
    "n_head": 4,
    "n_inner": 48,
    "n_layer": 3,
    "n_positions": 80,
    "pad_token_id": 0,
    "prenorm": False,
    "qkv_proj_bias": False,
    "rotary_emb_base": 1000,
    "rotary_emb_fraction": 1.0,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "rotary_scaling_factor": None,
    "type_vocab_size": 2,
    "vocab_size": SIZES["vocab_size"],
}
NEW = {
    **SIZES,
    "model_type": "new",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "layer_norm_type": "layer_norm",
    "logn_attention_scale": False,
    "pack_qkv": True,
    "position_embedding_type": "rope",
    "type_vocab_size": 1,
    "unpad_inputs": False,
}

FAMILIES: Mapping[str, FamilyModel] = {
    "bert": FamilyModel("BertConfig", "BertModel"),
    "roberta": FamilyModel("RobertaConfig", "RobertaModel", {"pad_token_id": 1}, "<s> $A </s>", "cls"),
    "xlm-roberta": FamilyModel("XLMRobertaConfig", "XLMRobertaModel", {"pad_token_id": 1}, "<s> $A </s>", "cls"),
    "camembert": FamilyModel("CamembertConfig", "CamembertModel", {"pad_token_id": 1}, "<s> $A </s>"),
    "distilbert": FamilyModel(
        "DistilBertConfig", "DistilBertModel", {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4}
    ),
    "electra": FamilyModel("ElectraConfig", "ElectraModel", {"embedding_size": 24}),
    "electra without a projection": FamilyModel("ElectraConfig", "ElectraModel", {"embedding_size": 32}, pooling="cls"),
    "albert": FamilyModel("AlbertConfig", "AlbertModel", {"embedding_size": 16, "num_hidden_groups": 1}),
    "albert of groups": FamilyModel(
        "AlbertConfig",
        "AlbertModel",
        {"embedding_size": 16, "num_hidden_layers": 4, "num_hidden_groups": 2},
    ),
    "deberta-v3": FamilyModel("DebertaV2Config", "DebertaV2Model", DEBERTA),
    "deberta-v2 of its own positions": FamilyModel(
        "DebertaV2Config",
        "DebertaV2Model",
        {
            **DEBERTA,
            "share_att_key": False,
            "position_biased_input": True,
            "type_vocab_size": 2,
            "norm_rel_ebd": "none",
        },
        pooling="cls",
    ),
    "deberta-v2 of exact distances": FamilyModel(
        "DebertaV2Config",
        "DebertaV2Model",
        {**DEBERTA, "position_buckets": -1, "pos_att_type": ["c2p"]},
    ),
    "t5": FamilyModel("T5Config", "T5EncoderModel", T5, "$A </s>", weight_scale=0.2),
    "t5 1.1": FamilyModel(
        "T5Config",
        "T5EncoderModel",
        {**T5, "feed_forward_proj": "gated-gelu"},
        "$A </s>",
        weight_scale=0.2,
    ),
    "mt5": FamilyModel(
        "MT5Config",
        "MT5EncoderModel",
        {**T5, "feed_forward_proj": "gated-gelu"},
        "$A </s>",
        weight_scale=0.2,
    ),
    "clip": FamilyModel(
        "CLIPConfig",
        "CLIPModel",
        {**TOWERS, "projection_dim": 24},
        "<bos> $A <eos>",
        FEATURES,
        reference=text_features,
    ),
    "clip of before the end token": FamilyModel(
        "CLIPConfig", "CLIPModel", OLD_CLIP, "<bos> $A <eos>", FEATURES, reference=text_features
    ),
    "clip's text tower": FamilyModel(
        "CLIPTextConfig",
        "CLIPTextModelWithProjection",
        {"eos_token_id": 7, "projection_dim": 24},
        "<bos> $A <eos>",
        FEATURES,
        reference=lambda model, ids, mask: model(ids, attention_mask=mask).text_embeds,
    ),
    "siglip": FamilyModel("SiglipConfig", "SiglipModel", TOWERS, "$A </s>", FEATURES, reference=filled_features),
    "siglip's text tower": FamilyModel(
        "SiglipTextConfig",
        "SiglipTextModel",
        {"max_position_embeddings": 64, "projection_size": 24},
        "$A </s>",
        FEATURES,
        reference=filled_pooled,
    ),
    "mpnet": FamilyModel("MPNetConfig", "MPNetModel", {"pad_token_id": 1}, "<s> $A </s>"),
    "llama": decoder("Llama", attention_bias=True, mlp_bias=True),
    "llama3": decoder("Llama", rope_parameters={**LLAMA3, "rope_theta": 1e4, "original_max_position_embeddings": 32}),
    "llama linear": decoder("Llama", rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}),
    "llama yarn": decoder(
        "Llama",
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 20},
    ),
    "mistral": decoder("Mistral", sliding_window=6),
    "qwen2": decoder("Qwen2"),
    "qwen2 seeing both sides": decoder("Qwen2", is_causal=False),
    "qwen2 dynamic": decoder("Qwen2", rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}),
    "qwen3": decoder("Qwen3", head_dim=16),
    "qwen3 with windows": decoder(
        "Qwen3", head_dim=16, use_sliding_window=True, sliding_window=5, max_window_layers=1, attention_bias=True
    ),
    "gemma3": FamilyModel(
        "Gemma3TextConfig", "Gemma3TextModel", {**GEMMA3, "sliding_window_pattern": 2}, "<bos> $A", "last"
    ),
    "embeddinggemma": FamilyModel(
        "Gemma3TextConfig",
        "Gemma3TextModel",
        {**GEMMA3, "use_bidirectional_attention": True, "sliding_window_pattern": 2},
        "<bos> $A <eos>",
    ),
    "modernbert": FamilyModel("ModernBertConfig", "ModernBertModel", MODERNBERT),
    "modernbert with biases": FamilyModel(
        "ModernBertConfig",
        "ModernBertModel",
        {**MODERNBERT, "attention_bias": True, "mlp_bias": True, "norm_bias": True, "hidden_activation": "silu"},
        pooling="cls",
    ),
    "nomic_bert": FamilyModel("NomicBertConfig", "NomicBertModel"),
    "nomic_bert by the keys of its first code": FamilyModel("NomicBertConfig", "NomicBertModel", config_json=NOMIC),
    "gte": FamilyModel("GteConfig", "GteModel", {"type_vocab_size": 1}, pooling="cls"),
    "gte without token types": FamilyModel(
        "GteConfig", "GteModel", {"type_vocab_size": 0, "rope_parameters": {"rope_type": "linear", "factor": 2.0}}
    ),
    # NTK scaling by 2 is a base twice as large, and frequencies over 2^(2 / 8), in heads of 8 dimensions.
    "new": FamilyModel(
        "GteConfig",
        "GteModel",
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0 ** (2 / 8), "rope_theta": 2 * 500.0}},
        config_json={**NEW, "rope_theta": 500.0, "rope_scaling": {"type": "ntk", "factor": 2.0}},
    ),
}


def model_type(name: str) -> str:
    """The family that the model's config.json names."""
    family = FAMILIES[name]
    return str(family.config_json.get("model_type") or getattr(transformers, family.config).model_type)


def build(name: str, folder: Path, *, dtype: str = "float32") -> tuple[Path, Any]:
    """A folder in sentence-transformers layout, its weights of `dtype`, and transformers' model of the same weights
    in fp32, in eval()."""
    family = FAMILIES[name]
    own = {} if "text_config" in family.more else SIZES
    config = getattr(transformers, family.config)(**{**own, **family.more})
    config._attn_implementation = "eager"
    torch.manual_seed(7)
    model = getattr(transformers, family.network)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, family.weight_scale)
            else:  # norms and biases, none of which is the neutral one
                parameter.add_(0.2 * torch.randn_like(parameter))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    model.float()
    if family.config_json:
        (folder / "config.json").write_text(json.dumps(family.config_json))
    plain = json.loads((folder / "config.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(family.template)))
    if family.pooling == FEATURES:
        said = {"model_max_length": family.max_tokens, "pad_token": "[PAD]"}
        (folder / "tokenizer_config.json").write_text(json.dumps(said))
        return folder, model
    names = {"mean": "mean", "cls": "cls", "last": "lasttoken"}
    write_modules(folder, max_tokens=family.max_tokens, dim=plain.get("hidden_size", 32), mode=names[family.pooling])
    return folder, model


def write_modules(folder: Path, *, max_tokens: int, dim: int, mode: str) -> None:
    """modules.json and what it names: a Transformer and Pooling."""
    kinds = ("Transformer", "Pooling")
    rows = [
        {
            "idx": at,
            "name": str(at),
            "path": f"{at}_{kind}" if at else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_tokens}))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": dim, "pooling_mode": mode})
    )


def tokenizer(template: str) -> dict[str, Any]:
    """A tokenizer.json of words, with the special tokens where the template has them."""
    vocabulary = {word: number for number, word in enumerate(SPECIALS + WORDS)}
    parts = template.split()
    pieces = [
        {"Sequence": {"id": "A", "type_id": 0}} if part == "$A" else {"SpecialToken": {"id": part, "type_id": 0}}
        for part in parts
    ]
    special = {part: {"id": part, "ids": [vocabulary[part]], "tokens": [part]} for part in parts if part != "$A"}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocabulary[name], "content": name, **flags} for name in SPECIALS],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": pieces,
            "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": special,
        },
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    }


def token_ids(name: str, texts: list[str]) -> list[list[int]]:
    """What the tokenizer makes of texts, cut to the model's length, special tokens kept."""
    parts = FAMILIES[name].template.split()
    before, after = (
        [SPECIALS.index(part) for part in side] for side in (parts[: parts.index("$A")], parts[parts.index("$A") + 1 :])
    )
    room = FAMILIES[name].max_tokens - len(before) - len(after)
    number = {word: len(SPECIALS) + at for at, word in enumerate(WORDS)}
    return [[*before, *[number[word] for word in text.split()][:room], *after] for text in texts]


def reference(name: str, model: Any, texts: list[str]) -> np.ndarray[Any, Any]:
    """The vectors, normalised, [texts, hidden]: each text by itself, as transformers in fp32 gives its tokens."""
    family, rows = FAMILIES[name], []
    for ids in token_ids(name, texts):
        mask = torch.ones(1, len(ids), dtype=torch.int64)
        with torch.inference_mode():
            hidden = family.reference(model, torch.tensor([ids]), mask)
        rows.append(
            hidden.numpy()[0]
            if family.pooling == FEATURES
            else pool(hidden.numpy(), mask.numpy(), how=family.pooling)[0]
        )
    out = np.stack(rows)
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True))
