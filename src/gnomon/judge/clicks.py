"""Judgments made of clicks and thumbs: of a collection's query log, or of a file of another search's clicks."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.collection.address import PostgresAddress, collection_address
from gnomon.collection.opening import open_collection
from gnomon.collection.query_log import FeedbackEvent, LoggedQuery, logged_searches
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file, storage_errors, write_atomic
from gnomon.evaluate.clicks import ClickJudgments, ClickMethod, Impression, judgments_from_clicks
from gnomon.evaluate.text_files import json_rows, text_lines

SEPARATOR = "|"
"""Between the ids of a cell of a CSV file."""
_FORM = (
    'JSON lines such as {"query": "…", "shown": ["id", …], "clicked": "id", "session": "…"}, or a CSV file with the '
    f"columns query, shown (ids, {SEPARATOR} between them), clicked, and maybe position, session, up and down"
)


def click_judgments(
    source: str | Path | PostgresAddress, out: str | Path, *, method: ClickMethod = "propensity"
) -> ClickJudgments:
    """Make judgments of the clicks in a collection's query log, or in a file, and write them as a BEIR folder.

    `out` gets queries.jsonl, qrels/clicks.tsv and clicks.json, which says how they were made. Of a log, documents that
    are in the collection no more are left out. Raises InvalidInput for clicks without the lists they were made on,
    and where there are none; UnreadableFile, StorageError.
    """
    address = collection_address(source)
    if isinstance(address, Path) and is_file(address):
        found = judgments_from_clicks(read_clicks(address), method=method)
    else:
        with open_collection(address, create=False) as kb:
            documents = frozenset(kb.ids())
            logged = [_impression(query, events) for query, events in logged_searches(kb.internals.folder)]
        gone = {each for search in logged for each in search.clicked | search.up | search.down} - documents
        found = judgments_from_clicks([_without_gone(each, documents) for each in logged], method=method)
        if gone:
            note = f"{len(gone):,} documents that were clicked are in the collection no more"
            found = replace(found, notes=(*found.notes, note))
    write_judgments(found, Path(out))
    return found


def write_judgments(found: ClickJudgments, out: Path) -> None:
    """Write judgments as a BEIR folder. Raises StorageError."""
    queries = {f"c{number}": text for number, text in enumerate(found.relevant, start=1)}
    rows = ["query-id\tcorpus-id\tscore"]
    rows += [f"{id_}\t{each}\t{grade}" for id_, text in queries.items() for each, grade in found.relevant[text].items()]
    lines = [json.dumps({"_id": id_, "text": text}, ensure_ascii=False) for id_, text in queries.items()]
    with storage_errors(out):
        (out / "qrels").mkdir(parents=True, exist_ok=True)
        write_atomic(out / "queries.jsonl", "\n".join(lines) + "\n")
        write_atomic(out / "qrels" / "clicks.tsv", "\n".join(rows) + "\n")
        write_atomic(out / "clicks.json", json.dumps(found.to_json(), ensure_ascii=False, indent=1) + "\n")


def read_clicks(path: Path) -> list[Impression]:
    """The lists of results of a file, with what was clicked: a row for each list, or for each click on one.

    Rows that follow each other with the same query, list and session are one list. Raises InvalidInput for a row
    without the list that was shown, or with a click on what it does not hold; UnreadableFile.
    """
    found: list[Impression] = []
    for number, row in _rows(path):
        each = _from_row(row, f"{path}, line {number}")
        last = found[-1] if found else None
        if last and (last.query, last.shown, last.session) == (each.query, each.shown, each.session) and each.clicked:
            each = Impression(
                each.query,
                each.shown,
                clicked=last.clicked | each.clicked,
                up=last.up | each.up,
                down=last.down | each.down,
                session=each.session,
            )
            found.pop()
        found.append(each)
    return found


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if next((line for _, line in text_lines(path)), "").lstrip().startswith("{"):
        yield from json_rows(path)
        return
    numbered = list(text_lines(path))
    table = csv.DictReader(line for _, line in numbered)
    if "query" not in (table.fieldnames or ()):
        raise InvalidInput(f"{path} has no column query", expected=_FORM, hint="name the columns in the first line")
    for (number, _), row in zip(numbered[1:], table, strict=False):
        yield number, {name: value for name, value in row.items() if value}


def _from_row(row: Mapping[str, Any], where: str) -> Impression:
    query, shown = row.get("query"), _ids(row.get("shown"))
    clicked, up, down = (_ids(row.get(name)) for name in ("clicked", "up", "down"))
    if not isinstance(query, str) or not query.strip():
        raise InvalidInput(f"{where}: no query", expected=_FORM, hint="correct the line")
    if not shown:
        also = "" if row.get("position") else " and without its position"
        raise InvalidInput(
            f"{where}: a click without the list that was shown{also}: what was looked at and passed over is not "
            "known, so that clicks say no more than which results stood at the top",
            expected=_FORM,
            hint="log the ids that are shown with each search, as gnomon serve --query-log does",
        )
    if (position := row.get("position")) and not clicked:
        clicked = [shown[int(position) - 1]] if 0 < _number(position, where) <= len(shown) else [str(position)]
    unknown = {*clicked, *up, *down} - set(shown)
    if unknown:
        raise InvalidInput(
            f"{where}: {', '.join(sorted(map(repr, unknown))[:3])} was not shown",
            expected="documents of the list in `shown`",
            hint="correct the line",
        )
    return Impression(
        query,
        dict(enumerate(shown, start=1)),
        clicked=frozenset(clicked),
        up=frozenset(up),
        down=frozenset(down),
        session=str(row.get("session") or ""),
    )


def _number(value: Any, where: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise InvalidInput(f"{where}: position {value!r}", expected="a whole number from 1") from None


def _ids(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [str(each) for each in value]
    return [part for part in str(value).split(SEPARATOR) if part]


def _impression(query: LoggedQuery, events: Iterable[FeedbackEvent]) -> Impression:
    """A logged search: of several passages of a document the first place counts."""
    shown: dict[int, str] = {}
    for position, document in enumerate(query.ids, start=1):
        if document not in shown.values():
            shown[position] = document
    kinds: dict[str, set[str]] = {"click": set(), "up": set(), "down": set()}
    sessions = [""]
    for event in events:
        kinds[event.kind].add(event.document)
        sessions.append(event.session)
    return Impression(
        query.query,
        shown,
        clicked=frozenset(kinds["click"]),
        up=frozenset(kinds["up"]),
        down=frozenset(kinds["down"]),
        session=sessions[-1],
    )


def _without_gone(each: Impression, documents: frozenset[str]) -> Impression:
    return Impression(
        each.query,
        {at: document for at, document in each.shown.items() if document in documents},
        clicked=each.clicked & documents,
        up=each.up & documents,
        down=each.down & documents,
        session=each.session,
    )
