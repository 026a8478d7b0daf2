"""Tensors of safetensors files, memory-mapped and not copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.backbone import BackboneLayout
from gnomon.encode.layout.families.spec import TransformerSpec
from gnomon.encode.layout.files import safetensors_header
from gnomon.encode.layout.fingerprint import shard_files

Array = np.ndarray[Any, np.dtype[Any]]

# The format's names: https://github.com/huggingface/safetensors#format. bfloat16 has no numpy type: its bits.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
}


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as it is stored: `bits` is a view of the mapped file; bfloat16 shows as uint16."""

    dtype: str
    bits: Array

    def float32(self) -> Array:
        """The values as float32; a view where they are stored so."""
        if self.dtype == "BF16":
            return (self.bits.astype(np.uint32) << 16).view(np.float32)
        return self.bits.astype(np.float32, copy=False)

    def rounded(self, value: float) -> float:
        """As a tensor of this type holds it."""
        if self.dtype == "BF16":  # to the nearest, ties to even
            bits = int(np.float32(value).view(np.uint32))
            return float(np.uint32((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view(np.float32))
        return float(self.bits.dtype.type(value))


class Weights(Mapping[str, StoredTensor]):
    """All tensors of model.safetensors, or of the shards that its index names.

    Raises ModelUnsupported for a damaged or truncated file, and for a tensor that is not there.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._tensors: dict[str, StoredTensor] = {}
        for part in shard_files(file) if file.suffix == ".json" else (file,):
            self._tensors.update(_mapped(part))

    def __getitem__(self, name: str) -> StoredTensor:
        if name not in self._tensors:
            raise ModelUnsupported(
                f"{self.file} has no tensor {name}",
                expected="the tensors of the family that config.json names",
                hint="check model_type in config.json, or fetch the model again",
            )
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def prefix_of(weights: Weights, spec: TransformerSpec) -> str:
    """What precedes every tensor's name of the network, such as "roberta." or nothing.

    Raises ModelUnsupported where the file holds no encoder, or several.
    """
    found = word_embeddings_of(weights, spec)
    for name in (spec.names.word_embeddings, spec.names.tied_embeddings):
        if name and found.endswith(name):
            return found.removesuffix(name)
    return ""


def word_embeddings_of(weights: Weights, spec: TransformerSpec) -> str:
    """The whole name of the word embeddings. Raises ModelUnsupported where the file holds no encoder, or several."""
    tables = [name for name in (spec.names.word_embeddings, spec.names.tied_embeddings) if name]
    for table in tables:
        found = [name for name in weights if name == table or name.endswith(f".{table}")]
        if len(found) == 1:
            return found[0]
    raise ModelUnsupported(
        f"{weights.file} has {len(found)} tensors named …{tables[0]}",
        expected="one encoder in the file",
        hint="save the encoder alone, as AutoModel.save_pretrained does",
    )


def require_positions(layout: BackboneLayout, spec: TransformerSpec, weights: Weights, *, prefix: str) -> None:
    """Raise ModelUnsupported where there are fewer position embeddings than `layout.max_tokens`."""
    if not spec.names.position_embeddings:
        return
    rows = len(weights[prefix + spec.names.position_embeddings].bits)
    positions = rows if spec.position_padding_id is None else rows - spec.position_padding_id - 1
    if layout.max_tokens > positions:
        raise ModelUnsupported(
            f"{layout.name} is to read {layout.max_tokens} tokens, and has positions for {positions}",
            expected=f"a limit of at most {positions} tokens",
            hint=f"set max_seq_length to {positions} in the model's sentence_bert_config.json",
        )


def _mapped(file: Path) -> dict[str, StoredTensor]:
    header = safetensors_header(file)
    try:
        # Copy on write: OpenVINO takes only writable memory to share; nothing is ever written.
        raw = np.memmap(file, dtype=np.uint8, mode="c")
        data = raw[8 + int.from_bytes(raw[:8].tobytes(), "little") :]
        return {name: _view(data, entry) for name, entry in header.items() if entry["dtype"] in DTYPES}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnsupported(
            f"{file} is damaged: {error}",
            expected="a whole safetensors file",
            hint=f"delete {file} and fetch the model again",
        ) from error


def _view(data: Array, entry: Mapping[str, Any]) -> StoredTensor:
    dtype = DTYPES[entry["dtype"]]
    start, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not 0 <= start <= end <= len(data) or end - start != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"a tensor of shape {shape} at bytes {start} to {end} of {len(data)}")
    stored = data[start:end]
    if stored.ctypes.data % dtype.itemsize:
        stored = stored.copy()  # headers are padded to 8 bytes by every current writer; older files are not
    return StoredTensor(entry["dtype"], stored.view(dtype).reshape(shape))
