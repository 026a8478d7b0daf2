"""Models compiled by OpenVINO for the CPU. Import lazily: this loads openvino."""

from __future__ import annotations

import os
from collections import deque
from functools import lru_cache
from typing import Any

import numpy as np
import openvino as ov

from gnomon.core.errors import ForkedProcess
from gnomon.encode.settings import EncoderSettings

Array = np.ndarray[Any, np.dtype[Any]]


@lru_cache(maxsize=1)
def _core_and_owner() -> tuple[Any, int]:
    return ov.Core(), os.getpid()


def openvino_core() -> Any:
    """The process's one OpenVINO core.

    Raises ForkedProcess in a child that was forked after its parent had one: the thread pools behind it are the
    parent's, and what is compiled in the child may wait for them for ever.
    """
    core, owner = _core_and_owner()
    if owner != os.getpid():
        raise ForkedProcess(
            "this process was forked after its parent had loaded a model, whose threads a child does not have",
            expected="a process that was started anew, or forked before the first model was loaded",
            hint='multiprocessing.get_context("spawn"), or load the model and search only after the fork '
            "(gunicorn: no warm-up search in a preloaded app); keyword search works here all the same",
        )
    return core


class CompiledModel:
    """A model ready to run on the CPU, from several threads at once: each call borrows its own request."""

    def __init__(self, model: Any, settings: EncoderSettings, *, keep_alive: Any) -> None:
        self._keep_alive = keep_alive  # the memory that the model's constants share
        self._compiled = openvino_core().compile_model(model, "CPU", _options(settings))
        self._idle: deque[Any] = deque()

    def run(self, *inputs: Array) -> Array:
        """The model's only output, copied out of the request's memory."""
        return self.run_all(*inputs)[0]

    def run_all(self, *inputs: Array) -> list[Array]:
        """All outputs, copied out of the request's memory."""
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        request.infer(list(inputs), share_inputs=True)
        out = [np.array(tensor.data, dtype=np.float32) for tensor in request.output_tensors]
        self._idle.append(request)
        return out


def _options(settings: EncoderSettings) -> dict[str, Any]:
    precision = settings.precision
    if precision in ("auto", "int8"):  # what int8 leaves in floating point
        precision = "bf16" if "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"
    return {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        # A thread for each inference, and as many of these at once: threads that share one wait for each
        # other after every operation, and on a machine with other work two are slower than one.
        "INFERENCE_NUM_THREADS": settings.lanes,
        "NUM_STREAMS": settings.lanes,
        # Two processes that pin their threads to the same cores halve each other's speed.
        "ENABLE_CPU_PINNING": False,
    }
