"""Any other family: the repository's ONNX file as the network. Import lazily: this loads openvino."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.network import Network, inputs
from gnomon.encode.graph.pieces import Node, inside, integers, token_range
from gnomon.encode.graph.runtime import core

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
            wanted="a whole ONNX file with opset and operators that OpenVINO knows",
            next_step="fetch it again, or export it anew with optimum-cli export onnx",
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
        wanted="input_ids, attention_mask and token_type_ids",
        next_step="export the model with optimum-cli export onnx --task feature-extraction",
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
        wanted="an output last_hidden_state with a vector a token",
        next_step="export the model with optimum-cli export onnx --task feature-extraction",
    )
