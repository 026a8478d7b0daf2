"""A transformer's own files: what every model that stands on one must have, whatever follows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.limits import sentence_config
from gnomon.encode.tensors import lowercases

Task = Literal["feature-extraction", "sequence-classification"]
# How sentence-transformers names a task's output within itself, and transformers' field for it.
_OUTPUTS: Mapping[Task, tuple[str, str]] = {
    "feature-extraction": ("token_embeddings", "last_hidden_state"),
    "sequence-classification": ("scores", "logits"),
}
_WANTED: Mapping[Task, str] = {
    "feature-extraction": "a transformer whose last hidden state is pooled",
    "sequence-classification": "a transformer with a classification head",
}


class Backbone(Protocol):
    """What the graph needs of a model. `max_tokens` is the longest text that it must have positions for."""

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


def check_backbone(base: Path, config: Mapping[str, Any], *, task: Task = "feature-extraction") -> None:
    """Raise ModelUnsupported for a transformer that is to be run in a way that gnomon has no graph for."""
    if not config.get("model_type"):
        raise ModelUnsupported(
            f"{base} has no config.json with a model_type",
            wanted="the transformer's config.json beside its weights",
            next_step="fetch the model again",
        )
    said = sentence_config(base)
    text = (said.get("modality_config") or {}).get("text") or {}
    inner, field = _OUTPUTS[task]
    odd = {
        "transformer_task": said.get("transformer_task", task) != task,
        "module_output_name": said.get("module_output_name", inner) != inner,
        "modality_config": text.get("method", "forward") != "forward"
        or text.get("method_output_name", field) != field,
        "processing_kwargs": bool(said.get("processing_kwargs")),
    }
    refuse_keys(base, said, [key for key, is_odd in odd.items() if is_odd], _WANTED[task])
    if said.get("do_lower_case") and not lowercases(find_tokenizer(base, base)):
        raise ModelUnsupported(
            f"{base} wants its texts in lower case, and its tokenizer keeps their case",
            wanted="a tokenizer.json that lowercases, or do_lower_case false in sentence_bert_config.json",
            next_step="save the model once with sentence-transformers 5 or later, which writes the lower "
            "casing into tokenizer.json",
        )


def refuse_keys(base: Path, said: Mapping[str, Any], odd: list[str], wanted: str) -> None:
    """Raise ModelUnsupported, naming the first of the keys, where there is one."""
    if odd:
        raise ModelUnsupported(
            f"{base} has {odd[0]} = {said.get(odd[0])!r} in its sentence_bert_config.json",
            wanted=wanted,
            next_step="choose another model: `gnomon models` lists some",
        )


def find_tokenizer(base: Path, folder: Path) -> Path:
    """The tokenizer.json of a model. Raises ModelUnsupported where there is none."""
    for at in (base, folder):
        if (at / "tokenizer.json").is_file():
            return at / "tokenizer.json"
    raise ModelUnsupported(
        f"{base} has no tokenizer.json",
        wanted="a fast tokenizer, as the tokenizers library writes it",
        next_step="where transformers is installed: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    )
