"""Whether an ONNX file holds the weights of the safetensors that it lies beside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.weights import StoredTensor, Weights
from gnomon.encode.layout.export import export_hint

Array = np.ndarray[Any, np.dtype[Any]]
_SAMPLES = 64
# How far a value may be from the one that it was exported from, by the type that the ONNX file stores it in.
_ROUNDING: Mapping[str, float] = {"f16": 1e-3, "bf16": 8e-3}
_EXACT = 1e-6


def require_same_weights(model: Any, file: Path, weights: Path) -> None:
    """Raise ModelUnsupported where matrices of an ONNX file and of safetensors are of two trainings.

    `model` is OpenVINO's. A sample of values of each matrix is compared, as it is and transposed, as exporters lay
    out linear layers. Matrices that one of the two lacks (heads, fused or quantised layers) say nothing: the files
    differ where both have matrices of one shape that nothing in the other matches.
    """
    constants, tensors = _constants(model), _matrices(Weights(weights))
    for shape, stored in sorted(tensors.items()):
        held = constants.get(shape, [])
        orphans = [one for one in held if not any(_alike(one, other) for _, other in stored)]
        lost = [name for name, one in stored if not any(_alike(other, one) for other in held)]
        if orphans and lost:
            raise ModelUnsupported(
                f"{file} was exported from other weights than those in {weights.name} beside it: {lost[0]} is in none "
                "of its matrices",
                expected="an ONNX file of the weights beside it",
                hint=export_hint(file.parent.parent if file.parent.name == "onnx" else file.parent),
            )


def _constants(model: Any) -> Mapping[tuple[int, ...], list[tuple[Array, float]]]:
    """The floating-point matrices by shape, the smaller side first, each with the rounding of its type."""
    found: dict[tuple[int, ...], list[tuple[Array, float]]] = defaultdict(list)
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        shape = tuple(node.get_output_shape(0))
        if len(shape) == 2 and min(shape) > 1:
            rounding = _ROUNDING.get(node.get_element_type().get_type_name(), _EXACT)
            found[tuple(sorted(shape))].append((np.asarray(node.data), rounding))
    return found


def _matrices(weights: Weights) -> Mapping[tuple[int, ...], list[tuple[str, StoredTensor]]]:
    found: dict[tuple[int, ...], list[tuple[str, StoredTensor]]] = defaultdict(list)
    for name, stored in weights.items():
        shape = stored.bits.shape
        if stored.dtype in ("F32", "F16", "BF16") and len(shape) == 2 and min(shape) > 1:
            found[tuple(sorted(shape))].append((name, stored))
    return found


def _alike(constant: tuple[Array, float], stored: StoredTensor) -> bool:
    values, rounding = constant
    for bits in (stored.bits, stored.bits.T):
        if bits.shape == values.shape:
            places = np.unravel_index(np.linspace(0, values.size - 1, _SAMPLES).astype(np.int64), values.shape)
            a = values[places].astype(np.float64)
            b = StoredTensor(stored.dtype, bits[places]).float32().astype(np.float64)
            if np.all(np.abs(a - b) <= rounding * (np.abs(b) + 1e-2 * np.abs(b).max())):
                return True
    return False
