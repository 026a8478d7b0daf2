"""Rotary position embeddings as config.json describes them, with the ways of stretching them to longer texts.

In the forms of transformers 4 and 5 (checked against 5.23) and of new-impl.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from gnomon.encode.layout.families.spec import Rotary, refuse_config

Frequencies = Float[np.ndarray, " half"]  # of float64


def rope_parameters(config: Mapping[str, Any], *, theta: float, layer_type: str | None = None) -> dict[str, Any]:
    """The parameters of all layers, or of those of `layer_type`, in the newer form's keys.

    transformers 5 writes `rope_parameters`, by type where there are several; 4 wrote `rope_theta` and `rope_scaling`.
    `theta` is the family's own.
    """
    found = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if layer_type is not None and isinstance(found.get(layer_type), Mapping):
        found = found[layer_type]
    longest = config.get("max_position_embeddings")
    parameters = {
        "original_max_position_embeddings": config.get("original_max_position_embeddings") or longest,
        "partial_rotary_factor": config.get("partial_rotary_factor"),
        **found,
        "max_position_embeddings": longest,
    }
    parameters["rope_theta"] = found.get("rope_theta") or config.get("rope_theta") or theta
    return parameters


def rotary(parameters: Mapping[str, Any], *, head_dim: int) -> Rotary:
    """By `rope_type`, over all dimensions of a head or `partial_rotary_factor` of them.

    Raises ModelUnsupported for a type that is not in `SCALINGS`, and for one whose figures are missing.
    """
    kind = str(parameters.get("rope_type") or parameters.get("type") or "default")
    if kind not in SCALINGS or parameters.get("mixed_b") is not None:
        refuse_config(f"config.json says rope_type = {kind!r}", f"rope_type one of {', '.join(SCALINGS)}")
    dims = int(head_dim * float(parameters.get("partial_rotary_factor") or 1.0))
    try:
        frequencies, scale = SCALINGS[kind](_frequencies(dims, float(parameters["rope_theta"])), parameters)
    except (KeyError, TypeError) as missing:
        refuse_config(f"config.json says rope_type = {kind!r} without {missing}", "all of its figures")
    return Rotary(tuple(float(one) for one in frequencies), scale)


def _frequencies(dims: int, base: float) -> Frequencies:
    """base^(-2i / dims) for i below dims / 2."""
    return np.asarray(base ** (-np.arange(0, dims, 2) / dims))


def _plain(frequencies: Frequencies, _parameters: Mapping[str, Any]) -> tuple[Frequencies, float]:
    """Not stretched. "dynamic" too changes nothing for texts of up to max_position_embeddings, which is the limit."""
    return frequencies, 1.0


def _linear(frequencies: Frequencies, parameters: Mapping[str, Any]) -> tuple[Frequencies, float]:
    """Positions over the factor (Chen et al. 2023, arXiv:2306.15595)."""
    return frequencies / parameters["factor"], 1.0


def _ntk(frequencies: Frequencies, parameters: Mapping[str, Any]) -> tuple[Frequencies, float]:
    """new-impl's: a base that is `factor` times as large, and `factor` spread over the dimensions
    (https://kexue.fm/archives/9706, equation 6)."""
    dims, factor = 2 * len(frequencies), float(parameters["factor"])
    return _frequencies(dims, float(parameters["rope_theta"]) * factor) / factor ** (2 / dims), 1.0


def _llama3(frequencies: Frequencies, parameters: Mapping[str, Any]) -> tuple[Frequencies, float]:
    """Llama 3.1's: low frequencies over the factor, high ones left, those between interpolated."""
    factor, low, high = (parameters[key] for key in ("factor", "low_freq_factor", "high_freq_factor"))
    waves = 2 * math.pi / frequencies
    smooth = np.clip((parameters["original_max_position_embeddings"] / waves - low) / (high - low), 0.0, 1.0)
    return (1 - smooth) * frequencies / factor + smooth * frequencies, 1.0


def _yarn(frequencies: Frequencies, parameters: Mapping[str, Any]) -> tuple[Frequencies, float]:
    """YaRN (Peng et al. 2023, arXiv:2309.00071, sections 3.2 and 3.4)."""
    base, dims = float(parameters["rope_theta"]), 2 * len(frequencies)
    trained = parameters["original_max_position_embeddings"]
    factor = parameters.get("factor") or parameters["max_position_embeddings"] / trained

    def dimension_of(rotations: float) -> float:
        return dims * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = dimension_of(parameters.get("beta_fast") or 32)
    high = dimension_of(parameters.get("beta_slow") or 1)
    if parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dims - 1)
    width = high - low or 0.001
    ramp = np.clip((np.arange(len(frequencies)) - low) / width, 0.0, 1.0)
    return frequencies / factor * ramp + frequencies * (1 - ramp), _yarn_scale(factor, parameters)


def _yarn_scale(factor: float, parameters: Mapping[str, Any]) -> float:
    def scale(times: float) -> float:
        return 0.1 * times * math.log(factor) + 1.0 if factor > 1 else 1.0

    if parameters.get("attention_factor") is not None:
        return float(parameters["attention_factor"])
    one, all_dims = parameters.get("mscale"), parameters.get("mscale_all_dim")
    return scale(one) / scale(all_dims) if one and all_dims else scale(1.0)


SCALINGS: Mapping[str, Callable[[Frequencies, Mapping[str, Any]], tuple[Frequencies, float]]] = {
    "default": _plain,
    "dynamic": _plain,
    "linear": _linear,
    "ntk": _ntk,
    "llama3": _llama3,
    "yarn": _yarn,
}
"""By rope_type."""
