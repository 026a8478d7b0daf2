"""The reference side of bench/speed/encode.py: sentence-transformers as it comes, in an environment of its own.

Reads one JSON line a job from standard input and answers with one JSON line. Imports nothing of gnomon.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Load the model in argv[1] on argv[2] threads, then do the jobs."""
    import torch

    torch.set_num_threads(int(sys.argv[2]))
    import numpy as np
    import sentence_transformers

    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    names = {"sentence-transformers": sentence_transformers.__version__, "torch": torch.__version__}
    print(json.dumps({"ready": True, "versions": names}), flush=True)
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        texts = json.loads(Path(job["texts"]).read_text())
        cpu, wall = time.process_time(), time.perf_counter()
        vectors = model.encode(texts, show_progress_bar=False)
        answer = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        if job.get("out"):
            np.save(job["out"], vectors)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
