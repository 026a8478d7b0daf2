"""Each candidate's metric for each query of a set: made once, kept as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, beir
from gnomon.adapt.candidates import Candidate
from gnomon.adapt.offline import OfflineSearch
from gnomon.adapt.search_space import Option, options
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Array
from gnomon.evaluate.metrics import parse_metric

SETS = {
    "scifact": ("train", "test"),
    "cranfield": ("test", "test"),
    "cosqa": ("dev", "dev"),
    "insuranceqa": ("train", "dev"),
}
"""The splits that labels are drawn from, and that are measured."""
MODEL, SECOND = "all-MiniLM-L6-v2", "gte-small"
_MOST = 1000


@dataclass(frozen=True)
class SetValues:
    """nDCG@10 a query (rows) by the untouched search and by each candidate, of labels and of measured queries."""

    name: str
    options: tuple[Option, ...]
    judged: Array
    tested: Array

    @property
    def is_one_split(self) -> bool:
        """Whether labels and measured queries are drawn from the same ones."""
        return SETS[self.name][0] == SETS[self.name][1]

    @property
    def most_labels(self) -> int:
        """How many labels there are; half of the queries where the others are measured."""
        return len(self.judged) // 2 if self.is_one_split else len(self.judged)


def set_values(name: str, folder: Path) -> SetValues:
    """The values of a set, from the file or from its collection, which is made where it is missing."""
    every = options(RetrievalSettings(), models=[SECOND])
    tables = {split: _table(name, split, folder, every=every) for split in dict.fromkeys(SETS[name])}
    judged, tested = SETS[name]
    return SetValues(name, every, tables[judged], tables[tested])


def _table(name: str, split: str, folder: Path, *, every: tuple[Option, ...]) -> Array:
    """A row a query, sorted by id: the untouched search first, then every candidate."""
    kept, names = folder / f"{name}-{split}.npz", [option.candidate.name for option in every]
    if kept.is_file():
        with np.load(kept) as found:
            if list(found["names"]) == names:
                return np.asarray(found["values"])
    texts, relevant = _queries(name, split)
    metric, columns = parse_metric("nDCG@10"), []
    with gnomon.open(folder / name, settings=gnomon.CollectionSettings(model=MODEL, chunk_tokens=256, threads=1)) as kb:
        if not kb.ids():
            kb.index([DATA / name])
        search = OfflineSearch(kb, texts, k=10)
        for candidate in (Candidate("as it is", "fusion"), *(option.candidate for option in every)):
            found = metric.per_query(search.run(candidate), relevant)
            columns.append([found[query] for query in sorted(texts)])
            print(name, split, candidate.name, f"{np.mean(columns[-1]):.4f}", flush=True)
    values = np.array(columns).T
    np.savez(kept, names=names, values=values)
    return values


def _queries(name: str, split: str) -> tuple[dict[str, str], Mapping[str, Any]]:
    """The split's queries with a relevant document, of many as many as are needed, drawn by chance."""
    data = beir(name, split)
    found = [query for query in data.queries if any(grade > 0 for grade in data.relevant[query].values())]
    drawn = sorted(np.random.default_rng(0).permutation(len(found))[:_MOST].tolist())
    texts = {found[at]: data.queries[found[at]] for at in drawn}
    return texts, {query: data.relevant[query] for query in texts}
