"""The reference side of bench/training/train.py: sentence-transformers' trainer, as its documentation uses it.

    python -m bench train_reference JOB.json

The job names the model's folder, the pairs, the settings and where to write. Prints one JSON line: steps,
pairs, CPU and wall seconds from the end of the first step to the end of the last. Imports nothing of gnomon.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Train by the job."""
    job: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    import torch

    torch.set_num_threads(job["threads"])
    import sentence_transformers
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from transformers import TrainerCallback

    stamps: list[tuple[float, float]] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        """Stamps the end of each step."""

        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps.append((time.process_time(), time.perf_counter()))

    model = SentenceTransformer(job["model"], device="cpu")
    model.max_seq_length = job["max_tokens"]
    pairs = json.loads(Path(job["pairs"]).read_text())
    data = Dataset.from_dict({"anchor": [q for q, _ in pairs], "positive": [d for _, d in pairs]})
    trainer = SentenceTransformerTrainer(
        model=model,
        args=settings_of(job),
        train_dataset=data,
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Clock()],
    )
    trainer.train()
    model.save(job["folder"])
    (cpu, wall), (last_cpu, last_wall) = stamps[0], stamps[-1]
    answer = {
        "steps": len(stamps),
        "pairs": (len(stamps) - 1) * job["batch_size"],
        "cpu_s": last_cpu - cpu,
        "wall_s": last_wall - wall,
        "versions": {
            "sentence-transformers": sentence_transformers.__version__,
            "torch": torch.__version__,
        },
    }
    print(json.dumps(answer), flush=True)


def settings_of(job: dict[str, Any]) -> Any:
    """The trainer's arguments."""
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    return SentenceTransformerTrainingArguments(
        output_dir=job["folder"] + ".run",
        num_train_epochs=job["epochs"],
        max_steps=job.get("steps") or -1,
        per_device_train_batch_size=job["batch_size"],
        learning_rate=job["lr"],
        warmup_steps=job["warmup"],
        weight_decay=job["weight_decay"],
        max_grad_norm=1.0,
        bf16=job["bf16"],
        use_cpu=True,
        batch_sampler="no_duplicates",
        seed=job["seed"],
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_num_workers=0,
    )


if __name__ == "__main__":
    main()
