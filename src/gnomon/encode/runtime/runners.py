"""The network of each kind of encoder, ready to run: on OpenVINO, or on torch where that is set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.forking import fork_aware, leak
from gnomon.encode.layout.cross_encoder import CrossEncoderLayout
from gnomon.encode.layout.late_interaction import LateInteractionLayout
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.layout.sparse import SparseTower
from gnomon.encode.runtime.tokenizer import TextTokenizer
from gnomon.encode.settings import EncoderSettings

if TYPE_CHECKING:
    from gnomon.encode.graph.network import Network

Array = np.ndarray[Any, np.dtype[Any]]


class Runner(Protocol):
    """A network ready to run, from several threads at once."""

    def run(self, *inputs: Array) -> Array:
        """int32 ids [texts, tokens] and lengths [texts], and the count of leading tokens not to pool for a
        model that leaves its prompt out, to float32 [texts, dim] or [texts, tokens, hidden]."""
        ...


class LazyRunner:
    """A runner that `make` builds when it is first used, once, by any of several threads."""

    def __init__(self, make: Callable[[], Runner]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._runner: Runner | None = None
        fork_aware(self)

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """The network's threads are the parent's: the child builds its own, or is told why it cannot."""
        leak(self._runner)
        self._runner, self._lock = None, threading.Lock()

    def build(self) -> Runner:
        """The runner, built now if it was not yet. After an error the next call tries again."""
        if self._runner is None:
            with self._lock:
                if self._runner is None:
                    self._runner = self._make()
        return self._runner

    def run(self, *inputs: Array) -> Array:
        """See `Runner.run`."""
        return self.build().run(*inputs)


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
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.heads import token_model

    int8 = settings.precision == "int8"
    network = _int8_network(layout, settings, tokenizer) if int8 else _network(layout)
    return CompiledModel(token_model(network), settings, keep_alive=network.keep_alive)


def late_runner(layout: LateInteractionLayout, settings: EncoderSettings) -> Runner:
    """Gives a projected, normalised vector a token. Raises ModelUnsupported as the others do."""
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.heads import late_model
    from gnomon.encode.graph.network import build_network

    model, keep_alive = late_model(build_network(layout), layout)
    return CompiledModel(model, settings, keep_alive=keep_alive)


def pair_runner(layout: CrossEncoderLayout, settings: EncoderSettings) -> Runner:
    """Gives one score a pair. Raises ModelUnsupported as the others do."""
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.heads import pair_model

    model, keep_alive = pair_model(layout)
    return CompiledModel(model, settings, keep_alive=keep_alive)


def sparse_runner(tower: SparseTower, settings: EncoderSettings) -> Runner:
    """Gives a weight for each token of the vocabulary, or of the text. Raises ModelUnsupported as the others do."""
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.sparse import sparse_model

    model, keep_alive = sparse_model(tower)
    return CompiledModel(model, settings, keep_alive=keep_alive)


def require_floating(settings: EncoderSettings, name: str) -> None:
    """Raise InvalidInput for a device or a precision that only encoders of one vector a text have."""
    unsupported = settings.device if settings.on_torch else settings.precision
    if settings.on_torch or unsupported == "int8":
        raise InvalidInput(
            f"{unsupported!r} for {name}",
            expected="the CPU and floating point: late-interaction, sparse and cross-encoders run there only",
            hint="leave out device, and leave precision at auto, bf16 or fp32",
        )


def _compiled(network: Network, layout: ModelLayout, settings: EncoderSettings) -> Runner:
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.heads import text_model

    model, keep_alive = text_model(network, layout)
    return CompiledModel(model, settings, keep_alive=keep_alive)


def _network(layout: ModelLayout) -> Network:
    from gnomon.encode.graph.network import build_network, read_onnx

    if layout.weights.suffix == ".onnx":
        return read_onnx(layout.weights, exported_from=layout.exported_from)
    return build_network(layout)


def _int8_network(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Network:
    from gnomon.encode.graph.int8 import calibrate, quantised_linear
    from gnomon.encode.graph.network import build_network
    from gnomon.encode.runtime.calibration import MIGRATION_STRENGTH, calibration_rows

    rows = calibration_rows(tokenizer)
    ranges = calibrate(layout, rows, migration=MIGRATION_STRENGTH, threads=settings.thread_count)
    return build_network(layout, quantised_linear(ranges))


def _checked_int8(layout: ModelLayout, settings: EncoderSettings, tokenizer: TextTokenizer) -> Runner:
    from gnomon.encode.graph.int8 import require_faithful
    from gnomon.encode.runtime.calibration import probe_rows

    rows = probe_rows(tokenizer)
    exact = EncoderSettings(threads=settings.threads, precision="fp32")
    expected = _vectors(_compiled(_network(layout), layout, exact), layout, rows)
    runner = _compiled(_int8_network(layout, settings, tokenizer), layout, settings)
    require_faithful(_vectors(runner, layout, rows), expected, layout.name)
    return runner


def _vectors(runner: Runner, layout: ModelLayout, rows: Sequence[Array]) -> Array:
    skip = () if layout.include_prompt else (np.array(0, dtype=np.int32),)
    return np.concatenate([runner.run(row[None, :], np.array([len(row)], dtype=np.int32), *skip) for row in rows])
