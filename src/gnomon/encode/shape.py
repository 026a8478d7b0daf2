"""Which kind of model a folder holds, by what its files say."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from gnomon.encode.folder import read_json
from gnomon.encode.limits import sentence_config
from gnomon.encode.modules import read_parts
from gnomon.encode.router import is_routed

Shape = Literal["single", "dual", "late", "cross"]


def shape_of(folder: Path, *, carded: bool = False) -> Shape:
    """One vector a text, two towers, a vector a token, or a score for a pair.

    A bare folder of transformers' is what its config's architecture says, unless a card knows the model.
    Raises ModelUnsupported for modules that no kind has.
    """
    parts = read_parts(folder)
    kind = read_json(folder / "config_sentence_transformers.json").get("model_type")
    if parts is None:
        architectures = read_json(folder / "config.json").get("architectures") or [""]
        classifies = str(architectures[0]).endswith("ForSequenceClassification")
        return "cross" if kind == "CrossEncoder" or (classifies and not carded) else "single"
    if is_routed(parts):
        return "dual"
    names = [part.kind for part in parts]
    if "MaxSimScore" in names:
        return "cross"
    if kind == "MultiVectorEncoder" or "MultiVectorMask" in names:
        return "late"
    task = sentence_config(parts[0].at).get("transformer_task") if parts else None
    if names == ["Transformer"] and (kind == "CrossEncoder" or task == "sequence-classification"):
        return "cross"
    return "single"
