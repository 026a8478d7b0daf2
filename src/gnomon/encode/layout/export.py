"""The command that exports a model to ONNX, as messages name it."""

from __future__ import annotations

import shlex
from pathlib import Path


def export_hint(folder: Path) -> str:
    """What to run for a model that gnomon has no network of: it writes onnx/model.onnx into the model's folder."""
    return f"gnomon export-onnx {shlex.quote(str(folder))} (needs the extra gnomon[export])"
