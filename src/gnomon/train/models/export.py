"""A transformer's weights as an ONNX file, for families that gnomon has no network of.

By torch's exporter (torch.export, onnxscript). The older exporter, by tracing, is not used: of a batch without padding
it makes files that ignore the mask.
"""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gnomon.core.errors import ModelUnsupported, missing_extra
from gnomon.core.files import replacing, storage_errors
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.modules import architecture_of, refuse_adapter
from gnomon.train.models.backbone import base_folder, quiet_transformers

ONNX_LIBRARIES = ("transformers", "onnx", "onnxscript")
_LARGEST_IN_ONE_FILE = 1_800_000_000  # bytes: protobuf holds no 2 GB
_UPDATE = "pip install -U torch onnxscript transformers, or choose another model: `gnomon models` lists some"
_TOLERANCE = 1e-2  # of the largest value of a hidden state


class _HiddenState(nn.Module):  # type: ignore[misc]
    """A network with ids and mask in, and its last hidden state out."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        out = self.network(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        return out.last_hidden_state


def export_onnx(name: str | Path) -> Path:
    """Write onnx/model.onnx into a model's folder, from its safetensors, and return its path.

    The file is run before it takes its place, on padded batches, and must give the network's hidden states. Raises
    ModelNotFound; InvalidInput without the extra gnomon[export]; ModelUnsupported for cross-encoders, dual encoders,
    and networks that transformers does not load or torch does not export; StorageError.
    """
    missing = [library for library in ONNX_LIBRARIES if importlib.util.find_spec(library) is None]
    if missing:
        raise missing_extra(" and ".join(missing), extra="export")
    folder = locate(name).folder
    base = base_folder(folder)
    refuse_adapter(base)
    if architecture_of(folder, carded=True) in ("cross", "dual"):
        raise ModelUnsupported(
            f"{folder}, of which no single network makes the vectors",
            expected="a model of one network, with its last hidden state pooled",
            hint="train it from a backbone of one of the families that gnomon runs, such as BERT or XLM-R",
        )
    network = _network(base)
    with storage_errors(base):
        (base / "onnx").mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base / "onnx") as scratch:
            made = Path(scratch) / "model.onnx"
            with _quiet():
                _export(network, made, folder)
                _require_same_states(network, made, folder)
            for file in sorted(Path(scratch).iterdir(), key=lambda path: path == made):
                with replacing(base / "onnx" / file.name) as beside:
                    file.replace(beside)
    return base / "onnx" / "model.onnx"


def _network(base: Path) -> _HiddenState:
    import transformers

    try:
        with quiet_transformers():
            network = transformers.AutoModel.from_pretrained(
                base,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="eager",
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelUnsupported(
            f"{base} is not loaded by transformers: {str(error).strip().splitlines()[0]}",
            expected="weights in safetensors, of a family that transformers has",
            hint="see whether the model's page asks for a newer transformers",
        ) from error
    if network.config.is_encoder_decoder:
        raise ModelUnsupported(
            f"{base}, a {network.config.model_type}, which has an encoder and a decoder",
            expected="one network that gives token vectors",
            hint="choose another model: `gnomon models` lists some",
        )
    network.config.use_cache = False
    made = _HiddenState(network)
    made.eval()
    return made


def _export(network: _HiddenState, file: Path, folder: Path) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.parameters())
    axes = {0: "texts", 1: "tokens"}
    try:
        torch.onnx.export(
            network,
            _padded_batch(network, 2, 9),
            str(file),
            input_names=["input_ids", "attention_mask"],
            output_names=["last_hidden_state"],
            dynamo=True,
            dynamic_shapes=(axes, axes),
            external_data=size > _LARGEST_IN_ONE_FILE,
            verbose=False,
        )
    except Exception as error:  # the exporter raises whatever a network's code does while it is traced
        raise ModelUnsupported(
            f"{folder} is not exported by torch {torch.__version__}: {str(error).strip().splitlines()[0]}",
            expected="a network whose operators ONNX has",
            hint=_UPDATE,
        ) from error


def _require_same_states(network: _HiddenState, file: Path, folder: Path) -> None:
    from gnomon.encode.graph.compiled import CompiledModel
    from gnomon.encode.graph.heads import token_model
    from gnomon.encode.graph.network import read_onnx
    from gnomon.encode.settings import EncoderSettings

    made = read_onnx(file)
    runner = CompiledModel(token_model(made), EncoderSettings(precision="fp32"), keep_alive=made.keep_alive)
    for texts, tokens in ((1, 3), (3, 17)):
        ids, mask = _padded_batch(network, texts, tokens)
        with torch.inference_mode():
            expected = network(ids, mask).numpy()
        found = runner.run(ids.numpy().astype(np.int32), mask.sum(1).numpy().astype(np.int32))
        kept = mask.numpy().astype(bool)
        apart = np.abs(found - expected)[kept].max() / max(np.abs(expected[kept]).max(), 1e-6)
        if not apart <= _TOLERANCE:
            raise ModelUnsupported(
                f"the ONNX file made of {folder} gives other hidden states than its network, by {apart:.0%}",
                expected="equal ones",
                hint=_UPDATE,
            )


def _padded_batch(network: _HiddenState, texts: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Ids that any vocabulary has, and a mask with the last text shorter than the others."""
    size = int(network.network.config.vocab_size)
    ids = torch.arange(texts * tokens).reshape(texts, tokens) * 7 % (size - 1) + 1
    mask = torch.ones_like(ids)
    if texts > 1:
        mask[-1, tokens // 2 :] = 0
    return ids, mask


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which reports optional libraries that are not there."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
