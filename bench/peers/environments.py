"""The libraries compared, and an environment of its own for each, under .venv-peers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-peers"


@dataclass(frozen=True)
class Peer:
    """What to install for a peer, the searches it offers simply, and what to know of it."""

    name: str
    title: str
    wants: tuple[str, ...]
    modes: tuple[str, ...]
    remark: str


PEERS = (
    Peer(
        "gnomon",
        "gnomon",
        ("-e", str(ROOT)),
        ("dense", "hybrid"),
        "splits what is longer than the model reads into chunks, so no text is cut off; bf16 where the CPU"
        " has it, else fp32; scan of 8-bit vectors with exact rescoring; words and a catalogue on disk",
    ),
    Peer(
        "faiss",
        "sentence-transformers + FAISS",
        ("sentence-transformers", "faiss-cpu"),
        ("dense",),
        "fp32, exact; a document is cut at the 256 tokens that the model reads; no words, updates or filters",
    ),
    Peer(
        "chroma",
        "Chroma",
        ("chromadb", "sentence-transformers"),
        ("dense",),
        "fp32 by its sentence-transformers function (its default, an ONNX build of the same model, wants a"
        " download of its own); cut at 256 tokens; HNSW, so approximate at any size",
    ),
    Peer(
        "lancedb",
        "LanceDB",
        ("lancedb", "sentence-transformers"),
        ("dense", "hybrid"),
        "fp32 by its sentence-transformers function; cut at 256 tokens; exact scan, as no vector index is"
        " made unless asked for; hybrid is reciprocal rank fusion",
    ),
    Peer(
        "qdrant",
        "Qdrant Edge",
        ("qdrant-edge-py", "sentence-transformers"),
        ("dense", "hybrid"),
        "brings no model: fp32 by sentence-transformers, cut at 256 tokens; exact until its indexing"
        " threshold is passed, then HNSW; hybrid is its BM25 by reciprocal rank (k = 2, best 100 of each);"
        " sets a log aside in advance, nearly empty: a disk figure of over 100 MiB counts its length, not its"
        " blocks (about 0.5 MiB were taken for 60 documents)",
    ),
    Peer(
        "llamaindex",
        "LlamaIndex",
        ("llama-index-core", "llama-index-embeddings-huggingface"),
        ("dense",),
        "fp32, batches of 10; splits at 1,024 tokens, of which the model reads the first 256; all in memory,"
        " saved as JSON; exact; hybrid needs another package",
    ),
    Peer(
        "txtai",
        "txtai",
        ("txtai",),
        ("dense", "hybrid"),
        "fp32 by transformers; reads 512 tokens, the tokenizer's limit, where the model's own is 256; FAISS,"
        " flat up to 5,000 rows and approximate above; words in SQLite; hybrid adds the scores of BM25; its"
        " dense query is the hybrid one with all weight on the vectors, so it pays for the words too",
    ),
    Peer(
        "haystack",
        "Haystack",
        ("haystack-ai", "sentence-transformers-haystack"),
        ("dense", "hybrid"),
        "fp32; cut at 256 tokens; all in memory, saved as JSON; exact; hybrid is BM25 in Python by reciprocal"
        " rank (the best 100 of each)",
    ),
)


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment."""
    return FOLDER / peer.name / "bin" / "python"


def environment(peer: Peer) -> Path:
    """The peer's interpreter; the environment is made where it is absent or what it wants has changed."""
    stamp = FOLDER / peer.name / ".made"
    wanted = "\n".join(peer.wants)
    if stamp.exists() and stamp.read_text() == wanted:
        return python_of(peer)
    shutil.rmtree(FOLDER / peer.name, ignore_errors=True)
    FOLDER.mkdir(exist_ok=True)
    # Any other torch than the pinned one brings gigabytes of GPU libraries; all else is what pip picks.
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch==")]
    (FOLDER / "pins.txt").write_text("\n".join(pins) + "\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(FOLDER / peer.name)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python_of(peer)), "install", "-q"]
    subprocess.run([*pip, "-c", str(FOLDER / "pins.txt"), *peer.wants], check=True)
    stamp.write_text(wanted)
    return python_of(peer)


def weight(peer: Peer) -> dict[str, float]:
    """MiB and packages of the environment, pip and compiled caches left out."""
    packages = next((FOLDER / peer.name / "lib").glob("python*")) / "site-packages"
    sources = [packages, *([ROOT / "src"] if peer.name == "gnomon" else [])]
    files = (path for source in sources for path in source.rglob("*") if path.suffix != ".pyc")
    sizes = (
        path.stat().st_size
        for path in files
        if path.is_file() and not (path.is_relative_to(packages) and path.relative_to(packages).parts[0][:3] == "pip")
    )
    names = [path for path in packages.glob("*.dist-info") if not path.name.startswith("pip-")]
    return {"mib": round(sum(sizes) / 2**20, 1), "packages": len(names)}
