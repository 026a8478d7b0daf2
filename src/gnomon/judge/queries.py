"""The queries to judge for, from a file or a query log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file, is_folder
from gnomon.evaluate.datasets import id_of, kind_of
from gnomon.evaluate.text_files import json_rows
from gnomon.migrate.query_log import read_queries

MOST = 500
_FILES = ("queries.jsonl", "queries.jsonl.gz")


def judging_queries(path: str | Path, *, most: int = MOST) -> Mapping[str, str] | Sequence[str]:
    """The queries of a file: one a line, or JSON lines; of a query log's folder; of a BEIR folder's queries.jsonl.

    JSON lines with ids keep them. Where there are more than `most`, the most frequent ones. Raises InvalidInput for a
    place without queries, UnreadableFile.
    """
    place = Path(path).expanduser()
    if most < 1:
        raise InvalidInput(f"at most {most} queries", expected="1 or more")
    if is_folder(place):
        place = next((place / name for name in _FILES if is_file(place / name)), place)
    if is_file(place) and kind_of(place) == "queries":
        found = {id_of(row): str(row.get("text", row.get("query", ""))) for _, row in json_rows(place)}
        return {name: text for name, text in list(found.items())[:most] if name is not None}
    return [text for text, _ in Counter(read_queries(place)).most_common(most)]
