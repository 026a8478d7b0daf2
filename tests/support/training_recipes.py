"""Recipes and data of a moment for runs of `fit`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gnomon.train.recipe.recipe import Recipe, read_recipe, to_toml

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("r", "st", "ng")]
LANGUAGE = {word: word[::-1] + "o" for word in WORDS}
NEW = {
    "model_type": "bert",
    "hidden": 32,
    "layers": 2,
    "heads": 2,
    "max_tokens": 24,
    "more": {"initializer_range": 0.2},
}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """A query is some words of its document."""
    rng = random.Random(seed)
    drawn = [rng.sample(WORDS, 7) for _ in range(count)]
    return [{"query": " ".join(words[:3]), "positive": " ".join(words[1:])} for words in drawn]


def triplets(count: int) -> list[dict[str, Any]]:
    rows = pairs(count)
    wrong = pairs(count, seed=9)
    return [{**row, "negative": other["positive"]} for row, other in zip(rows, wrong, strict=True)]


def scored(count: int, seed: int = 3) -> list[dict[str, Any]]:
    """Two texts, and the share of words that they have in common."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        words, same = rng.sample(WORDS, 8), number % 5
        texts = words[:4], words[:same] + words[4 : 8 - same]
        rows.append({"sentence1": " ".join(texts[0]), "sentence2": " ".join(texts[1]), "score": same / 4})
    return rows


def judged(count: int) -> list[dict[str, Any]]:
    """Three documents a query, with a teacher's scores."""
    rng = random.Random(5)
    rows = []
    for row in pairs(count):
        others = [" ".join(rng.sample(WORDS, 6)) for _ in range(2)]
        scores = [round(rng.uniform(5, 9), 2), *(round(rng.uniform(-2, 4), 2) for _ in others)]
        rows.append({"query": row["query"], "positive": [row["positive"], *others], "score": scores})
    return rows


def parallel(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Sentences, and the same in a made-up language."""
    sentences = [row["positive"] for row in pairs(count, seed)]
    return [{"source": s, "translation": " ".join(LANGUAGE[w] for w in s.split())} for s in sentences]


def tables(folder: Path, **changed: dict[str, Any]) -> dict[str, Any]:
    """A recipe's tables, with data beside; each of `changed` is put into the table of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    train = write_rows(folder / "train.jsonl", pairs(96))
    dev = write_rows(folder / "dev.jsonl", pairs(24, seed=1))
    plain: dict[str, Any] = {
        "model": {"kind": "bi", "new": NEW, "vocabulary": 260, "dropout": 0.1},
        "data": {"sources": [{"path": str(train)}], "dev": [{"path": str(dev)}]},
        "objective": {"name": "infonce"},
        "optim": {"lr": 1e-3, "epochs": 2, "batch_size": 16, "precision": "float32"},
        "dev": {"every": 4, "map": 0},
        "output": {"folder": str(folder / "model"), "checkpoint_every": 3},
    }
    for name, table in changed.items():
        plain[name] = {**plain[name], **table}
    return plain


def toy(folder: Path, **changed: dict[str, Any]) -> Recipe:
    return read_recipe(tables(folder, **changed))


def toml(folder: Path, **changed: dict[str, Any]) -> Path:
    path = folder / "recipe.toml"
    plain = tables(folder, **changed)
    path.write_text(to_toml(plain), encoding="utf-8")
    return path
