"""Layers on a text's vector: the modules Dense, LayerNorm and Normalize of sentence-transformers after its pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from gnomon.core.errors import ModelUnsupported
from gnomon.core.files import is_file
from gnomon.encode.digest import digest_file, digest_json
from gnomon.encode.layout.files import read_json, safetensors_header

DenseActivation = Literal["identity", "tanh", "gelu", "relu", "silu", "sigmoid"]
_ACTIVATIONS: Mapping[str, DenseActivation] = {
    "Identity": "identity",
    "Tanh": "tanh",
    "GELU": "gelu",
    "ReLU": "relu",
    "SiLU": "silu",
    "Sigmoid": "sigmoid",
}
TO_SAFETENSORS = (
    "convert them once where torch is installed: load the model with sentence-transformers or transformers "
    "and save it (save_pretrained writes model.safetensors), or take a revision that has model.safetensors"
)


@dataclass(frozen=True)
class ProjectionLayer:
    """A linear layer: `weight` is a safetensors file with NAME.weight and NAME.bias.

    With `residual` the input is added to the output, through the matrix residual.weight where their sizes differ.
    """

    weight: Path
    in_dim: int
    out_dim: int
    bias: bool
    activation: DenseActivation
    name: str = "linear"
    residual: bool = False


@dataclass(frozen=True)
class NormLayer:
    """Layer normalisation, with torch's epsilon of 1e-5: `weight` has norm.weight and norm.bias."""

    weight: Path
    out_dim: int
    epsilon: float = 1e-5


@dataclass(frozen=True)
class UnitLayer:
    """Division by the Euclidean norm, before further layers."""


VectorLayer = ProjectionLayer | NormLayer | UnitLayer


def read_projection(folder: Path, feature: str = "sentence_embedding") -> ProjectionLayer:
    """The linear layer of a Dense module over this feature. Raises ModelUnsupported for another one."""
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    package, _, name = activation.rpartition(".")
    if not package.startswith("torch.nn") or name not in _ACTIVATIONS:
        refuse_layer(folder, f"a Dense layer with activation {activation}", f"one of {', '.join(_ACTIVATIONS)}")
    into = config.get("module_input_name", "sentence_embedding")
    if into != feature or (config.get("module_output_name") or into) != feature:
        refuse_layer(
            folder,
            f"a Dense layer from {into} to {config.get('module_output_name') or into}",
            f"a Dense layer of {feature}",
        )
    try:
        in_dim, out_dim = int(config["in_features"]), int(config["out_features"])
    except (KeyError, TypeError, ValueError):
        refuse_layer(
            folder, "a Dense layer that does not say its in_features and out_features", "both in its config.json"
        )
    residual = bool(config.get("use_residual"))
    bias = bool(config.get("bias", True))
    return ProjectionLayer(layer_weights(folder), in_dim, out_dim, bias, _ACTIVATIONS[name], residual=residual)


def read_norm(folder: Path) -> NormLayer:
    """The layer of a LayerNorm module. Raises ModelUnsupported for one without weights in safetensors."""
    weight = layer_weights(folder)
    shape = safetensors_header(weight).get("norm.weight", {}).get("shape")
    dim = read_json(folder / "config.json").get("dimension")
    if not isinstance(dim, int) or shape != [dim]:
        refuse_layer(folder, f"a LayerNorm of shape {shape} where config.json says {dim}", "one length of both")
    return NormLayer(weight, dim)


def layer_weights(folder: Path) -> Path:
    """model.safetensors of a module's folder. Raises ModelUnsupported where there is none."""
    weight = folder / "model.safetensors"
    if not is_file(weight):
        raise ModelUnsupported(
            f"{folder} has no model.safetensors"
            + (", only pickled weights (pytorch_model.bin)" if is_file(folder / "pytorch_model.bin") else ""),
            expected="weights in safetensors: a pickle runs code when it is loaded",
            hint=TO_SAFETENSORS,
        )
    return weight


def projection_digest(layers: Sequence[VectorLayer]) -> str:
    """Of the layers after pooling; "" for none."""
    return digest_json([_layer_digest(layer) for layer in layers]) if layers else ""


def _layer_digest(layer: VectorLayer) -> list[Any]:
    if isinstance(layer, UnitLayer):
        return ["unit"]
    if isinstance(layer, NormLayer):
        return ["norm", digest_file(layer.weight), layer.out_dim, layer.epsilon]
    plain = [digest_file(layer.weight), layer.in_dim, layer.out_dim, layer.bias, layer.activation]
    plain += [] if layer.name == "linear" else [layer.name]
    return [*plain, "residual"] if layer.residual else plain


def refuse_layer(folder: Path, message: str, expected: str) -> NoReturn:
    """Raise ModelUnsupported for a layer that no graph has."""
    raise ModelUnsupported(
        f"{folder} has {message}",
        expected=expected,
        hint="choose a model built of these modules: `gnomon models` lists some",
    )
