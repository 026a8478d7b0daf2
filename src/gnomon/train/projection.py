"""A linear layer after pooling, or over each token: sentence-transformers' Dense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from gnomon.encode.modules import Projection as Saved

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

    def keep_angles(self, seed: int = 0) -> None:
        """Start where it came from: the identity, or for other sizes a random matrix of orthonormal rows or
        columns, which changes inner products least.
        """
        weight = self.linear.weight
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            start = nn.init.eye_ if weight.shape[0] == weight.shape[1] else nn.init.orthogonal_
            start(weight)
            if self.linear.bias is not None:
                nn.init.zeros_(self.linear.bias)

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


def open_projection(saved: Saved) -> Projection:
    """A Dense of a model's folder."""
    from safetensors.torch import load_file

    made = Projection(saved.in_dim, saved.out_dim, bias=saved.bias, activation=saved.activation)
    made.load_state_dict(load_file(str(saved.weight)))
    return made
