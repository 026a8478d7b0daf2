"""Models on this machine: gnomon's cache and the hub client's, and how a new one is installed whole or not at all."""

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

from gnomon.core.files import sync_file, sync_folder
from gnomon.encode.digest import cache_home

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model.onnx")
_ADAPTER = "adapter_model.safetensors"  # its tokenizer may be the base model's
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
class SourceResult:
    """What one source of models gave: a folder, or the reason why not. `source` is its name for people."""

    source: str
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


def model_folder(settings: SourceSettings, hub_id: str) -> Path:
    """The folder in gnomon's cache that holds the versions of one model, each a folder."""
    return settings.cache / "models" / hub_id.replace("/", "--")


def find_in_cache(settings: SourceSettings, hub_id: str, revision: str) -> SourceResult:
    """The newest version of the model in gnomon's cache, or the one of that revision."""
    home = model_folder(settings, hub_id)
    source = f"gnomon's cache, {home}"
    names = [revision] if revision else [p.name for p in _listed(home) if not p.name.startswith(".")]
    found = [home / name for name in names if holds_model(home / name)]
    if not found:
        return SourceResult(source, reason="not there")
    return SourceResult(source, max(found, key=lambda path: path.stat().st_mtime))


def find_in_hub_cache(settings: SourceSettings, hub_id: str, revision: str) -> SourceResult:
    """The model in the cache of the hub's client, if complete.

    Read straight from its documented layout (refs/NAME holds a commit, snapshots/COMMIT the files), since
    importing that client takes longer than opening a model.
    """
    home = settings.hub_cache / ("models--" + hub_id.replace("/", "--"))
    source = f"the hub's cache, {home}"
    try:
        commit = (home / "refs" / (revision or "main")).read_text(encoding="utf-8").strip()
    except OSError:
        commit = revision
    folder = home / "snapshots" / commit
    if not commit or not folder.is_dir():
        return SourceResult(source, reason="not there")
    if not holds_model(folder):
        return SourceResult(source, reason="incomplete")
    return SourceResult(source, folder)


def find_on_this_machine(settings: SourceSettings, hub_id: str, revision: str = "") -> Path | None:
    """The model's folder in one of the two caches; None where it would have to be fetched, or has no hub id."""
    if not hub_id:
        return None
    for find in (find_in_cache, find_in_hub_cache):
        if folder := find(settings, hub_id, revision).folder:
            return folder
    return None


def holds_model(folder: Path) -> bool:
    """Whether weights and a tokenizer are in the folder or one below it."""
    names = {path.name for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()}
    return _ADAPTER in names or ("tokenizer.json" in names and any(name in names for name in _WEIGHTS))


@contextmanager
def download_folder(target: Path) -> Iterator[Path]:
    """A folder to download into, beside `target`; it is deleted unless `install` moves it.

    What killed processes left there is deleted after a day.
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


def install(folder: Path, target: Path) -> Path:
    """Move a filled folder to `target` in one step. Where another process was faster, its folder stays."""
    for path in folder.rglob("*"):
        if path.is_file():
            sync_file(path)
    folder.chmod(0o755)
    try:
        folder.replace(target)
    except OSError:
        if not holds_model(target):
            raise
    sync_folder(target.parent)
    return target


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
