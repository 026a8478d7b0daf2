"""What a run began with, and whether what is asked now goes on with it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from torch import Tensor

from gnomon.core.errors import InvalidInput, StorageError
from gnomon.train.recipe.recipe import Recipe, load_recipe

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_NEW, _OLD = ".new-", ".old-"
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
    target = folder / f"step-{checkpoint.step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix=_NEW))
        try:
            _fill(made, checkpoint)
            # Not one step: where the process ends between, the one aside comes back.
            aside = folder / f"{_OLD}{target.name}"
            if target.exists():
                target.replace(aside)
            made.replace(target)
            _flush(folder)
            shutil.rmtree(aside, ignore_errors=True)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}",
            expected="room for a checkpoint: three times the model's size",
            hint="free some space, then run it again: it goes on from the last checkpoint",
        ) from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _fill(made: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save_file

    # Tensors that share memory (tied weights) cannot be written twice under two names.
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in checkpoint.tensors.items()}
    save_file(tensors, made / _TENSORS)
    body = {
        "version": VERSION, "step": checkpoint.step, "sha256": _digest(made / _TENSORS), **checkpoint.plain
    }  # fmt: skip
    (made / _STATE).write_text(json.dumps(body), encoding="utf-8")
    for path in (made / _TENSORS, made / _STATE, made):
        _flush(path)


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).is_file())


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder that is whole; None where there is none.

    What a process that was ended while it wrote left behind is cleared away. Raises InvalidInput for one of
    another version of gnomon.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _clear(folder)
    for path in reversed(checkpoints(folder)):
        try:
            plain = json.loads((path / _STATE).read_text(encoding="utf-8"))
            version, step, digest = (plain.pop(key) for key in ("version", "step", "sha256"))
            if version == VERSION and digest != _digest(path / _TENSORS):
                continue
            tensors = load_file(path / _TENSORS)
        except (OSError, ValueError, KeyError, AttributeError, SafetensorError):
            continue  # damaged: the one before it will do
        if version != VERSION:
            raise InvalidInput(
                f"{path} is a checkpoint of another version of gnomon",
                expected=f"version {VERSION}",
                hint="go on with the gnomon that wrote it, or name another output folder",
            )
        return Checkpoint(int(step), tensors, plain)
    return None


def drop_newest(folder: Path, step: int) -> bool:
    """Let go of the checkpoint of this step, where it is the newest and not the only one."""
    found = checkpoints(folder)
    if len(found) < 2 or found[-1].name != f"step-{step:08d}":
        return False
    shutil.rmtree(found[-1], ignore_errors=True)
    return True


def _clear(folder: Path) -> None:
    for path in folder.glob(f"{_NEW}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{_OLD}*"):
        whole = folder / path.name.removeprefix(_OLD)
        if whole.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.replace(whole)


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


_KEPT, _DIVERGED = "recipe.toml", "diverged.json"
_FREE = frozenset(
    {"output.keep", "output.checkpoint_every", "optim.chunk", "optim.chunk_tokens", "data.strict", "dev.map"}
)
"""What may change along a run: it makes no other model."""
_REMEDIES = frozenset({"optim.lr", "optim.clip", "optim.precision", "optim.warmup"})
"""What may change too after a run whose loss became NaN."""
_ANEW = "begin anew with resume=False (--fresh), or name another folder in [output]"


def require_same(recipe: Recipe, work: Path, *, resume: bool) -> None:
    """Raise InvalidInput where a run of another recipe was begun here; forget it where it is not resumed.

    Then keep the recipe.
    """
    if not resume:
        rmtree(work / "checkpoints", ignore_errors=True)
    if not (work / "checkpoints").is_dir():
        for name in ("log.jsonl", "seen.npz", "start.json", "end.json", _KEPT, _DIVERGED):
            (work / name).unlink(missing_ok=True)
    kept = work / _KEPT
    if kept.is_file():
        other = set(_changed(load_recipe(kept), recipe)) - _FREE
        if (work / _DIVERGED).is_file():
            other -= _REMEDIES
        if other:
            raise InvalidInput(
                f"a run in {work} that began with another recipe: {', '.join(sorted(other)[:6])}",
                expected="the recipe that the run began with",
                hint=_ANEW,
            )
    beside = work / f"{_KEPT}.new"
    beside.write_text(recipe.to_toml(), encoding="utf-8")
    beside.replace(kept)


def _changed(before: Recipe, now: Recipe) -> list[str]:
    old, new = before.to_json(), now.to_json()
    return [f"{table}.{key}" for table in new for key in new[table] if old[table].get(key) != new[table][key]]


def require_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise InvalidInput where a source's content is not what the run began with."""
    other = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if other:
        raise InvalidInput(
            f"data that changed since the run began: {', '.join(other[:6])}",
            expected="the data that the run began with",
            hint=f"bring it back, {_ANEW}",
        )


def note_divergence(work: Path, step: int) -> None:
    """Keep in mind that the step after `step` diverged: the run may go on with other settings."""
    (work / _DIVERGED).write_text(json.dumps({"step": step}), encoding="utf-8")
