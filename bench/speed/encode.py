"""Encoding against sentence-transformers: equal vectors, texts per CPU-second, start, size.

    python -m bench encode --reference-python PATH [--runs 3] [--texts 1000]

Both sides run on one thread, in turn, in one run. CPU seconds are each process's own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from bench.data import beir
from bench.record import spread, write
from bench.speed.encode_machine import STAGES, callers, own_throughput, stages

MODEL = "all-MiniLM-L6-v2"
_IMPORT = """
import time; t = time.perf_counter()
import gnomon
print(time.perf_counter() - t)
import sys
assert "torch" not in sys.modules
"""


class Reference:
    """A sentence-transformers process that answers jobs."""

    def __init__(self, python: str, folder: Path, threads: int) -> None:
        script = Path(__file__).with_name("reference.py")
        self._process = subprocess.Popen(
            [python, str(script), str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    def _answer(self) -> dict[str, Any]:
        line = cast(IO[str], self._process.stdout).readline()
        if not line:
            raise SystemExit("the reference process ended: look at its error above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def encode(self, texts: Path, out: Path | None = None) -> dict[str, Any]:
        """Encode a JSON list of texts; CPU and wall seconds, and the vectors saved where wanted."""
        jobs = cast(IO[str], self._process.stdin)
        jobs.write(json.dumps({"texts": str(texts), "out": str(out) if out else None}) + "\n")
        jobs.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()


def mixed_texts(count: int) -> list[str]:
    """Texts of mixed length: claims, abstracts, and abstracts cut at a random word, seeded."""
    data = beir("scifact", "test")
    rng = random.Random(1)
    texts = list(data.queries.values())[: count // 4]
    documents = [f"{row['title']} {row['text']}" for row in data.documents]
    rng.shuffle(documents)
    texts += documents[: count // 4]
    while len(texts) < count:
        words = rng.choice(documents).split()
        texts.append(" ".join(words[: rng.randint(1, len(words))]))
    return texts


def scifact(count: int) -> list[str]:
    """Documents of SciFact, title and abstract, spread over the whole set."""
    rows = beir("scifact", "test").documents
    return [f"{row['title']} {row['text']}" for row in rows[:: len(rows) // count]][:count]


def process_figures(code: str, runs: int) -> list[list[float]]:
    """What a fresh Python prints, split into numbers, `runs` times after one warm-up."""
    found = []
    for _ in range(runs + 1):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
        found.append([float(word) for word in done.stdout.split()])
    return found[1:]


def main() -> None:
    """Measure and write results/encode.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--reference-python", required=True)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--texts", type=int, default=1000)
    given = arguments.parse_args()
    from gnomon.encode import EncoderSettings, load_encoder, locate

    folder = locate(MODEL).folder
    encoder = load_encoder(MODEL, settings=EncoderSettings(threads=1))
    reference = Reference(given.reference_python, folder, threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        cosine = equality(encoder, reference, Path(scratch), count=given.texts)
        speed = throughput(encoder, reference, Path(scratch), given=given)
    reference.close()
    config = json.loads((folder / "config.json").read_text())
    own = own_throughput(folder, config, scifact(given.texts), runs=given.runs)
    crowd = callers(load_encoder(MODEL), mixed_texts(given.texts)[: given.texts // 4])
    first = process_figures(STAGES, 5)
    write(
        "encode",
        {
            "model": MODEL,
            "reference": reference.versions,
            "cosine_to_reference_fp32": cosine,
            "scifact_documents": speed,
            **own,
            "concurrent_queries": crowd,
            "start_to_first_vector_s": spread([sum(row[:-1]) for row in first]),
            "start_stages_s": stages(first),
            "peak_rss_mib": spread([row[-1] for row in first], 0),
            "import_s": spread([row[0] for row in process_figures(_IMPORT, 5)]),
        },
    )


def equality(encoder: Any, reference: Reference, scratch: Path, *, count: int) -> dict[str, Any]:
    """Cosine of every text's vector to the reference's."""
    texts = mixed_texts(count)
    (scratch / "mixed.json").write_text(json.dumps(texts))
    reference.encode(scratch / "mixed.json", scratch / "mixed.npy")
    theirs = np.load(scratch / "mixed.npy")
    ours = encoder.encode(texts, role="document").data
    cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return {
        "texts": len(texts),
        "min": round(float(cosines.min()), 6),
        "mean": round(float(cosines.mean()), 6),
    }


def throughput(encoder: Any, reference: Reference, scratch: Path, *, given: argparse.Namespace) -> dict[str, Any]:
    """Texts per CPU-second, one thread each, in turn."""
    texts = scifact(given.texts)
    (scratch / "texts.json").write_text(json.dumps(texts))
    ours, theirs = [], []
    for _ in range(given.runs):
        started = time.process_time()
        encoder.encode(texts, role="document")
        ours.append(len(texts) / (time.process_time() - started))
        theirs.append(len(texts) / reference.encode(scratch / "texts.json")["cpu_s"])
    return {
        "texts": len(texts),
        "threads": 1,
        "gnomon_per_cpu_s": spread(ours, 1),
        "sentence_transformers_default_per_cpu_s": spread(theirs, 1),
        "ratio": spread([a / b for a, b in zip(ours, theirs, strict=True)], 2),
    }


if __name__ == "__main__":
    main()
