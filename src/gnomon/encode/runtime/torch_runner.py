"""A model on torch, for GPUs: its network, pooling and heads."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.forking import is_forked_child
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

        from gnomon.encode.runtime.torch_head import TorchHead
        from gnomon.encode.runtime.torch_network import TorchNetwork

        self._device = torch.device("cuda" if settings.device == "cuda" else "cpu")
        self._network = TorchNetwork(layout, device=self._device, dtype=_dtype(settings))
        self._head = TorchHead(layout, self._device) if pools else None
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
            if self._head is not None:
                first = int(inputs[2]) if len(inputs) > 2 else 0
                hidden = self._head.vectors(hidden, ids, lengths, first=first)
            return np.asarray(hidden.cpu().numpy(), dtype=np.float32)


def _dtype(settings: EncoderSettings) -> torch.dtype:
    import torch

    if settings.precision == "auto":
        fast = settings.device == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    return torch.bfloat16 if settings.precision == "bf16" else torch.float32
