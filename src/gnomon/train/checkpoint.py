"""All that a run needs to go on as if nothing had happened: written whole or not at all, without pickles."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gnomon.core.errors import InvalidInput, StorageError

_TENSORS, _STATE = "tensors.safetensors", "state.json"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Tensors by name ("model/…", "optimiser/…", "random/…"), and plain values beside them."""

    step: int
    tensors: Mapping[str, Tensor]
    plain: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below a name, without it."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}


def write_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `folder`/step-NNNNNNNN beside, flush, rename; then let go of all but the newest `keep`.

    Raises StorageError.
    """
    from safetensors.torch import save_file

    target = folder / f"step-{checkpoint.step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix=".new-"))
        try:
            # Tensors that share memory (tied weights) cannot be written twice under two names.
            save_file(
                {k: t.detach().cpu().contiguous().clone() for k, t in checkpoint.tensors.items()},
                made / _TENSORS,
            )
            body = {"version": VERSION, "step": checkpoint.step, **checkpoint.plain}
            (made / _STATE).write_text(json.dumps(body), encoding="utf-8")
            for name in (_TENSORS, _STATE):
                with (made / name).open("rb") as file:
                    os.fsync(file.fileno())
            if target.exists():
                shutil.rmtree(target)
            made.replace(target)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}",
            wanted="room for a checkpoint: three times the model's size",
            next_step="free some space, then run it again: it goes on from the last checkpoint",
        ) from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).is_file())


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder that can be read; None where there is none.

    Raises InvalidInput for one of a newer gnomon.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for path in reversed(checkpoints(folder)):
        try:
            plain = json.loads((path / _STATE).read_text(encoding="utf-8"))
            tensors = load_file(path / _TENSORS)
        except (OSError, ValueError, SafetensorError):
            continue  # damaged: the one before it will do
        if plain.pop("version") != VERSION:
            raise InvalidInput(
                f"{path} is a checkpoint of another version of gnomon",
                wanted=f"version {VERSION}",
                next_step="go on with the gnomon that wrote it, or name another output folder",
            )
        return Checkpoint(int(plain.pop("step")), tensors, plain)
    return None


def optimiser_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A torch optimiser's state as tensors by "number/name"."""
    return {f"{at}/{name}": value for at, own in state["state"].items() for name, value in own.items()}


def optimiser_state(state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The optimiser's fresh state with these tensors in it."""
    kept: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        at, _, own = name.partition("/")
        kept.setdefault(int(at), {})[own] = value
    return {**state, "state": kept}
