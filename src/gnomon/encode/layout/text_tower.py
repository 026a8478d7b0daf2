"""The text tower of a model of texts and images: how CLIP and SigLIP make one vector of a text's tokens.

As transformers' get_text_features does, checked against 5.23.0; sentence-transformers calls that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnomon.encode.layout.families.clip import CLIP_NAMES, TEXT_DEFAULTS
from gnomon.encode.layout.files import read_json, safetensors_header, special_token
from gnomon.encode.layout.vector_layers import ProjectionLayer

EndToken = int | Literal["highest"]


@dataclass(frozen=True)
class TowerHead:
    """The end of a text tower. See `ModelLayout` for `end_token` and `filler`."""

    projections: tuple[ProjectionLayer, ...]
    end_token: EndToken | None
    filler: str


def is_text_tower(config: Mapping[str, Any]) -> bool:
    """Whether a config is of a family with a text tower."""
    return config.get("model_type") in TEXT_DEFAULTS


def read_tower_head(base: Path, config: Mapping[str, Any], weights: Path) -> TowerHead:
    """What follows the tower's tokens. `config` is that of the tower, `text_config` of config.json on top.

    CLIP pools at the first end-of-text token (Radford et al. 2021, arXiv:2103.00020, section 2.4); configs with
    its id as 2 are older than that rule, and mean the highest id. SigLIP pools at the last of as many tokens as it
    has positions, filler included.
    """
    if str(config["model_type"]).startswith("siglip"):
        return TowerHead(_projections(weights, ("head",)), None, special_token(base, ["pad_token"]) or "")
    end = int(config["eos_token_id"])
    return TowerHead(_projections(weights, ("text_projection",)), "highest" if end == 2 else end, "")


def _projections(weights: Path, names: Sequence[str]) -> tuple[ProjectionLayer, ...]:
    """The linear layer of one of these names beside the tower or within it; none where the file has none."""
    shapes = _shapes(weights)
    table = next((name for name in shapes if name.endswith(CLIP_NAMES.word_embeddings)), "")
    prefix = table.removesuffix(CLIP_NAMES.word_embeddings)
    for name in (f"{at}{name}" for name in names for at in dict.fromkeys((prefix, ""))):
        if shape := shapes.get(f"{name}.weight"):
            bias = f"{name}.bias" in shapes
            return (ProjectionLayer(weights, shape[1], shape[0], bias, "identity", name=name),)
    return ()


def _shapes(weights: Path) -> dict[str, list[int]]:
    files = [weights]
    if weights.suffix == ".json":
        files = [weights.parent / name for name in sorted(set(read_json(weights).get("weight_map", {}).values()))]
    if weights.suffix == ".onnx":
        return {}
    return {name: entry["shape"] for file in files for name, entry in safetensors_header(file).items()}
