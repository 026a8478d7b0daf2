"""Fits the weights that ship with the package, and writes them with their provenance."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gnomon.answer.fitted import FittedModel

ANSWER = Path(__file__).parents[2] / "src" / "gnomon" / "answer"
MODEL = "all-MiniLM-L6-v2"
"""The encoder behind the features of all fits."""


def write_fitted(path: Path, model: FittedModel, inputs: Sequence[Path], *, counts: Mapping[str, int]) -> None:
    """Writes a fitted model to a JSON file. `counts` are the examples of each data set."""
    plain: dict[str, Any] = {
        "weights": dict(model.weights),
        "bias": model.bias,
        "threshold": model.threshold,
        **({} if model.answer_threshold is None else {"answer_threshold": model.answer_threshold}),
        "provenance": {
            "digest": model.digest,
            "command": " ".join(["python", "-m", f"tools.fit.{Path(sys.argv[0]).stem}", *(one.name for one in inputs)]),
            "date": datetime.now(UTC).date().isoformat(),
            "model": MODEL,
            "examples": dict(counts),
            "inputs": {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in inputs},
            "libraries": {"python": platform.python_version()} | {name: version(name) for name in ("numpy", "scipy")},
        },
    }
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
