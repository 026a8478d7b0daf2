"""Data sets from files: BEIR folders, JSON lines of queries with answers, and TREC's topics and judgments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, Fault, Judgment, collect_judgments, repeated_query
from gnomon.evaluate.text_files import first_line, json_rows
from gnomon.evaluate.trec import looks_like_qrels, looks_like_run, nested_scores, read_qrels, read_topics

ACCEPTED_FORMS = (
    "a BEIR folder (queries.jsonl and qrels/SPLIT.tsv), a JSON-lines file of "
    '{"query": "…", "relevant": ["id", …]}, or TREC topics ("id TAB text") '
    "with judgments (\"query 0 document grade\"; also three columns as TSV or CSV, MTEB's JSON lines, ranx's JSON)"
)
_DEFAULT_SPLIT = "test"
_ENDS = re.compile(r"\.(jsonl|json|tsv|txt|csv|gz|qrels?|topics?)(?=\.|$)", re.IGNORECASE)
_WORDS = re.compile(r"(?i)\b(qrels?|topics?|queries|query|judg\w+|relevance)\b")
FileKind = Literal["answers", "queries", "qrels", "topics", "run", "corpus", "nothing known"]
FilePath = str | Path
QueriesWithFaults = tuple[dict[str, str], tuple[Fault, ...]]


def load_dataset(path: FilePath | tuple[FilePath, FilePath], *, split: str | None = None) -> DataSet:
    """The data set in a folder or file, whose form is detected by content; or of a pair (topics, judgments).

    The split is `split`, else "test", else the only one there is. Faults that a mapping cannot hold
    (pairs judged twice, grades that are not integers) are recorded in the set for `check_dataset`.
    Raises InvalidInput for another form, for a split that is not there and for an ambiguous choice,
    UnreadableFile.
    """
    if isinstance(path, tuple):
        topics, qrels = (_existing(part) for part in path)
        own = _split_name(qrels)
        return _with_qrels(
            _ENDS.sub("", topics.name), topics, {own: qrels}, split=_choose_split(split, {own: qrels}, qrels)
        )
    place = _existing(path)
    if place.is_dir():
        return _from_folder(place, split)
    kind = kind_of(place)
    if kind == "answers":
        return _from_answers(place, split)
    raise _unknown(f"{place} holds {_describe(kind)}", alone=kind)


def kind_of(path: Path) -> FileKind:
    """What a file holds, by its first line. Raises UnreadableFile."""
    line = first_line(path)
    if looks_like_qrels(line):
        return "qrels"
    if line.lstrip().startswith("{"):
        try:
            fields = set(json.loads(line))
        except ValueError:
            fields = set()
        if {"query", "relevant"} <= fields:
            return "answers"
        if "title" in fields and "text" in fields:
            return "corpus"
        if {"text", "query"} & fields and {"_id", "id"} & fields:
            return "queries"
        return "qrels" if path.suffix == ".json" and nested_scores(path) is not None else "nothing known"
    if looks_like_run(line):
        return "run"
    cells = line.split("\t")
    return "topics" if len(cells) == 2 and all(cell.strip() for cell in cells) else "nothing known"


def _existing(path: FilePath) -> Path:
    place = Path(path).expanduser()
    if not place.exists():
        raise InvalidInput(f"{place} does not exist", expected=ACCEPTED_FORMS, hint="correct the path")
    return place


def _from_folder(folder: Path, split: str | None) -> DataSet:
    inside = _kinds(folder)
    below = folder / "qrels"
    judged = _kinds(below) if below.is_dir() else inside
    qrels = {_split_name(path): path for path, kind in judged.items() if kind == "qrels"}
    answers = {_split_name(path): path for path, kind in inside.items() if kind == "answers"}
    if not qrels and answers:
        return _from_answers(answers[_choose_split(split, answers, folder)], split, name=folder.name)
    queries = {path: kind for path, kind in inside.items() if kind in ("queries", "topics")}
    if not qrels or not queries:
        raise _unknown(f"{folder} holds {_listing(inside, judged)}")
    wanted = _choose_split(split, qrels, folder)
    return _with_qrels(folder.name, _queries_for(wanted, queries, folder), qrels, split=wanted)


def _kinds(folder: Path) -> dict[Path, FileKind]:
    """What each file of a folder holds; a corpus is known by its name, since it may be large."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    texts = (".jsonl", ".json", ".tsv", ".csv", ".txt", ".qrels", ".qrel", ".topics", ".gz", "")
    found: dict[Path, FileKind] = {}
    for path in files:
        if path.name.lower().startswith("corpus.jsonl"):
            found[path] = "corpus"
        else:
            found[path] = kind_of(path) if path.suffix.lower() in texts else "nothing known"
    return found


def _queries_for(split: str, found: Mapping[Path, FileKind], folder: Path) -> Path:
    """The split's own queries where each split has its own, else the only ones there are."""
    if len(found) == 1:
        return next(iter(found))
    own = [path for path in found if _split_name(path) == split]
    plain = [path for path in found if path.name.startswith("queries.jsonl")]
    if len(own) == 1 or (not own and len(plain) == 1):
        return (own or plain)[0]
    raise InvalidInput(
        f"{folder} holds {len(found)} files of queries: {', '.join(path.name for path in found)}",
        expected=f"one of them, or one named after the split {split!r}",
        hint="give the pair of files: load_dataset((topics, judgments)) (--data twice)",
    )


def _split_name(path: Path) -> str:
    """ "test" of test.tsv, test.qrels, qrels.test.tsv and qrels-test.txt.gz; "" of qrels.txt."""
    plain = _WORDS.sub("", _ENDS.sub("", path.name).replace("_", " "))
    return " ".join(re.findall(r"[^\s.\-]+", plain))


def _choose_split(split: str | None, splits: Mapping[str, Path], folder: Path) -> str:
    if split is None:
        if _DEFAULT_SPLIT in splits or len(splits) == 1:
            return _DEFAULT_SPLIT if _DEFAULT_SPLIT in splits else next(iter(splits))
    elif split in splits:
        return split
    listed = ", ".join(name or "(unnamed)" for name in sorted(splits))
    raise InvalidInput(
        f"{folder} has no split {split or _DEFAULT_SPLIT!r}; its splits: {listed}",
        expected="one of its splits" if split else "a split, since there is more than one",
        hint=f"name one, for example split={sorted(splits)[0]!r} (--split {sorted(splits)[0]})",
    )


def _with_qrels(name: str, queries_file: Path, qrels: Mapping[str, Path], *, split: str) -> DataSet:
    kind = kind_of(queries_file)
    read: Mapping[FileKind, Callable[[Path], QueriesWithFaults]] = {"queries": _json_queries, "topics": read_topics}
    if kind not in read:
        raise _unknown(f"{queries_file}, given for queries, holds {_describe(kind)}")
    queries, faults = read[kind](queries_file)
    relevant, more = collect_judgments(read_qrels(qrels[split]))
    # Queries of other splits are no queries without judgments.
    others = {row.query for at, path in qrels.items() if at != split for row in read_qrels(path)}
    kept = {query: text for query, text in queries.items() if query in relevant or query not in others}
    if not relevant:
        raise InvalidInput(
            f"{qrels[split]} holds no judgment that can be read", expected="at least one", hint=ACCEPTED_FORMS
        )
    corpus = [path for path in queries_file.parent.glob("corpus.jsonl*") if path.is_file()]
    return DataSet(
        name=name,
        queries=kept,
        relevant=relevant,
        split=split,
        path=queries_file.parent,
        documents=_corpus_ids(corpus[0]) if corpus else None,
        faults=faults + more,
    )


def _json_queries(path: Path) -> QueriesWithFaults:
    queries: dict[str, str] = {}
    faults: list[Fault] = []
    for number, row in json_rows(path):
        query, text = id_of(row), row.get("text", row.get("query"))
        if query is None or not isinstance(text, str):
            raise InvalidInput(
                f"{path}, line {number}: fields {', '.join(row) or 'none'}",
                expected='a query such as {"_id": "1", "text": "…"}',
                hint="rename the fields",
            )
        if query in queries:
            faults.append(repeated_query(query, queries[query], text, where=f"{path.name}:{number}"))
        else:
            queries[query] = text
    return queries, tuple(faults)


def _from_answers(path: Path, split: str | None, *, name: str = "") -> DataSet:
    own = _split_name(path)
    if split is not None and split != own:
        raise InvalidInput(
            f"the split {split!r} of {path}, a file with all of its judgments",
            expected="no split",
            hint="leave it out, or give the file of that split",
        )
    queries: dict[str, str] = {}
    faults: list[Fault] = []
    rows: list[Judgment] = []
    for number, row in json_rows(path):
        query, where = id_of(row) or str(number), f"{path.name}:{number}"
        if not isinstance(row.get("query"), str):
            raise _bad_answer(path, number, row)
        if query in queries:
            faults.append(repeated_query(query, queries[query], row["query"], where=where))
            continue
        queries[query] = row["query"]
        graded = _graded(row.get("relevant"))
        if graded is None:
            raise _bad_answer(path, number, row)
        rows += [Judgment(query, document, grade, where) for document, grade in graded]
    relevant, more = collect_judgments(rows)
    if not relevant:
        raise InvalidInput(f"{path} holds no judgment", expected=ACCEPTED_FORMS, hint="name relevant documents")
    plain = name or _ENDS.sub("", path.name)
    return DataSet(plain, queries, relevant, own, path, faults=(*faults, *more))


def _graded(relevant: Any) -> list[tuple[str, str]] | None:
    """(document, grade as text) of a list of ids or a mapping to grades; None for anything else."""
    if isinstance(relevant, dict):
        return [(document, json.dumps(grade)) for document, grade in relevant.items()]
    if isinstance(relevant, list) and all(isinstance(item, str | int) for item in relevant):
        return [(str(item), "1") for item in relevant]
    return None


def _bad_answer(path: Path, number: int, row: Mapping[str, Any]) -> InvalidInput:
    return InvalidInput(
        f"{path}, line {number}: {json.dumps(row, ensure_ascii=False)[:100]}",
        expected='{"query": "…", "relevant": ["id", …]} or {"query": "…", "relevant": {"id": grade}}',
        hint="correct the line",
    )


def id_of(row: Mapping[str, Any]) -> str | None:
    """The id in a row of a corpus or of queries: `_id`, or `id`."""
    found = row.get("_id", row.get("id"))
    return None if found in (None, "") else str(found)


def _corpus_ids(path: Path) -> frozenset[str]:
    return frozenset(_ids_in_order(path))


def _ids_in_order(path: Path) -> Iterator[str]:
    for number, row in json_rows(path):
        yield id_of(row) or str(number)


def _describe(kind: FileKind) -> str:
    return {
        "answers": "queries with their answers",
        "queries": "queries without judgments",
        "qrels": "judgments without their queries",
        "topics": "queries (topics) without judgments",
        "run": "a run, which is compared and not loaded as a data set",
        "corpus": "documents, no queries",
        "nothing known": "an unknown form",
    }[kind]


def _listing(*kinds: Mapping[Path, FileKind]) -> str:
    merged = {path: kind for found in kinds for path, kind in found.items()}
    parts = [f"{path.name}: {_describe(kind)}" for path, kind in list(merged.items())[:8]]
    return "; ".join(parts) + ("; …" if len(merged) > 8 else "") if parts else "no files"


def _unknown(message: str, *, alone: FileKind | None = None) -> InvalidInput:
    pair = alone in ("topics", "qrels", "queries")
    return InvalidInput(
        message,
        expected=ACCEPTED_FORMS,
        hint="give the folder, or both files: load_dataset((topics, judgments)) (--data twice)"
        if pair
        else "bring it into one of these forms",
    )
