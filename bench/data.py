"""The public data sets that benchmarks run on, where they lie on this machine."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("GNOMON_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def rows(path: Path) -> list[dict[str, Any]]:
    """A gzipped JSON-lines file."""
    if not path.is_file():
        raise SystemExit(f"{path} is missing: set GNOMON_DATA to a folder of BEIR-style data sets")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Beir:
    """A retrieval set: documents, the split's queries by id, and its judgments."""

    documents: list[dict[str, Any]]
    queries: dict[str, str]
    relevant: dict[str, dict[str, int]]


def beir(name: str, split: str) -> Beir:
    """A set in BEIR layout."""
    folder = DATA / name
    texts = {row["_id"]: row["text"] for row in rows(folder / "queries.jsonl.gz")}
    relevant: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        relevant.setdefault(query, {})[document] = int(grade)
    queries = {query: texts[query] for query in sorted(relevant)}
    return Beir(rows(folder / "corpus.jsonl.gz"), queries, relevant)


def mean_ndcg(relevant: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> float:
    """nDCG@10 by ir-measures, over the judged queries."""
    import ir_measures

    judged = [
        ir_measures.Qrel(query, document, grade)
        for query, grades in relevant.items()
        for document, grade in grades.items()
    ]
    scored = [
        ir_measures.ScoredDoc(query, document, score)
        for query, scores in run.items()
        for document, score in scores.items()
    ]
    return float(ir_measures.calc_aggregate([ir_measures.nDCG @ 10], judged, scored)[ir_measures.nDCG @ 10])
