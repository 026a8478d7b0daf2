"""sentence-transformers' modules.json: a model's modules in their order, pooling, projections, architecture.

As version 6 and all versions since 1 write them; checked against 6.2.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from gnomon.core.errors import ModelUnsupported
from gnomon.core.files import is_file
from gnomon.encode.layout.backbone import sentence_config
from gnomon.encode.layout.files import inside, read_json, safetensors_header
from gnomon.encode.layout.vector_layers import (
    TO_SAFETENSORS,
    UnitLayer,
    VectorLayer,
    read_norm,
    read_projection,
)
from gnomon.kernels.pooling import Pooling

_MODES: Mapping[str, Pooling] = {
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "cls": "cls",
    "lasttoken": "last",
    "max": "max",
    "weightedmean": "weightedmean",
}
ATTENTION_POOLING = "gnomon.train.attention_pooling.AttentionPooling"
MAXSIM_SCORE = "gnomon.train.maxsim_score.MaxSimScore"
_OWN = {ATTENTION_POOLING: "AttentionPooling", MAXSIM_SCORE: "MaxSimScore"}
# The modules of sentence-transformers that are known, with the arguments at run time they may be saved with.
_KNOWN: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("Transformer", "CLIPModel", "Pooling", "StaticEmbedding"), frozenset()),
    **dict.fromkeys(("Dense", "LayerNorm", "Normalize", "Dropout"), frozenset()),
    **dict.fromkeys(("Router", "Asym"), frozenset({"task", "modality"})),
    "MultiVectorMask": frozenset({"task"}),
    **dict.fromkeys(("MLMTransformer", "SpladePooling", "SparseStaticEmbedding"), frozenset()),
    "SparseAutoEncoder": frozenset({"max_active_dims"}),
    "LogitScore": frozenset(),
}
_OF_WORDS = "reads texts as words, by a tokenizer that is Python code"
_UNSERVED: Mapping[str, str] = {
    "CNN": "convolutions over token vectors",
    "LSTM": "a recurrent network over token vectors",
    "BoW": f"{_OF_WORDS}, and counts them in as many dimensions as it has words",
    "WordEmbeddings": _OF_WORDS,
    "WordWeights": "weighs the words of such a tokenizer",
    "WeightedLayerPooling": "averages the hidden states of all layers",
    "TokenPooling": "merges token vectors into fewer",
}
"""Modules of sentence-transformers that no encoder here has, and what they do."""
_TAIL = frozenset({"Dense", "LayerNorm", "Normalize"})
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_EXPECTED = (
    "Transformer, Pooling and then any of Dense, LayerNorm, Normalize and Dropout, or StaticEmbedding in place of the "
    "first two"
)
_ROUTERS = ("Router", "Asym")
SPARSE_MODULES = frozenset({"SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder"})
Architecture = Literal["single", "dual", "late", "cross", "sparse"]
"""One vector a text, two towers, a vector a token (late interaction), a score a pair (cross-encoder), a sparse vector
over a vocabulary."""


@dataclass(frozen=True)
class EmbeddingModules:
    """The modules of a model with one vector a text. `base` holds config, tokenizer and weights.

    `pooling` is None where no file gives it; `also_pooled` are the modes whose vectors follow its own. A
    `text_tower` pools and projects by its family's own rules, and `projections` follow these.
    """

    base: Path
    kind: Literal["transformer", "static"]
    pooling: Pooling | None
    include_prompt: bool = True
    projections: tuple[VectorLayer, ...] = ()
    normalise: bool = False
    attention: Path | None = None
    text_tower: bool = False
    also_pooled: tuple[Pooling, ...] = ()


@dataclass(frozen=True)
class ModuleEntry:
    """One module: the short name of its type, and its folder."""

    kind: str
    folder: Path


def read_modules(folder: Path) -> EmbeddingModules | None:
    """As modules.json lists them; None where there is none. Raises ModelUnsupported, naming the module."""
    entries = list_modules(folder)
    return None if entries is None else embedding_modules(folder, entries)


def list_modules(folder: Path) -> list[ModuleEntry] | None:
    """The modules in their order; None without a modules.json. Raises ModelUnsupported, naming the module."""
    path = folder / "modules.json"
    if not is_file(path):
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        entries = [ModuleEntry(module_kind(str(row["type"])), inside(folder, str(row["path"]))) for row in rows]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelUnsupported(
            f"{path} is not a list of modules: {error}",
            expected="modules.json as sentence-transformers writes it",
            hint="fetch the model again",
        ) from error
    for entry, row in zip(entries, rows, strict=True):
        if entry.kind == "":
            _refuse_module(folder, str(row["type"]))
        strange = set(row.get("kwargs") or ()) - _KNOWN.get(entry.kind, frozenset())
        if strange:
            refuse(folder, f"the module {row['type']} with arguments at run time ({', '.join(strange)})")
    return entries


def embedding_modules(folder: Path, entries: list[ModuleEntry]) -> EmbeddingModules:
    """The modules of a model with one vector a text. Raises ModelUnsupported for another order."""
    entries = [entry for entry in entries if entry.kind != "Dropout"]  # nothing is left out once training is over
    names = [entry.kind for entry in entries]
    static = names[:1] == ["StaticEmbedding"]
    attention = names[1:2] == ["AttentionPooling"]
    tower = names[:1] == ["CLIPModel"] or (names[:1] == ["Transformer"] and _gives_text_features(entries[0].folder))
    head = names[:1] if static or tower else ["Transformer", "AttentionPooling" if attention else "Pooling"]
    tail = entries[len(head) :]
    if names[: len(head)] != head or any(entry.kind not in _TAIL for entry in tail):
        refuse(folder, f"the modules {' -> '.join(names)}")
    poolings: tuple[Pooling, ...] = ("last",) if tower else ("mean",)
    include_prompt = True
    if attention:
        poolings, include_prompt = ("attention",), _read_attention(entries[1].folder)
    elif not static and not tower:
        poolings, include_prompt = _read_pooling(entries[1].folder)
    normalise = names[-1] == "Normalize"
    if normalise:
        check_normalize(entries[-1].folder, "sentence_embedding")
    return EmbeddingModules(
        base=entries[0].folder,
        kind="static" if static else "transformer",
        pooling=poolings[0],
        include_prompt=include_prompt,
        projections=tuple(_read_layer(entry) for entry in (tail[:-1] if normalise else tail)),
        normalise=normalise,
        attention=entries[1].folder / "model.safetensors" if attention else None,
        text_tower=tower,
        also_pooled=poolings[1:],
    )


def _read_layer(entry: ModuleEntry) -> VectorLayer:
    if entry.kind == "Dense":
        return read_projection(entry.folder)
    if entry.kind == "LayerNorm":
        return read_norm(entry.folder)
    check_normalize(entry.folder, "sentence_embedding")
    return UnitLayer()


def _gives_text_features(base: Path) -> bool:
    """Whether a Transformer module gives one vector a text by get_text_features of a model of texts and images."""
    modality = (sentence_config(base).get("modality_config") or {}).get("text") or {}
    return modality.get("method") == "get_text_features"


def _refuse_module(folder: Path, kind: str) -> NoReturn:
    does = _UNSERVED.get(kind.rpartition(".")[2], "") if kind.startswith("sentence_transformers.") else ""
    if not does:
        refuse(folder, f"the module {kind}")
    raise ModelUnsupported(
        f"{folder} has the module {kind}: {does}, which no encoder of gnomon does",
        expected=_EXPECTED,
        hint="serve it by sentence-transformers behind an address of OpenAI's form and give that "
        "(http://HOST:PORT/v1#MODEL), or choose a model built of these modules: `gnomon models` lists some",
    )


def module_kind(kind: str) -> str:
    """`sentence_transformers.base.modules.dense.Dense` to `Dense`; "" for a module that is not known."""
    if kind in _OWN:
        return _OWN[kind]
    package, _, name = kind.rpartition(".")
    return name if package.split(".")[0] == "sentence_transformers" and name in _KNOWN else ""


def is_routed(entries: list[ModuleEntry]) -> bool:
    """Whether the model begins with a Router."""
    return bool(entries) and entries[0].kind in _ROUTERS


def architecture_of(folder: Path, *, carded: bool = False) -> Architecture:
    """Which architecture a folder's files describe.

    A folder without modules.json is a cross-encoder where its config has a classification head, unless a card
    knows the model. Raises ModelUnsupported for modules that are not known, and for adapters beside the weights.
    """
    entries = list_modules(folder)
    for at in dict.fromkeys((folder, *(entry.folder for entry in entries or ()))):
        refuse_adapter(at)
    kind = read_json(folder / "config_sentence_transformers.json").get("model_type")
    if entries is None:
        architectures = read_json(folder / "config.json").get("architectures") or [""]
        classifies = str(architectures[0]).endswith("ForSequenceClassification")
        return "cross" if kind == "CrossEncoder" or (classifies and not carded) else "single"
    names = [entry.kind for entry in entries]
    if kind == "SparseEncoder" or SPARSE_MODULES.intersection(names):
        return "sparse"
    if is_routed(entries):
        return "dual"
    if "MaxSimScore" in names or "LogitScore" in names:
        return "cross"
    if kind == "MultiVectorEncoder" or "MultiVectorMask" in names:
        return "late"
    task = sentence_config(entries[0].folder).get("transformer_task") if entries else None
    if names == ["Transformer"] and (kind == "CrossEncoder" or task == "sequence-classification"):
        return "cross"
    return "single"


def is_causal(folder: Path) -> bool:
    """Whether the folder is a causal language model as transformers saves it, which says nowhere what it is for."""
    architectures = read_json(folder / "config.json").get("architectures") or [""]
    return str(architectures[0]).endswith("ForCausalLM") and not is_file(folder / "modules.json")


def scores_pairs(folder: Path, *, carded: bool = False) -> bool:
    """Whether a folder can be opened as a scorer: a cross-encoder, or a causal language model without a card that says
    otherwise. Raises as `architecture_of` does."""
    return architecture_of(folder, carded=carded) == "cross" or (is_causal(folder) and not carded)


def check_normalize(folder: Path, feature: str) -> None:
    """Raise ModelUnsupported where a Normalize module is for another feature than this one."""
    config = read_json(folder / "config.json")
    into = config.get("module_input_name", "sentence_embedding")
    if into != feature or (config.get("module_output_name") or into) != feature:
        refuse(folder, f"a Normalize module for {into}", f"one for {feature}")


def _read_attention(folder: Path) -> bool:
    config, weight = read_json(folder / "config.json"), folder / "model.safetensors"
    if not is_file(weight):
        raise ModelUnsupported(
            f"{folder} has no model.safetensors",
            expected="the query of trained pooling, in safetensors",
            hint="train or fetch the model again",
        )
    shape, dim = safetensors_header(weight).get("query", {}).get("shape"), config.get("dim")
    if shape != [dim]:
        refuse(folder, f"a query of shape {shape} where config.json says dim = {dim}", "one length of both")
    return bool(config.get("include_prompt", True))


def _read_pooling(folder: Path) -> tuple[tuple[Pooling, ...], bool]:
    config = read_json(folder / "config.json")
    if "pooling_mode" in config:
        mode = config["pooling_mode"]
        modes = [mode] if isinstance(mode, str) else list(mode)
    else:
        # Without one flag set, sentence-transformers takes the mean; without the file it cannot load folder all.
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or (["mean"] if config else [])
    if not modes or any(mode not in _MODES for mode in modes):
        refuse(folder, f"pooling {' + '.join(map(str, modes)) or 'not given'}", f"some of {', '.join(_MODES)}")
    return tuple(_MODES[mode] for mode in modes), bool(config.get("include_prompt", True))


ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def adapter_folder(folder: Path) -> Path | None:
    """The folder with an adapter of peft in safetensors: the model's own or that of its first module; None without."""
    entries = list_modules(folder) or []
    for at in (folder, *(entry.folder for entry in entries[:1])):
        if is_file(at / ADAPTER_CONFIG) and is_file(at / ADAPTER_WEIGHTS):
            return at
    return None


def refuse_adapter(folder: Path) -> None:
    """Raise ModelUnsupported for a folder with an adapter of peft: its weights alone are another model."""
    names = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin")
    found = [name for name in names if is_file(folder / name)]
    if found:
        raise ModelUnsupported(
            f"{folder} holds an adapter ({found[0]}): its model is the base model's weights with the adapter's changes",
            expected="weights that the adapter is merged into",
            hint=_merge_hint(folder),
        )


def _merge_hint(folder: Path) -> str:
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "its base model"
    return (
        "merge it once where peft and transformers are installed, then delete the adapter's files: python -c "
        f"\"from transformers import AutoModel as A; from peft import PeftModel as P; p = '{folder}'; "
        f"P.from_pretrained(A.from_pretrained('{base}'), p).merge_and_unload().save_pretrained(p)\""
    )


def find_weights(base: Path, folder: Path) -> Path:
    """model.safetensors, its index, or an ONNX file. Raises ModelUnsupported for pickles and for nothing."""
    for at in dict.fromkeys((base, folder)):
        for name in ("model.safetensors", "model.safetensors.index.json", "onnx/model.onnx", "model.onnx"):
            if is_file(at / name):
                return at / name
    pickles = sorted(path.name for path in (*base.glob("*.bin"), *base.glob("*.pt"), *base.glob("*.ckpt")))
    raise ModelUnsupported(
        f"{folder} holds {'only pickled weights (' + ', '.join(pickles) + ')' if pickles else 'no weights'}",
        expected="model.safetensors (or onnx/model.onnx): a pickle runs code when it is loaded",
        hint=TO_SAFETENSORS if pickles else "check the path, or fetch the model again",
    )


def refuse(folder: Path, message: str, expected: str = "") -> NoReturn:
    """Raise ModelUnsupported for a module or setting that gnomon does not run."""
    raise ModelUnsupported(
        f"{folder} has {message}",
        expected=expected or _EXPECTED,
        hint="choose a model built of these modules: `gnomon models` lists some",
    )
