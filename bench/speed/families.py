"""Every transformer family against sentence-transformers: texts a CPU second, on random weights of the real size.

    python -m bench families [--runs 2] [--texts 16] [--only bert modernbert]

One thread each, the same texts, in turn within one run; CPU seconds are each process's own. sentence-transformers
computes in fp32, its default, and in bf16; gnomon in what it takes by itself. Vectors are compared as well: a family
that were fast and wrong would show.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from bench.record import RESULTS, spread, write
from bench.speed.encode import scifact
from bench.speed.family_sizes import SIZES


class Reference:
    """A process with transformers and sentence-transformers, that makes models and encodes."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("families_reference.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.versions: dict[str, str] = self._answer()["versions"]

    def _answer(self) -> dict[str, Any]:
        line = cast(IO[str], self._process.stdout).readline()
        if not line:
            raise SystemExit("the reference process ended: look at its error above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def do(self, job: str, **details: Any) -> dict[str, Any]:
        """The answer to a job: `make` a model in a folder, `load` it, or `encode` with it."""
        jobs = cast(IO[str], self._process.stdin)
        jobs.write(json.dumps({"job": job, **details}) + "\n")
        jobs.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        self._process.kill()


def measure(name: str, reference: Reference, texts: list[str], *, scratch: Path, runs: int) -> dict[str, Any]:
    """One family's row: texts a CPU second and a second of both, ratios, cosine of the vectors."""
    from gnomon.encode import EncoderSettings, load_encoder

    size, folder, vectors = SIZES[name], scratch / name, scratch / "vectors.npy"
    texts = texts[: max(1, round(len(texts) * size.share))]
    made = reference.do("make", folder=str(folder), size=size.as_json())
    encoder = load_encoder(folder, settings=EncoderSettings(threads=1))
    encoder.encode(texts[:1], role="document")
    found: dict[str, list[dict[str, float]]] = {"gnomon": [], "float32": [], "bfloat16": []}
    for dtype in ("float32", "bfloat16"):
        reference.do("load", folder=str(folder), dtype=dtype)
        for _ in range(runs):
            cpu, wall = time.process_time(), time.perf_counter()
            ours = encoder.encode(texts, role="document").data
            found["gnomon"].append({"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall})
            found[dtype].append(reference.do("encode", texts=texts, out=str(vectors)))
        if dtype == "float32":
            theirs = np.load(vectors)
            cosines = (ours * theirs).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    per = {
        who: {clock: spread([len(texts) / one[f"{clock}_s"] for one in rows], 2) for clock in ("cpu", "wall")}
        for who, rows in found.items()
    }
    medians = {who: per[who]["cpu"]["median"] for who in per}
    return {
        "family": name,
        "parameters_millions": round(made["parameters"] / 1e6),
        "texts": len(texts),
        "tokens": int(sum(encoder.count_tokens(texts, role="document"))),
        "texts_a_cpu_second": {who: figures["cpu"] for who, figures in per.items()},
        "texts_a_second": {who: figures["wall"] for who, figures in per.items()},
        "ratio_to_float32": round(medians["gnomon"] / medians["float32"], 2),
        "ratio_to_bfloat16": round(medians["gnomon"] / medians["bfloat16"], 2),
        "least_cosine_to_float32": round(float(cosines.min()), 5),
    }


def main() -> None:
    """Measure and write results/families.json."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=2)
    arguments.add_argument("--texts", type=int, default=16, help="decoders get a quarter of them")
    arguments.add_argument("--only", nargs="+", choices=list(SIZES), default=list(SIZES))
    given = arguments.parse_args()
    texts, reference, rows = scifact(given.texts), Reference(), recorded()
    for name in given.only:
        with tempfile.TemporaryDirectory() as scratch:
            rows[name] = measure(name, reference, texts, scratch=Path(scratch), runs=given.runs)
        print(json.dumps(rows[name]), flush=True)
        every = [rows[name] for name in SIZES if name in rows]  # at once: a run that is cut off keeps what it has
        write("families", {"reference": reference.versions, "threads": 1, "families": every})
    reference.close()


def recorded() -> dict[str, dict[str, Any]]:
    """The rows of an earlier run, by family: `--only` measures some of them anew."""
    file = RESULTS / "families.json"
    if not file.exists():
        return {}
    return {row["family"]: row for row in json.loads(file.read_text(encoding="utf-8"))["families"]}


if __name__ == "__main__":
    main()
