"""The files beside an ONNX file that hold some of its weights."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.digest import cached_digest
from gnomon.encode.layout.files import inside

# TensorProto.external_data is a list of StringStringEntryProto; the entry "location" is a path beside the file
# (onnx.proto: key is field 1 and value field 2, each a length and bytes).
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f]|[\x80-\xff][\x01-\x7f])")


def onnx_data_files(onnx: Path) -> tuple[Path, ...]:
    """Files that an ONNX file's tensors lie in, sorted: those that it names, and those of its exporters' habits.

    Exporters write model.onnx_data or model.onnx.data for more than 2 GB, and older ones single tensors to files
    without a suffix. Raises ModelUnsupported for a file that is named and not there, and for one outside the folder.
    """
    named = json.loads(cached_digest(onnx, "files of its tensors", lambda path: json.dumps(sorted(_locations(path)))))
    found = {inside(onnx.parent, name) for name in named}
    missing = sorted(path.name for path in found if not path.is_file())
    if missing:
        raise ModelUnsupported(
            f"{onnx} keeps weights in {', '.join(missing[:3])}, which is not there",
            expected="the ONNX file with all files that it names beside it",
            hint="fetch the model again",
        )
    habits = (path for path in onnx.parent.iterdir() if path.is_file() and is_onnx_data(path.name))
    return tuple(sorted({*found, *habits}))


def is_onnx_data(name: str) -> bool:
    """Whether exporters give this name to a file of model.onnx's weights."""
    return name.startswith(("model.onnx_data", "model.onnx.data")) or "." not in name


def _locations(onnx: Path) -> Iterator[str]:
    if not onnx.stat().st_size:
        return
    with onnx.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        seen: set[bytes] = set()
        for match in _LOCATION.finditer(content):
            head = match.group(1)
            length = head[0] if len(head) == 1 else (head[0] & 127) | head[1] << 7
            name = content[match.end() : match.end() + length]
            if name not in seen:
                seen.add(name)
                yield name.decode("utf-8", "replace")
