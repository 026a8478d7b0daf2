"""Any other family: the repository's ONNX file as the network. Import lazily: this loads openvino."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.layers import Node, inside, integers, token_range
from gnomon.encode.graph.network import Network, inputs
from gnomon.encode.settings import EncoderSettings

Array = np.ndarray[Any, np.dtype[Any]]


@lru_cache(maxsize=1)
def core() -> Any:
    """The process's one OpenVINO core."""
    return ov.Core()


class Compiled:
    """A model ready to run on the CPU, from several threads at once: each call borrows its own request."""

    def __init__(self, model: Any, settings: EncoderSettings, *, holds: Any) -> None:
        self._holds = holds  # constants share this memory; it must outlive the compiled model
        self._compiled = core().compile_model(model, "CPU", _options(settings))
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
        precision = "bf16" if "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "fp32"
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


HIDDEN = ("last_hidden_state", "token_embeddings")


def read(file: Path) -> Network:
    """The network in an ONNX file: inputs input_ids, attention_mask and token_type_ids, whichever it has.

    Raises ModelUnsupported for other inputs, and where no output holds a vector a token.
    """
    try:
        model = core().read_model(file)
    except RuntimeError as error:
        raise ModelUnsupported(
            f"{file} cannot be read as ONNX: {str(error).strip().splitlines()[-1]}",
            expected="a whole ONNX file with opset and operators that OpenVINO knows",
            hint="fetch it again, or export it anew with optimum-cli export onnx",
        ) from error
    hidden = _hidden(model, file)
    ids, lengths = inputs()
    for parameter in model.get_parameters():
        node = _feed(parameter, ids, lengths, file)
        parameter.output(0).replace(op.convert(node, parameter.get_element_type()).output(0))
    return Network(ids, lengths, hidden, model)


def _feed(parameter: Any, ids: Node, lengths: Node, file: Path) -> Node:
    names = parameter.output(0).get_names()
    if "input_ids" in names:
        return ids
    if "attention_mask" in names:
        return inside(token_range(ids), lengths)
    if "token_type_ids" in names:
        return op.multiply(ids, integers(0))
    raise ModelUnsupported(
        f"{file} has an input {', '.join(sorted(names))}",
        expected="input_ids, attention_mask and token_type_ids",
        hint="export the model with optimum-cli export onnx --task feature-extraction",
    )


def _hidden(model: Any, file: Path) -> Node:
    outputs = model.outputs
    for wanted in HIDDEN:
        for output in outputs:
            if wanted in output.get_names():
                return output.get_node().input_value(0)
    if outputs[0].get_partial_shape().rank.get_length() == 3:
        return outputs[0].get_node().input_value(0)
    raise ModelUnsupported(
        f"{file} has outputs {', '.join(sorted(name for o in outputs for name in o.get_names()))}",
        expected="an output last_hidden_state with a vector a token",
        hint="export the model with optimum-cli export onnx --task feature-extraction",
    )
