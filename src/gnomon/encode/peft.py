"""Folders of peft with a LoRA adapter: the adapter is merged into its base model's weights, once, in numpy.

Hu et al. 2021, LoRA (arXiv:2106.09685, section 4.1); Kalajdzievski 2023, rsLoRA (arXiv:2312.03732); Liu et al. 2024,
DoRA (arXiv:2402.09353, equation 5). The file format is that of peft 0.21.2, whose merge_and_unload gives the same.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from gnomon.core.errors import ModelUnsupported
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.encode.digest import cache_home, digest_file, digest_json
from gnomon.encode.graph.weights import StoredTensor, Weights
from gnomon.encode.hub.cache import download_folder, install
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.fingerprint import MERGED_FROM, weights_digest
from gnomon.encode.layout.modules import ADAPTER_CONFIG, ADAPTER_WEIGHTS, adapter_folder, find_weights, list_modules

_PREFIX = "base_model.model."
_EXPECTED = "an adapter of this base model"
_DECISIVE = ("r", "lora_alpha", "use_rslora", "use_dora", "alpha_pattern", "rank_pattern", "fan_in_fan_out")
_UNSERVED = ("layer_replication", "lora_bias", "trainable_token_indices", "target_parameters", "use_qalora")
# Other ways to begin change the base model's weights as well, and the adapter does not hold them.
_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
_PARTS = re.compile(r"\.lora_(A|B)\.weight$|\.lora_(embedding_A|embedding_B)$|\.lora_(magnitude_vector)(?:\.weight)?$")

Array = np.ndarray[Any, np.dtype[Any]]


def merged_folder(folder: Path, *, progress: ProgressCallback = no_progress) -> Path:
    """The folder itself, or where it holds a LoRA adapter one in gnomon's cache with the adapter merged into its base
    model, which is located by its name in adapter_config.json.

    Raises ModelUnsupported for other adapters, and where the two do not fit; ModelNotFound without the base model.
    """
    home = adapter_folder(folder)
    if home is None:
        return folder
    config = read_json(home / ADAPTER_CONFIG)
    _require_lora(home, config)
    base = locate(str(config["base_model_name_or_path"]), progress=progress).folder
    base = _module_folders(base)[-1]
    weights = find_weights(base, base)
    origin = digest_json(
        [
            "lora",
            weights_digest(weights),
            digest_file(home / ADAPTER_WEIGHTS),
            {key: config.get(key) for key in _DECISIVE},
        ]
    )
    files = digest_json([str(folder.resolve()), str(base.resolve()), *(p.stat().st_mtime_ns for p in _small(folder))])
    target = cache_home() / "merged" / f"{origin[:24]}-{files[:8]}"
    if target.is_dir():
        return target
    progress(Progress("loading", message=f"merging the adapter of {folder.name} into {base.name}"))
    with download_folder(target) as made:
        _copy(folder, made, home=home, base=base)
        _write(
            merge(Weights(weights), Weights(home / ADAPTER_WEIGHTS), config), made / home.relative_to(folder), origin
        )
        return install(made, target)


def merge(base: Mapping[str, StoredTensor], adapter: Mapping[str, StoredTensor], config: Mapping[str, Any]) -> Any:
    """The base model's tensors by name, those that the adapter changes in float32: W + scaling * B A.

    Tensors of the adapter that are no part of LoRA (modules_to_save, biases) take the place of the base model's.
    Raises ModelUnsupported for a tensor that the base model has no place for.
    """
    merged: dict[str, StoredTensor] = dict(base)
    layers: dict[str, dict[str, Array]] = defaultdict(dict)
    for name, stored in adapter.items():
        path = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
        if found := _PARTS.search(path):
            kind = next(group for group in found.groups() if group)
            layers[path[: found.start()]][kind] = stored.float32()
        elif at := _place(base, path):
            merged[at] = stored
        elif path.split(".")[0] not in ("classifier", "score", "pooler"):
            _refuse(f"the adapter has {name}, and the base model no such tensor", _EXPECTED)
    for path, parts in layers.items():
        at = _place(base, f"{path}.weight")
        if at is None:
            _refuse(f"the adapter changes {path}, and the base model has no such layer", _EXPECTED)
        merged[at] = StoredTensor("F32", _changed(base[at].float32(), parts, path=path, config=config))
    return merged


def _changed(weight: Array, parts: Mapping[str, Array], *, path: str, config: Mapping[str, Any]) -> Array:
    embedding = "embedding_A" in parts
    names = ("embedding_A", "embedding_B") if embedding else ("A", "B")
    if any(name not in parts for name in names):
        _refuse(f"the adapter has one matrix of two for {path}", "a whole adapter_model.safetensors")
    a, b = (parts[name] for name in names)
    rank = len(a)
    alpha = _by_pattern(config.get("alpha_pattern") or {}, path, config.get("lora_alpha", 8))
    delta = np.float32(alpha / (rank**0.5 if config.get("use_rslora") else rank)) * (b @ a)
    delta = delta.T if embedding or config.get("fan_in_fan_out") else delta
    if delta.shape != weight.shape:
        _refuse(
            f"the adapter changes {path} by {list(delta.shape)}, and the base model has {list(weight.shape)}",
            _EXPECTED,
        )
    out = weight + delta
    if "magnitude_vector" in parts:
        out *= (parts["magnitude_vector"].ravel() / np.linalg.norm(out, axis=1))[:, None]
    return np.ascontiguousarray(out, dtype=np.float32)


def _by_pattern(patterns: Mapping[str, Any], path: str, default: Any) -> Any:
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", path)), default)


def _place(base: Mapping[str, StoredTensor], path: str) -> str | None:
    """The tensor of this name, whatever stands before the network in either of the two."""
    for start in range(path.count(".")):
        tail = ".".join(path.split(".")[start:])
        found = [name for name in base if name == tail or name.endswith(f".{tail}")]
        if len(found) == 1:
            return found[0]
    return None


def _require_lora(home: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        _refuse(f"{home} holds an adapter of the type {kind!r}", "a LoRA adapter (peft_type LORA)")
    odd = [key for key in _UNSERVED if config.get(key)]
    if config.get("init_lora_weights", True) not in _BEGINNINGS:
        odd.append("init_lora_weights")
    if config.get("use_dora") and config.get("fan_in_fan_out"):
        odd.append("use_dora")
    if config.get("revision") not in (None, "main"):
        odd.append("revision")
    if odd:
        _refuse(f"{home / ADAPTER_CONFIG} says {odd[0]} = {config[odd[0]]!r}", "a LoRA adapter without it")
    if not config.get("base_model_name_or_path"):
        _refuse(f"{home / ADAPTER_CONFIG} does not name its base model", "base_model_name_or_path")


def _refuse(message: str, expected: str) -> NoReturn:
    raise ModelUnsupported(
        message,
        expected=expected,
        hint="merge it once where peft is installed (PeftModel.merge_and_unload, then save_pretrained), and give that "
        "folder",
    )


def _module_folders(folder: Path) -> list[Path]:
    entries = list_modules(folder) or []
    return list(dict.fromkeys([folder, *(entry.folder for entry in entries[:1])]))


def _small(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if path.is_file())


def _copy(folder: Path, made: Path, *, home: Path, base: Path) -> None:
    """All files but the adapter's and weights beside it; the base model's config and tokenizer where there are none."""
    own = {
        home / name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "model.safetensors", "model.safetensors.index.json")
    }
    for path in folder.rglob("*"):
        if path.is_file() and path not in own and path.suffix in (".json", ".safetensors", ".txt"):
            target = made / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    inner = made / home.relative_to(folder)
    inner.mkdir(parents=True, exist_ok=True)
    has_tokenizer = (inner / "tokenizer.json").is_file()
    for path in base.glob("*.json"):
        is_tokenizer = "token" in path.name or path.name == "vocab.json"
        fits = path.name in ("config.json", "sentence_bert_config.json") or (is_tokenizer and not has_tokenizer)
        if fits and not (inner / path.name).exists():
            shutil.copyfile(path, inner / path.name)


def _write(tensors: Mapping[str, StoredTensor], folder: Path, origin: str) -> None:
    """A safetensors file: the length of its header, the header, the tensors' bytes one after another."""
    header: dict[str, Any] = {"__metadata__": {MERGED_FROM: origin, "format": "pt"}}
    end = 0
    for name, one in tensors.items():
        start, end = end, end + one.bits.nbytes
        header[name] = {"dtype": one.dtype, "shape": list(one.bits.shape), "data_offsets": [start, end]}
    plain = json.dumps(header).encode()
    plain += b" " * (-len(plain) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(plain).to_bytes(8, "little") + plain)
        for one in tensors.values():
            file.write(np.ascontiguousarray(one.bits).tobytes())
