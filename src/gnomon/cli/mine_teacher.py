"""What `gnomon mine --teacher` does with its options: passages and queries of pairs, documents or a collection."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.cli.places import place
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import ProgressCallback

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.collection.collection import Collection
    from gnomon.evaluate.pseudo import ChunkText
    from gnomon.train.mining.queries import QueryKind, TaughtQuery
    from gnomon.train.mining.teach import OpenedTeacher, TeacherPlaces


@dataclass(frozen=True)
class MinedOutcome:
    """What a run gave: its report as a plain mapping, and what shows it to people."""

    report: dict[str, Any]
    show: Callable[[Console], None]


@dataclass(frozen=True)
class TeacherOptions:
    """The options beside DATA and --out."""

    teachers: tuple[str, ...]
    source: Any
    corpus: Path | None = None
    kinds: tuple[str, ...] = ()
    per_kind: int = 500
    llm: str | None = None
    llm_model: str | None = None
    depth: int = 100
    draws: int = 1
    language: str | None = None
    seed: int = 0
    limit: int | None = None
    max_cost: float | None = None
    fresh: bool = False


def mine_taught(data: str, out: Path, options: TeacherOptions, *, progress: ProgressCallback) -> MinedOutcome:
    """Mine the rows."""
    from gnomon.train.mining.teach import TeacherPlaces, mine_with_teacher
    from gnomon.train.mining.teacher_rows import TeacherSettings

    places = TeacherPlaces(out.with_name(f"{out.name}.vectors"), options.max_cost)
    with ExitStack() as held:
        kb = _collection(data, held)
        teachers = [one for name in options.teachers for one in _teachers(name, places, held, progress=progress)]
        _require_bounded(teachers, options)
        texts, queries = _input(data, out, kb, options=options, teachers=teachers, progress=progress)
        mining = mine_with_teacher(
            queries[: options.limit],
            texts,
            teachers,
            language=options.language or _language(texts),
            settings=TeacherSettings(depth=options.depth, draws=options.draws, seed=options.seed),
            progress=progress,
        )
        report = mining.write(out, fresh=options.fresh)
    spent = {one.name: round(one.vectors.spent, 6) for one in teachers if one.vectors is not None and one.vectors.spent}
    plain = {**report.to_json(), "out": str(out), "spent_usd": spent}
    return MinedOutcome(plain, lambda console: print_taught(console, plain))


def print_taught(console: Console, report: dict[str, Any]) -> None:
    """What was mined, for people."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, print_rows

    kinds = ", ".join(f"{count(n)} {kind}" for kind, n in report["kinds"].items() if n)
    rows = [
        ("written", f"{counted(report['rows'], 'row')} to {report['out']}"),
        ("queries", f"{kinds}; {counted(report['passages'], 'passage')}"),
        ("teacher", report["teacher"]),
    ]
    if report["known"]:
        rows.append(("answers", f"the teacher's first for {count(report['first'])} of {count(report['known'])}"))
    if report["check"]:
        low, high = report["check"]["interval"]
        share = f"an answer before a random passage in {report['check']['auc']:.1%} ({low:.1%} to {high:.1%})"
        rows.append(("check", share))
    else:
        rows.append(("check", "too few known answers to tell whether the teacher knows these documents"))
    if report["filled"]:
        rows.append(("filled", f"{count(report['filled'])} queries with few candidates, to which others were drawn"))
    if report["spent_usd"]:
        rows.append(("spent", ", ".join(f"{usd:.6f} USD for {name}" for name, usd in report["spent_usd"].items())))
    print_rows(console, [(Text(label, style="dim"), clean(value)) for label, value in rows])


def _input(
    data: str,
    out: Path,
    kb: Collection | None,
    *,
    options: TeacherOptions,
    teachers: Sequence[OpenedTeacher],
    progress: ProgressCallback,
) -> tuple[list[str], list[TaughtQuery]]:
    """Passages and queries: of a collection, of a folder of documents, or of pairs."""
    from gnomon.train.mining.queries import passages_of
    from gnomon.train.mining.teach import first_vectors

    if kb is not None:
        chunks = kb.chunk_texts()
    elif _is_documents(Path(data)):
        from gnomon.train.data.documents import read_documents

        chunks = passages_of(read_documents([Path(data)]))
    else:
        return _pairs(data, options)
    if (vectors := first_vectors(teachers)) is not None:
        vectors.fill((("document", chunk.text) for chunk in chunks), progress=progress)
    return [chunk.text for chunk in chunks], _made(chunks, out, options=options, teachers=teachers, progress=progress)


def _pairs(data: str, options: TeacherOptions) -> tuple[list[str], list[TaughtQuery]]:
    from gnomon.train.data import open_source
    from gnomon.train.data.beir import corpus_texts
    from gnomon.train.mining.search import TextPool
    from gnomon.train.mining.teach import queries_of

    if options.kinds or options.llm:
        raise InvalidInput(
            f"--kinds or --llm for {data}, which has queries of its own",
            expected="a collection or a folder of documents, of which queries are made",
            hint="leave them out",
        )
    source = open_source(options.source)
    corpus = options.corpus or (Path(data) if source.is_beir else None)
    pool = TextPool()
    if corpus is not None:
        pool.add_all(corpus_texts(corpus))
    return pool.texts, queries_of(source, pool)


def _made(
    chunks: Sequence[ChunkText],
    out: Path,
    *,
    options: TeacherOptions,
    teachers: Sequence[OpenedTeacher],
    progress: ProgressCallback,
) -> list[TaughtQuery]:
    from gnomon.train.mining.queries import (
        KINDS,
        QuerySettings,
        WrittenQueries,
        extracted_queries,
        written_queries,
    )
    from gnomon.train.mining.teach import first_vectors

    kinds: tuple[QueryKind, ...] = options.kinds or KINDS  # type: ignore[assignment]
    settings, vectors = QuerySettings(kinds, options.per_kind, options.seed), first_vectors(teachers)
    if not options.llm:
        return extracted_queries(chunks, settings, vectors=vectors)
    from gnomon.answer import Message
    from gnomon.answer.llm.endpoint import open_chat_model

    chat = open_chat_model(options.llm, options.llm_model)

    def write(prompt: str) -> str:
        return "".join(chat.stream([Message("user", prompt)], max_tokens=200))

    language = options.language or _language([chunk.text for chunk in chunks])
    written = WrittenQueries(out.with_name(f"{out.name}.queries"), write, language)
    return written_queries(chunks, settings, written, vectors=vectors, progress=progress)


def _teachers(given: str, places: TeacherPlaces, held: ExitStack, *, progress: ProgressCallback) -> list[OpenedTeacher]:
    """Of NAME or NAME=WEIGHT; a collection is its model and BM25, by the weights of its hybrid search."""
    from gnomon.train.mining.teach import OpenedTeacher, encoder_teacher, open_teacher
    from gnomon.train.mining.teachers import WORDS

    weighted = re.fullmatch(r"(.+)=(\d*\.?\d+)", given)
    name, weight = (weighted[1], float(weighted[2])) if weighted else (given, 1.0)
    kb = _collection(name, held)
    if kb is None:
        return [open_teacher(name, weight, places=places, progress=progress)]
    fuse = kb.version.retrieval.fuse.weights or (1.0, 1.0)
    total = sum(fuse[:2]) or 1.0
    own = encoder_teacher(kb.version.model, kb.encoder, weight * fuse[0] / total, places=places)
    if own.vectors is not None:
        table = kb.to_arrow("chunks", vectors=True)
        vectors = {t: v for t, v in zip(*(table.column(c).to_pylist() for c in ("text", "vector")), strict=True) if v}
        own.vectors.add("document", vectors)
    return [own, OpenedTeacher(WORDS, weight * fuse[1] / total)]


def _collection(name: str, held: ExitStack) -> Collection | None:
    """The collection at an address; None for what is none."""
    import gnomon
    from gnomon.collection.address import is_database
    from gnomon.collection.catalog.connection import is_catalog

    if not (is_database(name) or is_catalog(Path(name))):
        return None
    kb: Collection = held.enter_context(gnomon.open(place(name), create=False))
    return kb


def _language(texts: Sequence[str]) -> str:
    """That of most passages, as the words are to be read."""
    from gnomon.train.mining.queries import main_language

    return main_language(texts[:: max(1, len(texts) // 300)]) or "en"


def _is_documents(path: Path) -> bool:
    return path.is_dir() and not any(path.glob("corpus.jsonl*")) and not (path / "state.json").exists()


def _require_bounded(teachers: Sequence[OpenedTeacher], options: TeacherOptions) -> None:
    from gnomon.encode.providers.names import provider_reference

    for one in teachers:
        if options.max_cost is not None and one.scorer is not None and provider_reference(one.name) is not None:
            raise InvalidInput(
                f"--max-cost with {one.name}, whose cost is known only afterwards",
                expected="a teacher of this machine, or a provider's encoder",
                hint="leave --max-cost out, and bound the queries with --limit",
            )
