"""A model on torch, for GPUs: its network, pooling and heads."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.forking import is_forked_child
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.settings import EncoderSettings

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = Any  # torch.Tensor, where torch is installed
Tensors = Mapping[str, Tensor]


def require_device(settings: EncoderSettings) -> None:
    """Raise InvalidInput where torch, or the GPU that is asked for, is not there."""
    if importlib.util.find_spec("torch") is None:
        raise InvalidInput(
            f"device {settings.device!r} without torch",
            expected="torch, which only GPUs need",
            hint="pip install 'gnomon[torch]', or leave out `device` to encode on the CPU",
        )
    if settings.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise InvalidInput(
                f"device 'cuda', and torch {torch.__version__} sees no GPU",
                expected="a GPU with its driver, and a torch built for it",
                hint="check nvidia-smi and pytorch.org/get-started/locally, or leave out `device`",
            )


class TorchRunner:
    """A model on torch, from several threads at once. Pools where `pools`, else gives the last hidden state.

    bf16 where the device multiplies it in hardware, else fp32, unless settings.precision says which. Raises
    ModelUnsupported as the OpenVINO graph does, InvalidInput without torch or GPU.
    """

    def __init__(self, layout: ModelLayout, settings: EncoderSettings, *, pools: bool) -> None:
        require_device(settings)
        import torch

        from gnomon.encode.runtime.torch_network import TorchNetwork

        self._layout, self._pools = layout, pools
        self._device = torch.device("cuda" if settings.device == "cuda" else "cpu")
        self._network = TorchNetwork(layout, device=self._device, dtype=_dtype(settings))
        self._heads = [self._head(projection) for projection in layout.projections] if pools else []
        attention = layout.attention if pools else None
        self._query = None if attention is None else self._moved(Weights(attention)["query"].float32(), torch.float32)
        threads = 1 if is_forked_child() else settings.thread_count  # OpenMP would wait for the parent's threads
        self._threads = threads if settings.device == "torch-cpu" else None

    def run(self, *inputs: Array) -> Array:
        """int32 ids and lengths, and how many leading tokens not to pool, to float32 rows."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        ids, lengths = (torch.from_numpy(array).to(self._device, torch.int64) for array in inputs[:2])
        with torch.inference_mode():
            positions = torch.arange(ids.shape[1], device=self._device)
            inside = positions < lengths[:, None]
            hidden = self._network.hidden(ids, inside).float()
            if self._pools:
                first = int(inputs[2]) if len(inputs) > 2 else 0
                hidden = self._text(hidden, inside & (positions >= first), ids, lengths, first=first)
            return np.asarray(hidden.cpu().numpy(), dtype=np.float32)

    def _text(self, hidden: Tensor, keep: Tensor, ids: Tensor, lengths: Tensor, *, first: int) -> Tensor:  # noqa: PLR0917
        import torch

        pooling, end = self._layout.pooling, self._layout.end_token
        if end is not None:
            found = ids == (ids.amax(1, keepdim=True) if end == "highest" else end)
            x = hidden[torch.arange(len(hidden), device=hidden.device), found.int().argmax(1)]
        elif pooling in ("mean", "weightedmean", "attention"):
            x = _weighted_mean(hidden, _token_weights(hidden, keep, pooling=pooling, query=self._query))
        else:
            x = _picked(hidden, keep, lengths, pooling=pooling, first=first)
        for weight, bias, activation in self._heads:
            x = torch.nn.functional.linear(x, weight, bias)
            x = torch.tanh(x) if activation == "tanh" else x
        return torch.nn.functional.normalize(x, dim=1) if self._layout.normalise else x

    def _moved(self, values: Array, dtype: torch.dtype) -> Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device, dtype)

    def _head(self, projection: Any) -> tuple[Tensor, Tensor | None, str]:
        import torch

        weights = Weights(projection.weight)
        moved = partial(self._moved, dtype=torch.float32)
        bias = moved(weights[f"{projection.name}.bias"].float32()) if projection.bias else None
        return moved(weights[f"{projection.name}.weight"].float32()), bias, projection.activation


def _token_weights(hidden: Tensor, keep: Tensor, *, pooling: str, query: Tensor | None) -> Tensor:
    """As kernels.pooling.pool weighs the tokens to keep."""
    import torch

    if pooling == "attention" and query is not None:
        scores = hidden @ query / len(query) ** 0.5
        return torch.softmax(scores.masked_fill(~keep, -1e9), dim=1)
    weights = keep.to(hidden.dtype)
    if pooling == "weightedmean":
        weights = weights * torch.arange(1, keep.shape[1] + 1, device=keep.device)
    return weights


def _weighted_mean(hidden: Tensor, weights: Tensor) -> Tensor:
    return (hidden * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True).clamp(min=1e-9)


def _picked(hidden: Tensor, keep: Tensor, lengths: Tensor, *, pooling: str, first: int) -> Tensor:
    """As kernels.pooling.pool picks among the tokens to keep."""
    import torch

    if pooling == "max":
        return hidden.masked_fill(~keep[:, :, None], -torch.inf).amax(1)
    if pooling == "cls":
        return hidden[:, first]
    return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]


def _dtype(settings: EncoderSettings) -> torch.dtype:
    import torch

    if settings.precision == "auto":
        fast = settings.device == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if settings.precision == "bf16" else torch.float32
