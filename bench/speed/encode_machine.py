"""What bench/speed/encode.py measures of gnomon alone: matrix peak, two threads, 8 bits, the stages of a start."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import spread

# Prints each stage's seconds in a fresh process, and its peak memory in MiB.
# Not ru_maxrss, which a process inherits from the one that forked it.
STAGES = """
import time; t = time.perf_counter()
def lap():
    global t
    now = time.perf_counter(); print(now - t, end=" "); t = now
from gnomon.encode import EncoderSettings, locate, read_layout
from gnomon.encode.transformer import TransformerEncoder
lap()
found = locate("all-MiniLM-L6-v2")
layout = read_layout(found.folder, name="m", card=found.card); lap()
encoder = TransformerEncoder(layout, EncoderSettings()); lap()
encoder.space; lap()
import openvino; from openvino import opset15; lap()
from gnomon.encode.graph.compiled import openvino_core as core
core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"); lap()
encoder._text_model.build(); lap()
encoder.encode(["one short text"], role="query"); lap()
print([int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
NAMES = (
    "import gnomon.encode",
    "find and read the folder",
    "tokenizer",
    "fingerprint, digest remembered",
    "import openvino",
    "openvino core",
    "build and compile",
    "first encoding",
)


def stages(rows: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median seconds of each stage; `rows` are what STAGES printed, run by run."""
    return {name: round(statistics.median(row[at] for row in rows), 3) for at, name in enumerate(NAMES)}


def matrix_peak(size: int = 1024, repeats: int = 12) -> float:
    """GFLOP a CPU-second of one large product, in the encoder's own precision: the best of repeats."""
    import openvino as ov
    from openvino import opset15 as op

    from gnomon.encode import EncoderSettings
    from gnomon.encode.graph.compiled import CompiledModel

    given = op.parameter([size, size], np.float32)
    rng = np.random.default_rng(0)
    weight = op.constant(rng.standard_normal((size, size)).astype(np.float32))
    product = op.matmul(op.add(given, op.constant(np.float32(0))), weight, False, False)
    settings = EncoderSettings(threads=1)
    compiled = CompiledModel(ov.Model([op.result(product)], [given], "peak"), settings, keep_alive=weight)
    values = rng.standard_normal((size, size)).astype(np.float32)
    compiled.run(values)
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        compiled.run(values)
        best = min(best, time.process_time() - started)
    return float(2 * size**3 / best / 1e9)


def work(lengths: Sequence[int], config: dict[str, Any]) -> float:
    """GFLOP that texts of these lengths need: every layer's matrix products and its attention."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    tokens = np.array(lengths, dtype=np.float64)
    layers = config["num_hidden_layers"]
    return float((layers * (tokens * (8 * hidden**2 + 4 * hidden * wide) + 4 * hidden * tokens**2)).sum() / 1e9)


def own_throughput(folder: Path, config: dict[str, Any], texts: Sequence[str], *, runs: int) -> dict[str, Any]:
    """One thread and two in wall time, 8 bits beside bf16, and the share of the matrix peak, in one run."""
    from gnomon.encode import EncoderSettings, load_encoder

    one, two, eight = (
        load_encoder(folder, settings=settings)
        for settings in (
            EncoderSettings(threads=1),
            EncoderSettings(threads=2),
            EncoderSettings(threads=1, precision="int8"),
        )
    )
    gflop = work([min(n, one.max_tokens) for n in one.count_tokens(texts, role="document")], config)
    laps: dict[str, list[tuple[float, float]]] = {"one": [], "two": [], "int8": []}
    peaks = []
    for _ in range(runs):
        peaks.append(matrix_peak())
        for name, encoder in (("one", one), ("two", two), ("int8", eight)):
            encoder.encode(texts[:8], role="document")
            wall, cpu = time.perf_counter(), time.process_time()
            encoder.encode(texts, role="document")
            laps[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    cosines = (one.encode(texts, role="document").data * eight.encode(texts, role="document").data).sum(1)
    return {
        "matrix_peak_gflop_per_cpu_s": spread(peaks, 0),
        "share_of_peak": spread([gflop / lap[1] / peak for lap, peak in zip(laps["one"], peaks, strict=True)]),
        "two_threads": {
            "per_s": spread([len(texts) / lap[0] for lap in laps["two"]], 1),
            "wall_ratio_to_one": spread([a[0] / b[0] for a, b in zip(laps["one"], laps["two"], strict=True)], 2),
            "cpu_ratio_to_one": spread([b[1] / a[1] for a, b in zip(laps["one"], laps["two"], strict=True)], 2),
        },
        "int8": {
            "ratio": spread([a[1] / b[1] for a, b in zip(laps["one"], laps["int8"], strict=True)], 2),
            "cosine_to_bf16_mean": round(float(cosines.mean()), 5),
            "cosine_to_bf16_min": round(float(cosines.min()), 5),
        },
    }


def callers(encoder: Any, queries: Sequence[str], *, threads: int = 8, each: int = 40) -> dict[str, Any]:
    """Lone queries from several threads at once, as they come and batched."""
    from gnomon.encode import BatchedEncoder

    found: dict[str, Any] = {}
    for name, tried in (("plain", encoder), ("batched", BatchedEncoder(encoder))):
        waits: list[float] = []

        def ask(start: int, tried: Any = tried, waits: list[float] = waits) -> None:
            for at in range(start, start + each):
                began = time.perf_counter()
                tried.encode([queries[at % len(queries)]], role="query")
                waits.append(time.perf_counter() - began)

        crowd = [threading.Thread(target=ask, args=(each * n,)) for n in range(threads)]
        wall, cpu = time.perf_counter(), time.process_time()
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found[name] = {
            "per_s": round(threads * each / wall),
            "per_cpu_s": round(threads * each / cpu),
            "p95_ms": round(float(np.percentile(waits, 95)) * 1000, 1),
        }
    return {"threads": threads, **found}
