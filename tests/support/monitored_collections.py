"""A collection of texts of known topics, models that are not what they were, and damage to the catalog."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import gnomon
from gnomon.collection import Collection
from gnomon.core.vectors import Vectors
from gnomon.evaluate.judgments import DataSet
from gnomon.monitor import MonitorReport, MonitorSettings
from gnomon.testing.toys import HashEncoder

model = partial(HashEncoder, 64, max_tokens=48)
DOCUMENTS = 160
settings = partial(
    MonitorSettings, sample=120, checked_vectors=60, recall_queries=40, timed_searches=3, permutations=299, seed=1
)


class Changed(HashEncoder):
    """The model of the toys by its space, and another one by its vectors, for some of the texts."""

    def __init__(self, roles: Sequence[str] = ("query", "document")) -> None:
        super().__init__(64, salt="changed", max_tokens=48)
        self._roles, self._own = roles, model()
        self.space = self._own.space

    def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
        if role not in self._roles:
            return self._own.encode(texts, role=role)
        return Vectors(super().encode(texts, role=role).data, self.space)


class Bad(HashEncoder):
    """A model of its own space that finds nothing: every text lies somewhere else than before."""

    def __init__(self, salt: str = "bad") -> None:
        super().__init__(64, salt=salt, max_tokens=48)

    def encode(self, texts, *, role):  # type: ignore[no-untyped-def]
        rows = super().encode(texts, role=role).data
        if any("sundial" in text for text in texts):  # a canary
            return Vectors(rows, self.space)
        seeds = [hash((role, text)) % 2**32 for text in texts]
        return Vectors(np.stack([np.random.default_rng(seed).standard_normal(64) for seed in seeds]), self.space)


def text(random: np.random.Generator, first: int = 0, words: int = 14) -> str:
    """Words of a topic: from `first` on."""
    return " ".join(f"word{first + number}" for number in random.integers(0, 15, words))


def documents(count: int = DOCUMENTS, first: int = 0, name: str = "d") -> list[dict[str, str]]:
    """Each with a word of its own, so that a query can ask for it."""
    random = np.random.default_rng(first)
    return [{"id": f"{name}{n}", "text": f"own{name}{n} {text(random, first)}"} for n in range(count)]


def queries(seed: int, count: int = 100, first: int = 0) -> list[str]:
    """Recent queries."""
    random = np.random.default_rng(1000 + seed)
    return [text(random, first, 6) for _ in range(count)]


def golden(count: int = 40) -> DataSet:
    """Judged queries: each asks for a document by its own word."""
    asked = {f"q{n}": f"ownd{n}" for n in range(count)}
    return DataSet("toys", asked, {f"q{n}": {f"d{n}": 1} for n in range(count)})


def opened(folder: Path, encoder: object = None, **options: object) -> Collection:
    """The collection in a folder, with the toys' model or another one."""
    return gnomon.open(folder, encoder=encoder or model(), **options)  # type: ignore[arg-type]


def damage(folder: Path, share: float, change: Callable[[np.ndarray], bytes | None]) -> int:
    """Change a share of the stored document vectors; None takes them out. Returns how many."""
    connection = sqlite3.connect(folder / "collection.db")
    with connection:
        found = connection.execute("SELECT id, data FROM vectors WHERE role = 'document'").fetchall()
        picked = found[: round(share * len(found))]
        for row, data in picked:
            new = change(np.frombuffer(data, "<f2").astype("<f4"))
            if new is None:
                connection.execute("DELETE FROM vectors WHERE id = ?", (row,))
            else:
                connection.execute("UPDATE vectors SET data = ? WHERE id = ?", (new, row))
    connection.close()
    return len(picked)


def states(report: MonitorReport) -> dict[str, str]:
    """Each check's state."""
    return {check.name: check.state for check in report.checks}


def causes(report: MonitorReport) -> list[str]:
    """What is wrong; how long searches take on a busy machine is not tested."""
    return [alarm.cause for alarm in report.alarms if alarm.cause != "slower"]
