"""Questions with answers, and the ways to search that bench/answers/answers.py compares."""

from __future__ import annotations

from dataclasses import dataclass

from bench.data import DATA, rows
from gnomon.collection.settings import Mode, RetrievalSettings
from gnomon.retrieve import FuseSettings, NeighbourSettings, RM3Settings, RocchioSettings

SETS = {"covidqa": "test", "rhdh_docs": "test", "xquad/en": "test"}


@dataclass(frozen=True)
class Asked:
    """Questions and their answers by id."""

    questions: dict[str, str]
    answers: dict[str, str]


def asked(name: str, most: int | None = None) -> Asked:
    """All questions of a set, or the first in order of id; in xquad the answers lie with the queries."""
    folder = DATA / name
    texts = {row["_id"]: row for row in rows(folder / "queries.jsonl.gz")}
    held = folder / "qa.jsonl.gz"
    answers = {row["id"]: row["answer"] for row in rows(held)} if held.is_file() else {}
    found = {key: (row["text"], answers.get(key) or row["answer"]) for key, row in texts.items()}
    kept = sorted(found)[:most]
    return Asked({key: found[key][0] for key in kept}, {key: found[key][1] for key in kept})


def retrieval() -> dict[str, tuple[Mode, RetrievalSettings]]:
    """What is compared: the modes, and a hybrid search with each thing changed that can be."""
    return {
        "dense": ("dense", RetrievalSettings()),
        "lexical": ("lexical", RetrievalSettings()),
        "hybrid (default)": ("hybrid", RetrievalSettings()),
        "hybrid, 0.3 dense": ("hybrid", RetrievalSettings(fuse=FuseSettings(weights=(0.3, 0.7)))),
        "hybrid, 0.4 dense": ("hybrid", RetrievalSettings(fuse=FuseSettings(weights=(0.4, 0.6)))),
        "hybrid, 0.6 dense": ("hybrid", RetrievalSettings(fuse=FuseSettings(weights=(0.6, 0.4)))),
        "hybrid, rrf": ("hybrid", RetrievalSettings(fuse=FuseSettings(fusion="rrf"))),
        "hybrid, rocchio": ("hybrid", RetrievalSettings(rocchio=RocchioSettings())),
        "hybrid, rm3": ("hybrid", RetrievalSettings(rm3=RM3Settings())),
        "hybrid, neighbours": ("hybrid", RetrievalSettings(neighbours=NeighbourSettings())),
    }
