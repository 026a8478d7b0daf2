"""What a run began with, and whether what is asked now goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

from gnomon.core.errors import InvalidInput
from gnomon.train.recipe import Recipe, load_recipe

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
                wanted="the recipe that the run began with",
                next_step=_ANEW,
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
            wanted="the data that the run began with",
            next_step=f"bring it back, {_ANEW}",
        )


def note_divergence(work: Path, step: int) -> None:
    """Keep in mind that the step after `step` diverged: the run may go on with other settings."""
    (work / _DIVERGED).write_text(json.dumps({"step": step}), encoding="utf-8")
