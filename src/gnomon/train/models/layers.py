"""Layers after the network, with gradients: pooling, projection, and the score matrix of the representations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.layout.vector_layers import ProjectionLayer, VectorLayer
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.contracts import Reps

Activation = Literal["identity", "tanh"]
_NAMES: dict[Activation, str] = {
    "identity": "torch.nn.modules.linear.Identity",
    "tanh": "torch.nn.modules.activation.Tanh",
}


class TrainableProjection(nn.Module):  # type: ignore[misc]
    """in_dim to out_dim, in float32 whatever autocast says: it is small, and the last step to the vectors."""

    def __init__(self, in_dim: int, out_dim: int, *, bias: bool = True, activation: Activation = "identity") -> None:
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
        """Initialise to keep angles: the identity, or for other sizes a random matrix of orthonormal rows or
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


def open_projection(saved: VectorLayer) -> TrainableProjection:
    """A Dense of a model's folder. Raises ModelUnsupported for one that does not train, and for another layer."""
    from safetensors.torch import load_file

    if not isinstance(saved, ProjectionLayer) or saved.residual or saved.activation not in ("identity", "tanh"):
        raise ModelUnsupported(
            f"{saved} after pooling, which is served and not trained",
            expected="Dense layers with Identity or Tanh",
            hint="choose another model to start from",
        )
    made = TrainableProjection(saved.in_dim, saved.out_dim, bias=saved.bias, activation=saved.activation)
    made.load_state_dict(load_file(str(saved.weight)))
    return made


PoolingName = Literal["mean", "cls", "last", "max", "weightedmean", "attention"]


def pool(hidden: Tensor, mask: Tensor | None, *, how: PoolingName, skip: int = 0) -> Tensor:
    """[texts, tokens, dim] to [texts, dim] in float32, over the tokens where `mask` is True.

    `mask` None is all; padding is on the right. The first `skip` tokens are left out. "weightedmean" weighs
    each token by its position, from 1 (Muennighoff 2022, SGPT, arXiv:2202.08904); the others as in
    Reimers and Gurevych 2019 (arXiv:1908.10084).
    """
    if how == "cls":
        return hidden[:, skip].float()
    if how == "last":
        if mask is None:
            return hidden[:, -1].float()
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1].float()
    inside = _inside(hidden, mask, skip)
    if how == "max":
        kept = hidden if inside is None else hidden.masked_fill(~inside[:, :, None], -torch.inf)
        return kept.max(1).values.float()
    if how == "mean" and inside is None:
        return hidden.float().mean(1)
    weights = hidden.new_ones(hidden.shape[:2]) if inside is None else inside
    weights = weights.float()
    if how == "weightedmean":
        weights = weights * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    elif how != "mean":
        raise InvalidInput(f"pooling {how!r}", expected=f"one of {', '.join(get_args(PoolingName))}")
    weights = weights / weights.sum(1, keepdim=True)
    # Not in bf16: a mean of many tokens would lose what they share.
    with torch.autocast(hidden.device.type, enabled=False):
        return torch.bmm(weights[:, None], hidden.float())[:, 0]


class TrainablePooling(nn.Module):  # type: ignore[misc]
    """A pooling by name; "attention" has weights of its own."""

    def __init__(self, how: PoolingName, *, dim: int) -> None:
        super().__init__()
        if how not in get_args(PoolingName):
            raise InvalidInput(f"pooling {how!r}", expected=f"one of {', '.join(get_args(PoolingName))}")
        self.how, self.dim = how, dim
        self.attention = AttentionPooling(dim) if how == "attention" else None

    def forward(self, hidden: Tensor, mask: Tensor | None, skip: int = 0) -> Tensor:
        """As `pool`."""
        if self.attention is None:
            return pool(hidden, mask, how=self.how, skip=skip)
        pooled: Tensor = self.attention.pool(hidden, _inside(hidden, mask, skip))
        return pooled

    def config(self, *, include_prompt: bool) -> dict[str, Any]:
        """The config of sentence-transformers' Pooling (6.2)."""
        mode = "lasttoken" if self.how == "last" else self.how
        return {"embedding_dimension": self.dim, "pooling_mode": mode, "include_prompt": include_prompt}


def _inside(hidden: Tensor, mask: Tensor | None, skip: int) -> Tensor | None:
    if not skip:
        return mask
    after = (torch.arange(hidden.shape[1], device=hidden.device) >= skip).expand(hidden.shape[:2])
    return after if mask is None else mask & after


# Token similarities held at a time: 256 MB. The backward pass keeps only where each maximum was.
MAXSIM_CELLS = 1 << 26


def score_matrix(queries: Tensor, documents: Tensor, similarity: Similarity) -> Tensor:
    """[queries, dim] and [documents, dim] to [queries, documents]; euclidean is the negative distance.

    Raises InvalidInput for another similarity.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, documents = queries.float(), documents.float()
        if similarity == "cosine":
            return functional.normalize(queries, dim=1) @ functional.normalize(documents, dim=1).T
        if similarity == "dot":
            return queries @ documents.T
        if similarity == "euclidean":
            return -torch.cdist(queries, documents)
    raise InvalidInput(f"similarity {similarity!r}", expected="cosine, dot or euclidean")


def maxsim(queries: Reps, documents: Reps, *, cells: int = MAXSIM_CELLS) -> Tensor:
    """[queries, documents]: for each query token its nearest document token, summed over the query's tokens.

    Token vectors are normalised here. Khattab and Zaharia 2020, ColBERT, equation 3 (arXiv:2004.12832).
    `cells` bounds how many token similarities are held at a time.
    """
    with torch.autocast(queries.values.device.type, enabled=False):
        left = functional.normalize(queries.values.float(), dim=2)
        right = functional.normalize(documents.values.float(), dim=2)
        step = max(1, cells // max(1, left.shape[1] * right.shape[0] * right.shape[1]))
        kept = queries.mask
        rows = [
            _maxsim(left[at : at + step], None if kept is None else kept[at : at + step], right, mask=documents.mask)
            for at in range(0, len(left), step)
        ]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _maxsim(left: Tensor, kept: Tensor | None, right: Tensor, *, mask: Tensor | None) -> Tensor:
    near = torch.einsum("qid,kjd->qkij", left, right)
    if mask is not None:
        near = near.masked_fill(~mask[None, :, None, :], -torch.inf)
    best = near.max(3).values
    if kept is not None:
        best = best.masked_fill(~kept[:, None, :], 0.0)
    return best.sum(2)
