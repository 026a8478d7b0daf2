"""What sentence-transformers and others call the keys and values of a recipe, for the hint after an error."""

from __future__ import annotations

from collections.abc import Mapping

KEYS: Mapping[str, str] = {
    "learning_rate": "optim.lr",
    "num_train_epochs": "optim.epochs",
    "num_epochs": "optim.epochs",
    "max_steps": "optim.steps",
    "per_device_train_batch_size": "optim.batch_size",
    "train_batch_size": "optim.batch_size",
    "mini_batch_size": "optim.chunk",
    "warmup_ratio": "optim.warmup",
    "warmup_steps": "optim.warmup",
    "lr_scheduler_type": "optim.schedule",
    "scheduler": "optim.schedule",
    "max_grad_norm": "optim.clip",
    "bf16": "optim.precision",
    "fp16": "optim.precision",
    "eval_steps": "dev.every",
    "early_stopping_patience": "dev.patience",
    "metric_for_best_model": "dev.metric",
    "save_steps": "output.checkpoint_every",
    "save_total_limit": "output.keep",
    "output_dir": "output.folder",
    "model.name": "model.backbone",
    "model_name": "model.backbone",
    "model_name_or_path": "model.backbone",
    "max_seq_length": "model.max_tokens",
    "max_length": "model.max_tokens",
    "pooling_mode": "model.pooling",
    "gradient_checkpointing": "model.checkpointing",
    "loss": "objective.name",
    "loss_function": "objective.name",
    "matryoshka_dims": "objective.matryoshka.dims",
    "train_dataset": "data.sources",
    "train": "data.sources",
    "eval_dataset": "data.dev",
    "eval": "data.dev",
}
"""A key, or a table's key, to the key here with its table."""
VALUES: Mapping[str, str] = {
    "multiplenegativesranking": "infonce",
    "multiplenegativessymmetricranking": "infonce",
    "cachedmultiplenegativesranking": "infonce",
    "multiplenegatives": "infonce",
    "mnrl": "infonce",
    "mnr": "infonce",
    "cosinesimilarity": "cosine",
    "distillkldiv": "listwise_kl",
    "biencoder": "bi",
    "sentencetransformer": "bi",
    "dense": "bi",
    "dualencoder": "dual",
    "twotower": "dual",
    "colbert": "late",
    "lateinteraction": "late",
    "multivector": "late",
    "crossencoder": "cross",
    "reranker": "cross",
    "lasttoken": "last",
    "eos": "last",
}
"""By `plain`, to the value here."""


def plain(value: object) -> str:
    """A value as `VALUES` has it: "MultipleNegativesRankingLoss" is "multiplenegativesranking"."""
    letters = "".join(one for one in str(value).lower() if one.isalnum())
    return letters.removesuffix("loss")
