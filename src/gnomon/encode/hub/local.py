"""Where models lie on this machine, and how a new one gets there whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gnomon.encode.hub.digest import cache_home

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model.onnx")
_DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class SourceSettings:
    """Where to look for models, and how long to wait.

    `endpoint` is the hub's address, `hub_cache` the folder of the hub's own client. The hub must list the
    model's files within `hub_timeout_s`, and while it sends them never pause for longer than `stall_s`.
    `python` is the interpreter whose pip fetches packages, within `package_timeout_s`.
    """

    cache: Path = field(default_factory=cache_home)
    hub_cache: Path = field(default_factory=lambda: hub_cache_home())
    endpoint: str = "https://huggingface.co"
    offline: bool = False
    hub_timeout_s: float = 4.0
    stall_s: float = 10.0
    package_timeout_s: float = 900.0
    python: str = sys.executable

    @classmethod
    def from_environment(cls) -> SourceSettings:
        """As the environment says now: GNOMON_CACHE, HF_ENDPOINT, HF_HUB_CACHE, HF_HOME, HF_HUB_OFFLINE."""
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/")
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        return cls(endpoint=endpoint or "https://huggingface.co", offline=offline)


@dataclass(frozen=True)
class Attempt:
    """What one source gave: a folder, or the reason why not. `where` names the source for people."""

    where: str
    folder: Path | None = None
    reason: str = ""


def hub_cache_home() -> Path:
    """The folder in which the hub's own client keeps models, read from the environment as it does."""
    if own := os.environ.get("HF_HUB_CACHE"):
        return Path(own).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.expanduser() / "huggingface" / "hub"


def model_home(settings: SourceSettings, hub_id: str) -> Path:
    """The folder in gnomon's cache that holds the versions of one model, each a folder."""
    return settings.cache / "models" / hub_id.replace("/", "--")


def in_own_cache(settings: SourceSettings, hub_id: str, revision: str) -> Attempt:
    """The newest version of the model in gnomon's cache, or the one of that revision."""
    home = model_home(settings, hub_id)
    where = f"gnomon's cache, {home}"
    names = [revision] if revision else [p.name for p in _listed(home) if not p.name.startswith(".")]
    found = [home / name for name in names if holds_model(home / name)]
    if not found:
        return Attempt(where, reason="not there")
    return Attempt(where, max(found, key=lambda path: path.stat().st_mtime))


def in_hub_cache(settings: SourceSettings, hub_id: str, revision: str) -> Attempt:
    """The model in the cache of the hub's client, if whole.

    Read straight from its documented layout (refs/NAME holds a commit, snapshots/COMMIT the files), since
    importing that client takes longer than opening a model.
    """
    home = settings.hub_cache / ("models--" + hub_id.replace("/", "--"))
    where = f"the hub's cache, {home}"
    try:
        commit = (home / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()
    except OSError:
        commit = revision
    folder = home / "snapshots" / commit
    if not commit or not folder.is_dir():
        return Attempt(where, reason="not there")
    if not holds_model(folder):
        return Attempt(where, reason="there in part only")
    return Attempt(where, folder)


def holds_model(folder: Path) -> bool:
    """Whether weights and a tokenizer lie in the folder or one below it."""
    names = {path.name for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()}
    return "tokenizer.json" in names and any(name in names for name in _WEIGHTS)


@contextmanager
def incoming(target: Path) -> Iterator[Path]:
    """A folder to fill, beside where `target` will be; it goes away unless `settle` takes it.

    What killed processes left there is swept after a day.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for old in target.parent.glob(".incoming-*"):
        if time.time() - old.stat().st_mtime > _DAY_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=".incoming-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(folder: Path, target: Path) -> Path:
    """Put a filled folder in its place in one step. Where another process was faster, its folder stays."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    folder.chmod(0o755)
    try:
        folder.replace(target)
    except OSError:
        if not holds_model(target):
            raise
    return target


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
