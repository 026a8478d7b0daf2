"""What sentence-transformers' modules.json says of a model: its parts, their order, pooling, projections.

Read as version 6 writes them and as all versions since 1 wrote them; checked against 6.2.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NoReturn

from gnomon.core.errors import ModelUnsupported
from gnomon.kernels.pooling import Pooling

_MODES: Mapping[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "max": "max"}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: Mapping[str, Literal["identity", "tanh"]] = {"Identity": "identity", "Tanh": "tanh"}
_TO_SAFETENSORS = (
    "convert them once where torch is installed: load the model with sentence-transformers or transformers "
    "and save it (save_pretrained writes model.safetensors), or take a revision that has model.safetensors"
)


@dataclass(frozen=True)
class Projection:
    """A linear layer after pooling: `weight` is a safetensors file with linear.weight and linear.bias."""

    weight: Path
    in_dim: int
    out_dim: int
    bias: bool
    activation: Literal["identity", "tanh"]


@dataclass(frozen=True)
class Modules:
    """The parts of a model. `base` holds config, tokenizer and weights; `pooling` is None where not said."""

    base: Path
    kind: Literal["transformer", "static"]
    pooling: Pooling | None
    include_prompt: bool = True
    projections: tuple[Projection, ...] = ()
    normalise: bool = False


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} where there is no such file. Else raises ModelUnsupported."""
    if not path.is_file():
        return {}
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelUnsupported(
            f"{path} cannot be read as JSON: {error}",
            wanted="the model's own file, whole",
            next_step="fetch the model again",
        ) from error
    if not isinstance(plain, dict):
        raise ModelUnsupported(
            f"{path} holds a JSON {type(plain).__name__}",
            wanted="an object",
            next_step="fetch the model again",
        )
    return plain


def inside(folder: Path, relative: str) -> Path:
    """The path within the folder. Raises ModelUnsupported where the name points out of it."""
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in relative:
        raise ModelUnsupported(
            f"{folder} names a part at {relative!r}, outside itself",
            wanted="parts within the model's folder",
            next_step="do not use this model: its files are not what they should be",
        )
    return folder.joinpath(*pure.parts)


def read_modules(folder: Path) -> Modules | None:
    """What modules.json says; None where there is none. Raises ModelUnsupported, naming the part."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        parts = [(_short(str(row["type"])), inside(folder, str(row["path"])), row) for row in rows]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelUnsupported(
            f"{path} is not a list of modules: {error}",
            wanted="modules.json as sentence-transformers writes it",
            next_step="fetch the model again",
        ) from error
    for name, _, row in parts:
        if name == "":
            _refuse(folder, f"the module {row['type']}")
        if row.get("kwargs"):
            _refuse(
                folder, f"the module {row['type']} with arguments at run time ({', '.join(row['kwargs'])})"
            )
    return _assemble(folder, [(name, at) for name, at, _ in parts])


def _assemble(folder: Path, parts: list[tuple[str, Path]]) -> Modules:
    names = [name for name, _ in parts]
    static = names[:1] == ["StaticEmbedding"]
    head = ["StaticEmbedding"] if static else ["Transformer", "Pooling"]
    tail = names[len(head) :]
    normalise = tail[-1:] == ["Normalize"]
    dense = tail[:-1] if normalise else tail
    if names[: len(head)] != head or any(name != "Dense" for name in dense):
        _refuse(folder, f"the modules {' -> '.join(names)}")
    pooling: Pooling = "mean"
    include_prompt = True
    if not static:
        pooling, include_prompt = _read_pooling(parts[1][1])
    return Modules(
        base=parts[0][1],
        kind="static" if static else "transformer",
        pooling=pooling,
        include_prompt=include_prompt,
        projections=tuple(_read_projection(at) for name, at in parts if name == "Dense"),
        normalise=normalise,
    )


def _short(kind: str) -> str:
    """`sentence_transformers.base.modules.dense.Dense` to `Dense`; "" for a module that is not known."""
    package, _, name = kind.rpartition(".")
    known = {"Transformer", "Pooling", "Dense", "Normalize", "StaticEmbedding"}
    return name if package.split(".")[0] == "sentence_transformers" and name in known else ""


def _read_pooling(at: Path) -> tuple[Pooling, bool]:
    config = read_json(at / "config.json")
    if "pooling_mode" in config:
        said = config["pooling_mode"]
        modes = [said] if isinstance(said, str) else list(said)
    else:
        # Without one flag set, sentence-transformers takes the mean; without the file it cannot load at all.
        modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)] or (["mean"] if config else [])
    if len(modes) != 1 or modes[0] not in _MODES:
        _refuse(
            at, f"pooling {' + '.join(map(str, modes)) or 'that is not said'}", f"one of {', '.join(_MODES)}"
        )
    return _MODES[modes[0]], bool(config.get("include_prompt", True))


def _read_projection(at: Path) -> Projection:
    config = read_json(at / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    package, _, short = activation.rpartition(".")
    if not package.startswith("torch.nn") or short not in _ACTIVATIONS:
        _refuse(at, f"a Dense layer with activation {activation}", "Identity or Tanh")
    if config.get("use_residual") or config.get("module_input_name", "sentence_embedding") != (
        config.get("module_output_name") or "sentence_embedding"
    ):
        _refuse(at, "a Dense layer with a residual or between other features", "a Dense layer after pooling")
    weight = at / "model.safetensors"
    if not weight.is_file():
        raise ModelUnsupported(
            f"{at} has no model.safetensors"
            + (", only pickled weights (pytorch_model.bin)" if (at / "pytorch_model.bin").is_file() else ""),
            wanted="weights in safetensors: a pickle runs code when it is loaded",
            next_step=_TO_SAFETENSORS,
        )
    try:
        in_dim, out_dim = int(config["in_features"]), int(config["out_features"])
    except (KeyError, TypeError, ValueError):
        _refuse(
            at, "a Dense layer that does not say its in_features and out_features", "both in its config.json"
        )
    return Projection(weight, in_dim, out_dim, bool(config.get("bias", True)), _ACTIVATIONS[short])


def is_onnx_part(name: str) -> bool:
    """Whether a file beside model.onnx holds some of its weights: those of more than 2 GB lie in
    model.onnx_data, and older exporters write single tensors to files without a suffix.
    """
    return name.startswith("model.onnx_data") or "." not in name


def find_weights(base: Path, folder: Path) -> Path:
    """model.safetensors, its index, or an ONNX file. Raises ModelUnsupported for pickles and for nothing."""
    for at in dict.fromkeys((base, folder)):
        for name in ("model.safetensors", "model.safetensors.index.json", "onnx/model.onnx", "model.onnx"):
            if (at / name).is_file():
                return at / name
    pickles = sorted(path.name for path in (*base.glob("*.bin"), *base.glob("*.pt"), *base.glob("*.ckpt")))
    raise ModelUnsupported(
        f"{folder} holds {'only pickled weights (' + ', '.join(pickles) + ')' if pickles else 'no weights'}",
        wanted="model.safetensors (or onnx/model.onnx): a pickle runs code when it is loaded",
        next_step=_TO_SAFETENSORS if pickles else "check the path, or fetch the model again",
    )


def _refuse(folder: Path, came: str, wanted: str = "") -> NoReturn:
    raise ModelUnsupported(
        f"{folder} has {came}",
        wanted=wanted
        or "Transformer, Pooling, Dense, Normalize in this order, or StaticEmbedding, Dense, Normalize",
        next_step="choose a model built of these modules: `gnomon models` lists some",
    )
