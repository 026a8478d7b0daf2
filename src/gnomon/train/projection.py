"""A linear layer after pooling, or over each token: sentence-transformers' Dense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.folder import read_json

Activation = Literal["identity", "tanh"]
_NAMES: dict[Activation, str] = {
    "identity": "torch.nn.modules.linear.Identity",
    "tanh": "torch.nn.modules.activation.Tanh",
}


class Projection(nn.Module):  # type: ignore[misc]
    """in_dim to out_dim, in float32 whatever autocast says: it is small, and the last step to the vectors."""

    def __init__(
        self, in_dim: int, out_dim: int, *, bias: bool = True, activation: Activation = "identity"
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim, bias=bias)
        self.activation = activation

    @property
    def out_dim(self) -> int:
        """The dimensions that come out."""
        return int(self.linear.out_features)

    def forward(self, values: Tensor) -> Tensor:
        """[..., in_dim] to [..., out_dim]."""
        with torch.autocast(values.device.type, enabled=False):
            projected: Tensor = self.linear(values.float())
        return projected.tanh() if self.activation == "tanh" else projected

    def save(self, folder: Path, *, between: str = "sentence_embedding") -> None:
        """Write Dense's config.json and model.safetensors; `between` names the features it works on."""
        from safetensors.torch import save_file

        config = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": _NAMES[self.activation],
            "module_input_name": between,
            "module_output_name": between,
        }
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, str(folder / "model.safetensors"))


def open_projection(folder: Path) -> Projection:
    """A Dense of a model's folder. Raises ModelUnsupported for another activation, or no weights."""
    from safetensors.torch import load_file

    config: dict[str, Any] = read_json(folder / "config.json")
    said = str(config.get("activation_function", _NAMES["tanh"])).rpartition(".")[2].lower()
    weights = folder / "model.safetensors"
    if said not in _NAMES or config.get("use_residual") or not weights.is_file():
        raise ModelUnsupported(
            f"{folder} has a Dense layer with activation {said}"
            + (", with a residual" if config.get("use_residual") else "")
            + ("" if weights.is_file() else ", without model.safetensors"),
            wanted="Identity or Tanh without a residual, weights in safetensors",
            next_step="choose another model to start from",
        )
    activation: Activation = "tanh" if said == "tanh" else "identity"
    made = Projection(
        int(config["in_features"]),
        int(config["out_features"]),
        bias=bool(config.get("bias", True)),
        activation=activation,
    )
    made.load_state_dict(load_file(str(weights)))
    return made
