"""A transformer's own files: its config, lengths and tokenizer, whatever modules follow it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.cards import Card
from gnomon.encode.layout.files import lowercases, read_json
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config

# transformers writes 1e30 for "no limit" in tokenizer_config.json.
_UNLIMITED = 10_000_000
# Static models average token vectors: no position, no limit but this one, which model2vec writes as well.
STATIC_MAX_TOKENS = 1_000_000
# These count positions from the padding index on: the first real token has position pad + 1.
_PADDED = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "data2vec-text", "longformer"})
# Positions relative to each other alone: any length can be read, and n_positions is the one that was trained.
_RELATIVE = frozenset({"t5", "mt5"})


def read_max_tokens(base: Path, family: str, config: Mapping[str, Any], *, card: Card | None) -> int:
    """Tokens a text, special tokens included. Raises ModelUnsupported where neither a file nor the card gives it.

    sentence-transformers 5 and older write max_seq_length in sentence_bert_config.json, 6 writes
    model_max_length in tokenizer_config.json.
    """
    said = sentence_config(base)
    declared = _number(_load_arguments(said, "processor_kwargs").get("model_max_length", said.get("max_seq_length")))
    if declared is None:
        declared = _number(read_json(base / "tokenizer_config.json").get("model_max_length"))
    if declared is None and family in _RELATIVE:
        declared = _number(config.get("n_positions"))
    limits = [declared, position_count(family, config), card.max_tokens if card else None]
    known = [limit for limit in limits if limit is not None]
    if not known:
        raise ModelUnsupported(
            f"{base} does not say how long a text may be",
            expected="max_seq_length in sentence_bert_config.json or max_position_embeddings in config.json",
            hint='write {"max_seq_length": 512} (its true length) to sentence_bert_config.json',
        )
    return min(known)


def position_count(family: str, config: Mapping[str, Any]) -> int | None:
    """How many tokens the position embeddings cover; None where the config does not say."""
    if family in _RELATIVE:
        return None
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


TransformerTask = Literal[
    "feature-extraction", "sequence-classification", "fill-mask", "text-features", "text-generation"
]
# How sentence-transformers names a task's output within itself, and transformers' field for it.
_OUTPUTS: Mapping[TransformerTask, tuple[str, str]] = {
    "feature-extraction": ("token_embeddings", "last_hidden_state"),
    "sequence-classification": ("scores", "logits"),
    "fill-mask": ("token_embeddings", "logits"),
    "text-features": ("sentence_embedding", "pooler_output"),
    "text-generation": ("causal_logits", "logits"),
}
_EXPECTED: Mapping[TransformerTask, str] = {
    "feature-extraction": "a transformer whose last hidden state is pooled",
    "sequence-classification": "a transformer with a classification head",
    "fill-mask": "a transformer with a masked-language head",
    "text-features": "the text tower of a model of texts and images",
    "text-generation": "a causal language model that reads pairs as messages",
}


# Arguments that sentence_bert_config.json gives to the classes of transformers, by its key and the key's older name,
# and those that no vector depends on here.
_ARGUMENTS: Mapping[str, tuple[str, frozenset[str]]] = {
    "model_kwargs": (
        "model_args",
        frozenset("torch_dtype dtype attn_implementation device_map low_cpu_mem_usage use_safetensors".split()),
    ),
    "processor_kwargs": ("tokenizer_args", frozenset({"model_max_length", "padding_side", "use_fast"})),
    "config_kwargs": ("config_args", frozenset()),
}


def _load_arguments(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return config.get(key) or config.get(_ARGUMENTS[key][0]) or {}


def _decisive_arguments(config: Mapping[str, Any]) -> list[str]:
    """The keys of arguments that change vectors and that nothing here honours."""
    ignored = {"trust_remote_code", "revision", "token", "cache_dir", "local_files_only"}
    return [
        key if key in config else old
        for key, (old, harmless) in _ARGUMENTS.items()
        if set(_load_arguments(config, key)) - harmless - ignored
    ]


class BackboneLayout(Protocol):
    """What a network needs of a model's folder. `max_tokens` is the longest text that it must have positions for."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """config.json."""
        ...

    @property
    def family(self) -> str:
        """The config's model_type."""
        ...

    @property
    def weights(self) -> Path:
        """model.safetensors, its index, or an ONNX file."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens a text, special tokens included."""
        ...


def check_backbone(base: Path, config: Mapping[str, Any], *, task: TransformerTask = "feature-extraction") -> None:
    """Raise ModelUnsupported for a transformer that is to be run in a way that gnomon has no graph for."""
    if not config.get("model_type"):
        raise ModelUnsupported(
            f"{base} has no config.json with a model_type",
            expected="the transformer's config.json beside its weights",
            hint="fetch the model again",
        )
    config_file = sentence_config(base)
    modalities = config_file.get("modality_config") or {}
    ways = [modalities.get(kind) or {} for kind in ("text", "message")]
    inner, field = _OUTPUTS[task]
    name, method = ("feature-extraction", "get_text_features") if task == "text-features" else (task, "forward")
    # A module that was saved without a word on messages reads pairs as texts; a bare model's template decides.
    reads_messages = task == "text-generation" and bool(modalities or config_file.get("transformer_task"))
    odd = {
        "transformer_task": config_file.get("transformer_task", name) != name,
        "module_output_name": config_file.get("module_output_name", inner) != inner,
        # Where there are messages, texts become messages too, and go through the tokenizer's chat template.
        "modality_config": ("message" in modalities) != reads_messages
        or any(way.get("method", method) != method for way in ways)
        or any(way.get("method_output_name", field) != field for way in ways),
        "processing_kwargs": bool(config_file.get("processing_kwargs")),
    }
    refused = [key for key, is_odd in odd.items() if is_odd] + _decisive_arguments(config_file)
    refuse_keys(base, config_file, refused, expected=_EXPECTED[task])
    if config_file.get("do_lower_case") and not _lowercases(find_tokenizer(base, base)):
        raise ModelUnsupported(
            f"{base} wants its texts in lower case, and its tokenizer keeps their case",
            expected="a tokenizer.json that lowercases, or do_lower_case false in sentence_bert_config.json",
            hint="save the model once with sentence-transformers 5 or later, which writes the lower "
            "casing into tokenizer.json",
        )


def _lowercases(tokenizer: Path) -> bool:
    plain = read_tokenizer_config(tokenizer).applied(read_json(tokenizer))
    return lowercases(plain.get("normalizer"))


def refuse_keys(base: Path, config: Mapping[str, Any], keys: list[str], *, expected: str) -> None:
    """Raise ModelUnsupported, naming the first of the keys, where there is one."""
    if keys:
        raise ModelUnsupported(
            f"{base} has {keys[0]} = {config.get(keys[0])!r} in its sentence_bert_config.json",
            expected=expected,
            hint="choose another model: `gnomon models` lists some",
        )


def find_tokenizer(base: Path, folder: Path) -> Path:
    """The tokenizer.json of a model. Raises ModelUnsupported where there is none."""
    for at in (base, folder):
        if (at / "tokenizer.json").is_file():
            return at / "tokenizer.json"
    raise ModelUnsupported(
        f"{base} has no tokenizer.json",
        expected="a fast tokenizer, as the tokenizers library writes it",
        hint="where transformers is installed: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    )
