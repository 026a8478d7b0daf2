"""The reference side of bench/speed/families.py: makes models with random weights, and encodes with them.

Reads one JSON line a job from standard input and answers with one JSON line. Imports nothing of gnomon's network.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def make(folder: Path, size: Mapping[str, Any]) -> dict[str, Any]:
    """A folder in sentence-transformers layout, with MiniLM's word pieces as its tokens."""
    import torch
    import transformers

    from gnomon.encode import locate

    torch.manual_seed(0)
    # What MiniLM's tokenizer calls its tokens; random weights know no others.
    tokens = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102, "cls_token_id": 101, "sep_token_id": 102}
    config = getattr(transformers, size["config"])(**{**tokens, **size["settings"]})
    network = getattr(transformers, size["network"])(config)
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if (locate("all-MiniLM-L6-v2").folder / name).is_file():
            shutil.copy(locate("all-MiniLM-L6-v2").folder / name, folder / name)
    kinds = {"Transformer": "", "Pooling": "1_Pooling"}
    rows = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (kind, path) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": size["max_tokens"]}))
    (folder / "1_Pooling").mkdir()
    dim = config.hidden_size
    pooling = {"word_embedding_dimension": dim, f"pooling_mode_{_FLAGS[size['pooling']]}": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return {"parameters": sum(parameter.numel() for parameter in network.parameters())}


_FLAGS = {"mean": "mean_tokens", "lasttoken": "lasttoken"}


def main() -> None:
    """Do the jobs, on one thread."""
    import torch

    torch.set_num_threads(1)
    import numpy as np
    import sentence_transformers
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model: Any = None
    versions = {one.__name__.replace("_", "-"): one.__version__ for one in (sentence_transformers, transformers, torch)}
    print(json.dumps({"versions": versions}), flush=True)
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        answer: dict[str, Any] = {}
        if job["job"] == "make":
            answer = make(Path(job["folder"]), job["size"])
        elif job["job"] == "load":
            dtype = getattr(torch, job["dtype"])
            model = sentence_transformers.SentenceTransformer(
                job["folder"], device="cpu", model_kwargs={"dtype": dtype}
            )
            model.encode(["one text"], show_progress_bar=False)
        else:
            cpu, wall = time.process_time(), time.perf_counter()
            vectors = model.encode(job["texts"], show_progress_bar=False)
            answer = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
            np.save(job["out"], vectors)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
