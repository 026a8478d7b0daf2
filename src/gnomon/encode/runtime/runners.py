"""What runs an encoder's network: OpenVINO on the CPU, or torch where it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.encode.layout.cross_encoder import CrossLayout
from gnomon.encode.layout.late_interaction import LateLayout
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.runtime.tokenizer import TextTokenizer
from gnomon.encode.settings import EncoderSettings

if TYPE_CHECKING:
    from gnomon.encode.graph.network import Network

Array = np.ndarray[Any, np.dtype[Any]]


class Runner(Protocol):
    """A network ready to run, from several threads at once; what goes in and out is the graph's to say."""

    def run(self, *inputs: Array) -> Array:
        """int32 ids [texts, tokens] and lengths [texts], and the count of leading tokens not to pool for a
        model that leaves its prompt out, to float32 [texts, dim] or [texts, tokens, hidden]."""
        ...


def text_runner(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Runner:
    """Gives one vector a text. Raises ModelUnsupported where the weights do not make the network."""
    if settings.on_torch:
        from gnomon.encode.runtime.torch_runner import TorchRunner

        return TorchRunner(layout, settings, pools=True)
    if settings.precision == "int8":
        return _checked_int8(layout, settings, tokenizer)
    return _compiled(_network(layout), layout, settings)


def token_runner(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Runner:
    """Gives the last hidden state. Raises ModelUnsupported where the weights do not make the network."""
    if settings.on_torch:
        from gnomon.encode.runtime.torch_runner import TorchRunner

        return TorchRunner(layout, settings, pools=False)
    from gnomon.encode.graph.head import token_model
    from gnomon.encode.runtime.compiled import Compiled

    int8 = settings.precision == "int8"
    network = _int8_network(layout, settings, tokenizer) if int8 else _network(layout)
    return Compiled(token_model(network), settings, holds=network.holds)


def late_runner(layout: LateLayout, settings: EncoderSettings) -> Runner:
    """Gives a projected, normalised vector a token. Raises ModelUnsupported as the others do."""
    from gnomon.encode.graph.head import late_model
    from gnomon.encode.graph.network import build
    from gnomon.encode.runtime.compiled import Compiled

    model, holds = late_model(build(layout), layout)
    return Compiled(model, settings, holds=holds)


def pair_runner(layout: CrossLayout, settings: EncoderSettings) -> Runner:
    """Gives one score a pair. Raises ModelUnsupported as the others do."""
    from gnomon.encode.graph.cross_encoder import pair_model
    from gnomon.encode.runtime.compiled import Compiled

    model, holds = pair_model(layout)
    return Compiled(model, settings, holds=holds)


def require_floating(settings: EncoderSettings, name: str) -> None:
    """Raise InvalidInput for a device or a precision that only encoders of one vector a text have."""
    asked = settings.device if settings.on_torch else settings.precision
    if settings.on_torch or asked == "int8":
        raise InvalidInput(
            f"{asked!r} for {name}",
            expected="the CPU and floating point: late-interaction models and cross-encoders run there only",
            hint="leave out device, and leave precision at auto, bf16 or fp32",
        )


def _compiled(network: Network, layout: ModelLayout, settings: EncoderSettings) -> Runner:
    from gnomon.encode.graph.head import text_model
    from gnomon.encode.runtime.compiled import Compiled

    model, holds = text_model(network, layout)
    return Compiled(model, settings, holds=holds)


def _network(layout: ModelLayout) -> Network:
    if layout.weights.suffix == ".onnx":
        from gnomon.encode.runtime.compiled import read

        return read(Path(layout.weights))
    from gnomon.encode.graph.network import build

    return build(layout)


def _int8_network(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Network:
    from gnomon.encode.graph.int8 import calibrate, quantised
    from gnomon.encode.graph.network import build
    from gnomon.encode.runtime.calibration import calibration_rows

    ranges = calibrate(layout, calibration_rows(tokenizer), settings.thread_count)
    return build(layout, quantised(ranges))


def _checked_int8(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Runner:
    from gnomon.encode.graph.int8 import require_faithful
    from gnomon.encode.runtime.calibration import probe_rows

    rows = probe_rows(tokenizer)
    exact = EncoderSettings(threads=settings.threads, precision="fp32")
    wanted = _vectors(_compiled(_network(layout), layout, exact), layout, rows)
    runner = _compiled(_int8_network(layout, settings, tokenizer), layout, settings)
    require_faithful(_vectors(runner, layout, rows), wanted, layout.name)
    return runner


def _vectors(runner: Runner, layout: ModelLayout, rows: Sequence[Array]) -> Array:
    skip = () if layout.include_prompt else (np.array(0, dtype=np.int32),)
    return np.concatenate([runner.run(row[None, :], np.array([len(row)], dtype=np.int32), *skip) for row in rows])
