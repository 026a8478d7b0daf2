"""Sets for bench/migration/adapter.py: the same passages and queries in two models' spaces, each encoded once and kept.

python -m bench adapter_sets --to MODEL      # encodes what is lacking, in slices, and can be cut off
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.stages_sets import Corpus
from gnomon.collection.catalog.queries import chunks_of
from gnomon.core.contracts import Encoder, Role
from gnomon.core.vectors import Vectors
from gnomon.encode import EncoderSettings, load_encoder

HOME = Path.home() / ".cache" / "gnomon" / "bench"
SETS = {"scifact": "test", "insuranceqa": "dev"}
DOCUMENTS = {"scifact": 2000, "insuranceqa": 3000}
"""Documents searched in a set: all that are relevant are among them."""
OTHERS = {"scifact": 3183, "insuranceqa": 7000}
"""Documents on whose passages an adapter is fitted."""
QUERIES, LEARNT = 300, 500
"""Judged queries, and those of the training split."""
_SLICE = 128


@dataclass(frozen=True, eq=False)
class Both:
    """Texts in the old and in the new space."""

    old: Vectors
    new: Vectors

    def take(self, rows: np.ndarray[Any, Any]) -> Both:
        """Those at these positions."""
        return Both(self.old.take(rows), self.new.take(rows))


@dataclass(frozen=True, eq=False)
class Material:
    """A set. `owners` is each passage's document; `train` queries have no judgments here and need none.

    `pairs` are passages of other documents of the set: what an adapter is fitted on, none of which is searched.
    """

    name: str
    documents: Both
    owners: np.ndarray[Any, Any]
    queries: Both
    names: tuple[str, ...]
    train: Both
    pairs: Both
    relevant: dict[str, dict[str, int]]


def material(name: str, encoder: Encoder, folder: Path = HOME) -> Material:
    """The set, with what is lacking of the new vectors encoded now."""
    corpus = Corpus(name, folder)
    asked = corpus.asked(SETS[name], QUERIES)
    train = corpus.asked("train", LEARNT)
    keys = np.array([corpus.owners.keys[int(at)] for at in corpus.owners.documents])
    distinct = list(dict.fromkeys(keys))
    searched = np.isin(keys, _kept(distinct, asked.relevant, DOCUMENTS[name]))
    used = np.isin(keys, _kept(distinct, asked.relevant, DOCUMENTS[name] + OTHERS[name]))
    ids, rows = corpus.vectors()
    with corpus._catalog.read() as connection:
        texts = [chunk.embed_text for chunk in chunks_of(connection, ids[used].tolist())]
    sides = {}
    for part, known in (("queries", asked), ("train", train)):
        said = list(known.queries.values())
        old = known.encoder.encode(said, role="query")
        sides[part] = Both(old, encoded(encoder, said, "query", folder=folder))
    every = Both(rows.take(np.flatnonzero(used)), encoded(encoder, texts, "document", folder=folder))
    here, away = np.flatnonzero(searched[used]), np.flatnonzero(~searched[used])
    return Material(
        name,
        every.take(here),
        keys[searched],
        sides["queries"],
        tuple(asked.queries),
        sides["train"],
        every.take(away),
        asked.relevant,
    )


def _kept(keys: Sequence[str], relevant: dict[str, dict[str, int]], most: int) -> list[str]:
    """All that any judged query needs, and the first of the others, up to `most`."""
    needed = {key for graded in relevant.values() for key in graded}
    others = [key for key in keys if key not in needed]
    return sorted(needed.union(others[: max(0, most - len(needed))]))


def encoded(encoder: Encoder, texts: Sequence[str], role: Role, *, folder: Path) -> Vectors:
    """The texts' vectors. They are kept by the texts' hashes in a file that grows by slices."""
    space = encoder.space
    path = folder / "adapter" / f"{space.fingerprint[:12]}.{role}"
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = np.dtype([("text", "S32"), ("row", "<f4", (space.dim,))])
    known = np.fromfile(path, dtype=entry) if path.exists() else np.zeros(0, entry)
    rows = {bytes(one["text"]).ljust(32, b"\0"): one["row"] for one in known}
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    todo = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
    lacking = list(todo.items())
    with path.open("ab") as file:
        file.truncate(len(known) * entry.itemsize)
        for at in range(0, len(lacking), _SLICE):
            part = lacking[at : at + _SLICE]
            made = np.zeros(len(part), entry)
            made["text"] = [key for key, _ in part]
            made["row"] = encoder.encode([text for _, text in part], role=role).data
            file.write(made.tobytes())
            file.flush()
            rows.update({key: row for (key, _), row in zip(part, made["row"], strict=True)})
    return Vectors(np.stack([rows[key] for key in keys]), space)


def main() -> None:
    """Encode all sets."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--to", default="gte-small")
    arguments.add_argument("--only", default=",".join(SETS))
    given = arguments.parse_args()
    encoder = load_encoder(given.to, settings=EncoderSettings(threads=1))
    for name in given.only.split(","):
        found = material(name, encoder)
        print(name, len(found.documents.new), "passages of", len(set(found.owners)), "documents")


if __name__ == "__main__":
    main()
