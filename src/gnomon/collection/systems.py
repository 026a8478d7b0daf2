"""The systems that can be evaluated, by their names: a collection, a mode or version of it, a saved run, a model."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from gnomon.collection.address import PostgresAddress, collection_address, is_database, redacted
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation_corpus import corpus_of, evaluation_folder, index_once
from gnomon.collection.opening import open_collection
from gnomon.collection.settings import CollectionSettings, Mode
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.files import is_file, is_folder
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.vector_types import VectorType, require_vector_type
from gnomon.evaluate.judgments import DataSet, DataSetIssue
from gnomon.evaluate.pseudo import ChunkText
from gnomon.evaluate.run import Relevant, Run

FORMS = (
    "a collection's folder or postgresql:// address (kb), a mode of it (kb:dense), a version (kb@v1), any of these "
    "with its vectors rounded to another type (kb#int8, kb:dense#binary), a saved run (run.json, run.trec) or a model "
    "(model:NAME)"
)
_MODES = cast("tuple[Mode, ...]", get_args(Mode))
_MODEL = "model:"
_COLLECTION = re.compile(
    r"(?P<place>.+?)(?:@(?P<version>v\d+))?(?::(?P<mode>[^:/@#]*))?(?:#(?P<type>[^/#]*))?", re.DOTALL
)
_SHOWN = 5


@dataclass(frozen=True)
class SystemRun:
    """A system's run over a data set, with the judgments of the queries that were searched for.

    `documents` are the collection's ids, None for a saved run; `seconds` is what searching took, without loading and
    indexing, None for a saved run. `notes` say what readers of the figures should know.
    """

    run: Run
    relevant: Relevant
    documents: frozenset[str] | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CollectionSystem:
    """A collection, in one mode (None: its own), maybe of a named version, or the part that meets `where`."""

    text: str
    place: Path | PostgresAddress
    mode: Mode | None = None
    version: str | None = None
    where: str | None = None
    vector_type: VectorType | None = None

    def run(self, dataset: DataSet, *, k: int = 100, progress: ProgressCallback = no_progress) -> SystemRun:
        """Search for every judged query, `k` results each. Judged documents that do not meet `where` count as
        not found.

        Raises InvalidInput for another corpus or version, for a condition on an unknown field or one that no
        judged document meets, and as opening does.
        """
        with open_collection(self.place, create=False, progress=progress, version=self.version) as kb:
            return search_collection(kb, dataset, self, k=k, progress=progress)

    def chunk_texts(self) -> list[ChunkText]:
        """What pseudo-queries are made from."""
        with open_collection(self.place, create=False, version=self.version) as kb:
            return kb.chunk_texts()


@dataclass(frozen=True)
class RunSystem:
    """A saved run."""

    text: str
    file: Path

    def run(self, dataset: DataSet, *, k: int = 100, progress: ProgressCallback = no_progress) -> SystemRun:
        """Read the run. A TREC file has no place for a query that found nothing: such queries are put back.

        Raises InvalidInput for a run of another corpus or of other queries, UnreadableFile.
        """
        run, notes = Run.load(self.file), []
        lacking = dataset.relevant.keys() - run.queries
        if lacking == dataset.relevant.keys():
            raise InvalidInput(
                f"{self.file} holds none of the {len(lacking)} judged queries",
                expected=f"queries such as {_some(dataset.relevant)}",
                hint=f"its queries are {_some(run.results)}: take the run of these judgments",
            )
        if lacking and self.file.suffix != ".json":
            run = run.with_queries(dataset.relevant)
            notes.append(f"{self.file}: {len(lacking)} judged queries are not in it and count as having found nothing")
        return _of_this_corpus(SystemRun(run, dataset.relevant, notes=tuple(notes)), dataset, self.text)


@dataclass(frozen=True)
class ModelSystem:
    """A model: its collection of the data set's corpus is made once, in gnomon's cache, and searched dense."""

    text: str
    model: str

    def run(self, dataset: DataSet, *, k: int = 100, progress: ProgressCallback = no_progress) -> SystemRun:
        """Search the corpus with the model. Raises InvalidInput where the data set brings no corpus."""
        from gnomon.encode import load_encoder

        corpus = corpus_of(dataset)
        encoder = load_encoder(self.model, progress=progress)
        folder = evaluation_folder(corpus, encoder.space.fingerprint)
        settings = CollectionSettings(model=self.model)
        with open_collection(folder, settings=settings, encoder=encoder) as kb:
            note = index_once(kb, corpus, self.model, progress=progress)
            system_run = search_collection(
                kb, dataset, CollectionSystem(self.text, folder, "dense"), k=k, progress=progress
            )
        return replace(system_run, notes=(*system_run.notes, note))


System = CollectionSystem | RunSystem | ModelSystem


def resolve(text: str) -> System:
    """The system of a name; see FORMS. Raises InvalidInput where there is none."""
    if text.startswith(_MODEL):
        name = text.removeprefix(_MODEL)
        if not name:
            raise InvalidInput(f"{text!r} without a name", expected=FORMS, hint="gnomon models lists them")
        return ModelSystem(text, name)
    if is_file(_path(text)):
        return RunSystem(text, _path(text))
    if is_folder(_path(text)):
        return CollectionSystem(text, _path(text))
    match = _COLLECTION.fullmatch(text)
    if match is None:
        raise _nothing_at(text)
    address, version, mode, vector_type = match.group("place", "version", "mode", "type")
    if vector_type is not None:
        require_vector_type(vector_type)
        if is_file(_path(address)) or address.startswith(_MODEL):
            raise InvalidInput(f"{text}: only a collection's vectors can be rounded", expected=FORMS)
    if not is_database(address) and not is_folder(_path(address)):
        raise _nothing_at(text)
    if mode is not None and mode not in _MODES:
        raise InvalidInput(
            f"{redacted(text)}: there is no mode {mode!r}",
            expected=f"one of {', '.join(_MODES)}",
            hint=f"for example {redacted(address)}:dense",
        )
    found = collection_address(address) if is_database(address) else _path(address)
    return CollectionSystem(
        redacted(text), found, cast("Mode | None", mode), version, vector_type=cast("VectorType | None", vector_type)
    )


def findings(system_run: SystemRun, dataset: DataSet) -> tuple[DataSetIssue, ...]:
    """Mismatches between a run and the judgments, errors first: unknown documents and queries."""
    found = []
    if system_run.documents is not None:
        lacking = judged_documents(system_run.relevant) - system_run.documents
        if dataset.documents is not None:
            lacking &= dataset.documents  # what the corpus itself lacks is a fault of the data set
        found.append(_finding("judged documents that the collection lacks", lacking, fatal=True))
    unasked = set(system_run.relevant) - system_run.run.queries
    found.append(_finding("judged queries that the run lacks; they count 0", unasked, fatal=True))
    if dataset.documents is not None:
        unknown = _returned(system_run.run) - dataset.documents
        found.append(_finding("returned documents that the data set's corpus lacks", unknown, fatal=False))
    return tuple(finding for finding in found if finding.count)


def judged_documents(relevant: Relevant) -> frozenset[str]:
    """The ids of all judged documents."""
    return frozenset(document for grades in relevant.values() for document in grades)


def search_collection(
    kb: Collection, dataset: DataSet, system: CollectionSystem, *, k: int, progress: ProgressCallback
) -> SystemRun:
    """The run of an open collection over the judged queries, in the mode and with the condition of `system`."""
    name, mode, where = system.text, system.mode, system.where
    documents = frozenset(kb.ids())
    queries = _judged_queries(dataset)
    relevant = {query: dataset.relevant[query] for query in queries}
    judged = judged_documents(relevant)
    if judged.isdisjoint(documents):
        raise InvalidInput(
            f"none of the {len(judged):,} judged documents is among the {len(documents):,} of {name}",
            expected=f"a collection of the documents that are judged, such as {_some(judged)}",
            hint=f"its documents are {_some(documents) or 'none'}: index the judged corpus, or give the "
            "judgments of this one",
        )
    notes = () if where is None else _left_out(judged & documents, frozenset(kb.ids(where)), where)
    kb.retriever(mode, where=where)  # loads the model and the indexes, so that the time is that of searching
    started = time.perf_counter()
    run = kb.run(queries, k=k, mode=mode, where=where, vector_type=system.vector_type, progress=progress)
    seconds = time.perf_counter() - started
    return _of_this_corpus(SystemRun(run, relevant, documents, seconds, notes), dataset, name)


def _left_out(judged: frozenset[str], allowed: frozenset[str], where: str) -> tuple[str, ...]:
    """A note on judged documents that a condition keeps from being found."""
    if judged.isdisjoint(allowed):
        raise InvalidInput(
            f"none of the {len(judged):,} judged documents meets {where}",
            expected=f"a condition that some of them meet, such as {_some(judged)}",
            hint=f"{len(allowed):,} documents meet it"
            + (f", such as {_some(allowed)}" if allowed else "")
            + ": change the condition, or take judgments of these",
        )
    lacking = judged - allowed
    if not lacking:
        return ()
    return (f"{len(lacking):,} of {len(judged):,} judged documents do not meet {where}; they count as not found",)


def _judged_queries(dataset: DataSet) -> dict[str, str]:
    queries = dataset.judged
    if not queries:
        raise InvalidInput(
            f"the data set {dataset.name!r} has no query with a text and a judgment",
            expected="queries to search for",
            hint="give the queries with their judgments; judgments alone do for saved runs",
        )
    return queries


def _of_this_corpus(system_run: SystemRun, dataset: DataSet, name: str) -> SystemRun:
    """Raise InvalidInput where no returned document is judged or of the data set's corpus."""
    returned, judged = _returned(system_run.run), judged_documents(dataset.relevant)
    known = judged | (dataset.documents or frozenset()) | (system_run.documents or frozenset())
    if returned and returned.isdisjoint(known):
        raise InvalidInput(
            f"{name} is a run of another corpus: none of the {len(returned):,} documents that it returned is "
            f"judged in {dataset.name!r}" + (" or in its corpus" if dataset.documents else ""),
            expected=f"documents such as {_some(judged)}",
            hint=f"the run's are {_some(returned)}: take the run of this corpus, or correct the ids",
        )
    return system_run


def _returned(run: Run) -> frozenset[str]:
    return frozenset(document for found in run.results.values() for document in found)


def _finding(kind: str, ids: set[str] | frozenset[str], *, fatal: bool) -> DataSetIssue:
    examples = tuple(map(repr, sorted(ids)[:_SHOWN]))
    return DataSetIssue(kind, len(ids), examples, "error" if fatal else "warning")


def _some(ids: object) -> str:
    return ", ".join(map(repr, sorted(map(str, ids))[:3]))  # type: ignore[call-overload]


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _nothing_at(text: str) -> GnomonError:
    from gnomon.encode import card_for

    after = "correct the path, or make the collection: gnomon index PATH --into kb"
    if card_for(text):
        after = f"a model is named {_MODEL}{text}"
    return InvalidInput(f"there is no collection and no run at {text}", expected=FORMS, hint=after)


def labels(*texts: str) -> list[str]:
    """Short names that tell the systems apart: the end of each path, or all of it."""
    short = [text if text.startswith(_MODEL) else Path(text).name or text for text in texts]
    return short if len(set(short)) == len(set(texts)) else list(texts)
