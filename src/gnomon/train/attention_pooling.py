"""Attention pooling: tokens are weighted by their product with one learned query."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput, ModelUnsupported


class AttentionPooling(nn.Module):  # type: ignore[misc]
    """Weights softmax(h·query/sqrt(d)) over a text's tokens; at first all equal, which is the mean.

    One query and no keys or values of its own: Yang et al. 2016, Hierarchical Attention Networks, section
    2.2, without its hidden layer. `load`, `save` and `forward` are what sentence-transformers asks of a
    module, so that it loads a model that has one (with trust_remote_code=True, as for any module not its
    own).
    """

    def __init__(self, dim: int, *, include_prompt: bool = True) -> None:
        super().__init__()
        if dim < 1:
            raise InvalidInput(f"attention pooling of {dim} dimensions", expected="at least 1")
        self.dim, self.include_prompt = dim, include_prompt
        self.query = nn.Parameter(torch.zeros(dim))

    def pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """[texts, tokens, dim] to [texts, dim] in float32; a mask None is all."""
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            fit = hidden @ self.query.float() / math.sqrt(self.dim)
            if mask is not None:
                fit = fit.masked_fill(~mask, -torch.inf)
            return torch.bmm(fit.softmax(1)[:, None], hidden)[:, 0]

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """sentence-transformers' features: reads token_embeddings, adds sentence_embedding."""
        hidden = features["token_embeddings"]
        mask = features["attention_mask"].bool()
        prompt = features.get("prompt_length")
        if prompt is not None and not self.include_prompt:
            skip = int(prompt[0]) if isinstance(prompt, Tensor) else int(prompt)
            mask = mask & (torch.arange(mask.shape[1], device=mask.device) >= skip)
        features["sentence_embedding"] = self.pool(hidden, mask)
        return features

    def get_embedding_dimension(self) -> int:
        """The dimensions that come out."""
        return self.dim

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write config.json and model.safetensors, which has one tensor: query [dim]."""
        from safetensors.torch import save_file

        config = {"dim": self.dim, "include_prompt": self.include_prompt}
        (Path(output_path) / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        weights = {"query": self.query.detach().float().cpu().contiguous()}
        save_file(weights, str(Path(output_path) / "model.safetensors"))

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> AttentionPooling:
        """Load from a local folder. Raises ModelUnsupported if files are missing or invalid."""
        from safetensors.torch import load_file

        folder = Path(model_name_or_path) / subfolder
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            made = cls(int(config["dim"]), include_prompt=bool(config.get("include_prompt", True)))
            made.load_state_dict(load_file(str(folder / "model.safetensors")))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelUnsupported(
                f"{folder} holds no attention pooling: {error}",
                expected="config.json with dim, and model.safetensors with the tensor query [dim]",
                hint="save the model again",
            ) from error
        return made
