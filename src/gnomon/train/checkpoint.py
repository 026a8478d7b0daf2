"""Checkpoints of a run, and whether a run may be resumed with the recipe and data at hand."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gnomon.core.errors import InvalidInput
from gnomon.core.files import replacing_folder, storage_error, write_atomic
from gnomon.train.recipe.recipe import Recipe, load_recipe

_TENSORS, _STATE = "tensors.safetensors", "state.json"
VERSION = 2


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
    """Write `folder`/step-NNNNNNNN, whole or not at all, then delete all but the newest `keep`.

    Raises StorageError.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    target = folder / f"step-{checkpoint.step:08d}"
    # Tensors that share memory (tied weights) cannot be written twice under two names.
    tensors = {k: t.detach().cpu().contiguous().clone() for k, t in checkpoint.tensors.items()}
    try:
        with replacing_folder(target) as made:
            save_file(tensors, made / _TENSORS)
            plain = {"version": VERSION, "step": checkpoint.step, "sha256": _digest(made / _TENSORS)}
            (made / _STATE).write_text(json.dumps({**plain, **checkpoint.plain}), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        kept = "a checkpoint takes three times the model's size, and training continues from the last one"
        refused = error if isinstance(error, OSError) else OSError(str(error))
        raise storage_error(refused, target, kept=kept) from error
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if (path / _STATE).is_file())


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder that is whole; None where there is none.

    Leftovers of a process that died while it wrote are removed. Raises InvalidInput for a checkpoint of a newer
    gnomon.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _clear(folder)
    for path in reversed(checkpoints(folder)):
        try:
            plain = json.loads((path / _STATE).read_text(encoding="utf-8"))
            version, step, digest = (plain.pop(key) for key in ("version", "step", "sha256"))
            if version <= VERSION and digest != _digest(path / _TENSORS):
                continue
            tensors = load_file(path / _TENSORS)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
            continue  # damaged: the one before it will do
        if version > VERSION:
            raise InvalidInput(
                f"{path} is a checkpoint of a newer gnomon",
                expected=f"version {VERSION} or before",
                hint="continue with the gnomon that wrote it, or name another output folder",
            )
        if version == 1:
            plain, tensors = _upgraded(plain, tensors)
        return Checkpoint(int(step), tensors, plain)
    return None


def drop_newest_checkpoint(folder: Path, step: int) -> bool:
    """Delete the checkpoint of this step, if it is the newest and not the only one."""
    found = checkpoints(folder)
    if len(found) < 2 or found[-1].name != f"step-{step:08d}":
        return False
    shutil.rmtree(found[-1], ignore_errors=True)
    return True


def _upgraded(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A checkpoint of version 1 (gnomon 0.1), whose keys had other names."""
    names = {"place": "stream", "looks": "evaluations"}
    state = {names.get(key, key): value for key, value in plain["standing"].items()}
    inner = {"objective": "loss"}  # of a loss, and of a wrapper's inner loss
    return (
        {"state": state, "digests": plain["digests"]},
        {
            "/".join(".".join(inner.get(step, step) for step in part.split(".")) for part in key.split("/"))
            if key.startswith("objective/")
            else key: tensor
            for key, tensor in tensors.items()
        },
    )


def _clear(folder: Path) -> None:
    """Remove half-written checkpoints; one that was being replaced comes back."""
    for path in (*folder.glob(".step-*.new"), *folder.glob(".new-*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in (*folder.glob(".step-*.old"), *folder.glob(".old-step-*")):
        whole = folder / re.sub(r"^\.(?:old-)?(step-\d+).*$", r"\1", path.name)
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
FREE_KEYS = frozenset(
    {"output.keep", "output.checkpoint_every", "optim.chunk", "optim.chunk_tokens", "data.strict", "dev.map"}
)
"""Settings that may change when a run is resumed: they do not change the model."""
REMEDY_KEYS = frozenset({"optim.lr", "optim.clip", "optim.precision", "optim.warmup"})
"""Settings that may change too after the loss became NaN."""
_START_ANEW = "start anew with resume=False (--fresh), or name another folder in [output]"


def require_same_recipe(recipe: Recipe, work: Path, *, resume: bool) -> None:
    """Raise InvalidInput if the run to resume here is of another recipe; keep the recipe for the next time.

    Without `resume` the former run's files are removed first.
    """
    if not resume:
        shutil.rmtree(work / "checkpoints", ignore_errors=True)
    if not (work / "checkpoints").is_dir():
        for name in ("log.jsonl", "embedding-map.npz", "seen.npz", "start.json", "end.json", _KEPT, _DIVERGED):
            (work / name).unlink(missing_ok=True)
    kept = work / _KEPT
    if kept.is_file():
        other = set(_changed(load_recipe(kept), recipe)) - FREE_KEYS
        if (work / _DIVERGED).is_file():
            other -= REMEDY_KEYS
        if other:
            raise InvalidInput(
                f"a run in {work} that started with another recipe: {', '.join(sorted(other)[:6])}",
                expected="the recipe that the run started with",
                hint=_START_ANEW,
            )
    write_atomic(kept, recipe.to_toml())


def _changed(before: Recipe, now: Recipe) -> list[str]:
    old, new = before.to_json(), now.to_json()
    return [f"{table}.{key}" for table in new for key in new[table] if old[table].get(key) != new[table][key]]


def require_same_data(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise InvalidInput if a source's content is not what the run started with."""
    other = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if other:
        raise InvalidInput(
            f"data that changed since the run started: {', '.join(other[:6])}",
            expected="the data that the run started with",
            hint=f"bring it back, {_START_ANEW}",
        )


def record_divergence(work: Path, step: int) -> None:
    """Record that the step after `step` diverged: the run may continue with other settings."""
    write_atomic(work / _DIVERGED, json.dumps({"step": step}))
