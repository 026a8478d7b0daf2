"""Examples from a BEIR folder: a query with each document that is judged relevant to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example
from gnomon.train.data.examples import Form
from gnomon.train.data.tables import JsonRows, file_digest


class BeirCorpus:
    """Documents of a corpus.jsonl by id: ids are kept in memory, texts are read from disk."""

    def __init__(self, path: Path, *, scratch: Path | None = None) -> None:
        self.path = path
        self._rows = JsonRows(path, scratch=scratch)
        self._at = {_id_of(self._rows.row(at), at): at for at in range(len(self._rows))}

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, document: str) -> bool:
        return document in self._at

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, in the order of the file."""
        return tuple(self._at)

    def text(self, document: str) -> str:
        """A document's title, if it has one, and below it its text. Raises InvalidInput, naming the line."""
        at = self._at[document]
        return _text(self._rows.row(at), self._rows.where(at))


def corpus_texts(place: Path, *, scratch: Path | None = None) -> Iterator[str]:
    """The texts of a corpus.jsonl, or of the one in a folder, one at a time."""
    file = place
    if place.is_dir():
        found = sorted(place.glob("corpus.jsonl*"))
        if not found:
            raise InvalidInput(f"{place} holds no corpus.jsonl", expected='{"text": "…"} a line in that file')
        file = found[0]
    rows = JsonRows(file, scratch=scratch)
    for at in range(len(rows)):
        yield _text(rows.row(at), rows.where(at))


def _text(row: Mapping[str, Any], where: str) -> str:
    title, text = row.get("title") or "", row.get("text")
    if not isinstance(text, str) or not isinstance(title, str):
        raise InvalidInput(
            f"{where}: text {text!r:.60}",
            expected='{"_id": "…", "title": "…", "text": "…"}',
            hint="correct the line",
        )
    return titled(title, text)


def titled(title: str, text: str) -> str:
    """Title and text as they are embedded: the title in a line of its own."""
    return f"{title.strip()}\n{text}" if title.strip() else text


def _id_of(row: Any, at: int) -> str:
    found = row.get("_id", row.get("id"))
    return str(at + 1) if found in (None, "") else str(found)


class BeirExamples:
    """Pairs of a query and a relevant document (grade 1 or above); its other relevant ones are in `also`.

    `split` "" is "train" where there is one, else as `evaluate.load_dataset` chooses. Judgments and queries
    are kept in memory, the corpus's texts are not. Raises InvalidInput for a folder of another kind, and for
    a right document that the corpus lacks.
    """

    form: Form = "pairs"

    def __init__(self, folder: Path, *, split: str = "", scratch: Path | None = None) -> None:
        from gnomon.evaluate.datasets import load_dataset

        if not split and (folder / "qrels" / "train.tsv").exists():
            split = "train"
        self._folder = folder
        self._data = load_dataset(folder, split=split or None)
        self.split = self._data.split
        corpus = sorted(folder.glob("corpus.jsonl*"))
        if not corpus:
            raise InvalidInput(
                f"{folder} holds no corpus.jsonl",
                expected="the documents that judgments speak of",
                hint="put corpus.jsonl or corpus.jsonl.gz beside the queries",
            )
        self.corpus = BeirCorpus(corpus[0], scratch=scratch)
        self._queries = tuple(query for query, grades in self._data.relevant.items() if max(grades.values()) > 0)
        self._right = [self._of(query) for query in self._queries]
        self._ends = np.cumsum([len(right) for right in self._right], dtype=np.int64)

    def _of(self, query: str) -> tuple[str, ...]:
        right = tuple(d for d, grade in self._data.relevant[query].items() if grade > 0)
        missing = [d for d in right if d not in self.corpus]
        if missing or query not in self._data.queries:
            raise InvalidInput(
                f"{self._where(query, (missing or right)[0])}: "
                f"{f'{self.corpus.path.name} lacks the document' if missing else 'no file has the query'}",
                expected="judgments of queries and documents that are there",
                hint="take the judgment out, or give the files that belong to it",
            )
        return right

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def _at(self, at: int) -> tuple[str, tuple[str, ...], int]:
        number = int(np.searchsorted(self._ends, at, side="right"))
        right = self._right[number]
        return self._queries[number], right, at - (int(self._ends[number]) - len(right))

    def example(self, at: int, source: str) -> Example:
        """The pair with this number."""
        query, right, own = self._at(at)
        also = tuple(self.corpus.text(other) for n, other in enumerate(right) if n != own)
        text = self.corpus.text(right[own])
        return Example(self._data.queries[query], (text,), (1.0,), source, self.where(at), also)

    def where(self, at: int) -> str:
        """folder/split:query→document."""
        query, right, own = self._at(at)
        return self._where(query, right[own])

    def _where(self, query: str, document: str) -> str:
        return f"{self._folder}/{self._data.split}:{query}→{document}"

    def digest(self) -> str:
        """Hex SHA-256 over the names and digests of queries, judgments and corpus, in order of name."""
        files = [*self._folder.glob("queries*"), *(self._folder / "qrels").glob("*"), self.corpus.path]
        listed = "".join(f"{file.name} {file_digest(file)}\n" for file in sorted(files) if file.is_file())
        return hashlib.sha256(f"{self._data.split}\n{listed}".encode()).hexdigest()
