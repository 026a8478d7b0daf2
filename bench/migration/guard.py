"""Who lets two models of equal dimension mix? gnomon's guard, tried on gnomon, Chroma and LlamaIndex.

    python -m bench guard            # needs the environments of bench/peers/run.py, in .venv-peers

The second model is all-MiniLM-L6-v2 turned by a random rotation: as good as the first by itself, in
coordinates of its own, with vectors of the same length and norm. Writes results/guard.json and docs/guard.md.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gnomon
from bench import pages
from bench.record import write
from gnomon.core.contracts import Encoder
from gnomon.testing import try_to_mix

MODEL = "all-MiniLM-L6-v2"
FOLDER = Path(__file__).resolve().parents[2] / ".venv-peers"
"""Where peers/environments.py makes an environment for each store."""
ROTATE = """
import sys, torch
from sentence_transformers import SentenceTransformer, models
source, target = sys.argv[1:]
torch.manual_seed(1)
model = SentenceTransformer(source, device="cpu")
turn = models.Dense(384, 384, bias=False, activation_function=torch.nn.Identity())
turn.linear.weight.data = torch.linalg.qr(torch.randn(384, 384))[0]
parts = [model[0], model[1], turn, models.Normalize()]
SentenceTransformer(modules=parts, device="cpu").save(target)
"""


class Collection:
    """gnomon, asked by meaning alone."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._kb = gnomon.open(folder / "kb", encoder=encoder)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Put texts in."""
        self._kb.add([{"id": name, "text": text} for name, text in zip(ids, texts, strict=True)])

    def query(self, text: str, k: int) -> list[str]:
        """The ids of the nearest."""
        return [hit.document for hit in self._kb.search(text, k=k, mode="dense")]

    def close(self) -> None:
        """Close it."""
        self._kb.close()


class Peer:
    """Another store, in a process of its own environment."""

    versions: dict[str, str]

    def __init__(self, name: str, folder: Path, model: Path) -> None:
        python = FOLDER / name / "bin" / "python"
        script = Path(__file__).parents[1] / "peers" / "guard_peer.py"
        command = [str(python), str(script), name, str(folder), str(model)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.versions = self._answer()["versions"]

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Put texts in."""
        self._ask({"add": [list(ids), list(texts)]})

    def query(self, text: str, k: int) -> list[str]:
        """The ids of the nearest."""
        return list(self._ask({"query": [text, k]})["found"])

    def close(self) -> None:
        """End the process."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._process.stdin:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout else ""
        answer: dict[str, Any] = json.loads(line or '{"error": "the process ended"}')
        if "error" in answer:
            self.close()
            raise RuntimeError(answer["error"])
        return answer


def main() -> None:
    """Try all three and write."""
    from gnomon.encode import load_encoder, locate

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        models = {MODEL: locate(MODEL).folder, "turned": Path(scratch) / "turned"}
        rotate = [str(FOLDER / "chroma" / "bin" / "python"), "-c", ROTATE, *map(str, models.values())]
        subprocess.run(rotate, check=True)
        encoders = [load_encoder(str(folder)) for folder in models.values()]
        places = dict(zip((one.space.fingerprint for one in encoders), models.values(), strict=True))
        found["gnomon"] = tried(Collection, Path(scratch) / "gnomon", encoders, versions={"gnomon": gnomon.__version__})
        for name in ("chroma", "llamaindex"):
            versions: dict[str, str] = {}

            def opened(folder: Path, encoder: Encoder, name: str = name, *, kept: dict[str, str] = versions) -> Peer:
                peer = Peer(name, folder, places[encoder.space.fingerprint])
                kept.update(peer.versions)
                return peer

            found[name] = tried(opened, Path(scratch) / name, encoders, versions=versions)
            print(name, json.dumps(found[name]), flush=True)
    write("guard", {"model": MODEL, "stores": found})
    pages.write("guard")


def tried(open_store: Any, folder: Path, encoders: Sequence[Encoder], *, versions: dict[str, str]) -> dict[str, Any]:
    """The three attempts."""
    attempts = [asdict(one) for one in try_to_mix(open_store, folder, *encoders)]
    return {"versions": versions, "attempts": attempts}


def context(_: Any) -> dict[str, Any]:
    """What docs/guard.md is made of besides the figures."""
    from gnomon.testing.guard import TEXTS

    return {"texts": len(TEXTS)}


if __name__ == "__main__":
    main()
