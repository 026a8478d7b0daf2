"""`examine_store`: what is in another vector store, and which model made its vectors. Only reads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, is_file, is_folder
from gnomon.core.plugins import has_plugin, load_plugin, plugin_names
from gnomon.core.progress import Progress, ProgressCallback, accepts_say, no_progress
from gnomon.core.renamed import renamed_fields
from gnomon.core.serialize import to_plain
from gnomon.doctor.context import MAX_EXAMPLES
from gnomon.doctor.identify_model import (
    CandidateModel,
    ModelIdentification,
    identify_models,
    installed_candidates,
    named_candidates,
)
from gnomon.doctor.report import DoctorFinding, Severity
from gnomon.doctor.stores import chroma, faiss, lancedb, pgvector, qdrant
from gnomon.doctor.stores.docstore import is_docstore
from gnomon.doctor.stores.source import ColumnNames, StoreSource, VectorBatch
from gnomon.doctor.vector_checks import UNIT

SAMPLE = 64
"""Texts encoded again by each model."""


@renamed_fields(made="model")
@dataclass(frozen=True)
class StorePart:
    """One collection, table or file. `lengths` are the least, median and greatest length of its vectors.

    `model` says which model made them; None where there was nothing to encode again, and `notes` say why.
    """

    name: str
    rows: int
    vectors: int
    dim: int
    lengths: tuple[float, float, float] | None
    is_normalised: bool
    findings: tuple[DoctorFinding, ...]
    model: ModelIdentification | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        model = None if self.model is None else {**to_plain(self.model), "summary": self.model.summary}
        return {**to_plain(self), "model": model}


@dataclass(frozen=True)
class StoreReport:
    """What is in another store: its kind ("chroma", "lancedb", "faiss", "postgresql", "qdrant" or a plug-in's name)
    and its parts.
    """

    place: str
    kind: str
    parts: tuple[StorePart, ...]
    seconds: float

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(each.severity == "error" for part in self.parts for each in part.findings)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        parts = [part.to_json() for part in self.parts]
        return {
            "place": self.place,
            "kind": self.kind,
            "parts": parts,
            "errors": self.errors,
            "seconds": self.seconds,
        }


@accepts_say
@dataclass(frozen=True)
class StoreSettings:
    """How a store is examined.

    `text` and `vector` name columns; "" finds them by their usual names. `texts` is the file with the texts of a
    FAISS index. `sample` texts are encoded again. `metadata`: the readers give each row's other
    fields too. `progress` receives a message for each step.
    """

    text: str = ""
    vector: str = ""
    texts: str | Path | None = None
    sample: int = SAMPLE
    metadata: bool = False
    progress: ProgressCallback = no_progress


def examine_store(
    place: str | Path,
    models: Sequence[str | Path | Encoder] = (),
    settings: StoreSettings | None = None,
) -> StoreReport:
    """Examines a Chroma or LanceDB folder, a FAISS index (a file, or a folder of LangChain or LlamaIndex), a PostgreSQL
    table, a Qdrant collection, or a store of a plug-in (see `gnomon.doctor.stores`).

    `models` may have made the vectors: names, folders or encoders; by default the known ones on this machine
    with as many dimensions. Raises InvalidInput where the place is no such store, a library that reads it is
    not installed, or a server does not answer.
    """
    settings = settings or StoreSettings()
    if settings.sample < 1:
        raise InvalidInput(f"a sample of {settings.sample}", expected="1 text or more")
    started = time.perf_counter()
    kind, sources = store_sources(place, settings)
    parts = tuple(examine_part(source, models, settings) for source in sources)
    shown = pgvector.without_password(str(place)) if kind == "postgresql" else str(place)
    return StoreReport(shown, kind, parts, time.perf_counter() - started)


def is_store(place: str | Path) -> bool:
    """Whether a place is examined as another store, and not as a collection of gnomon."""
    text, path = str(place), Path(place)
    if "://" in text:
        return True
    if is_file(path) or is_file(path / chroma.FILE) or is_docstore(path):
        return True
    return is_folder(path) and (lancedb.is_lance(path) or has_plugin("gnomon.stores", path.suffix))


def store_sources(place: str | Path, settings: StoreSettings) -> tuple[str, list[StoreSource]]:
    """A store's kind, and its collections, tables or files. Raises as `examine_store`."""
    text, columns = str(place), ColumnNames(settings.text, settings.vector, settings.metadata)
    scheme = text.partition("://")[0] if "://" in text else ""
    texts = None if settings.texts is None else Path(settings.texts).expanduser()
    path = Path(place).expanduser()
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        return "postgresql", pgvector.sources(text.replace(scheme, "postgresql", 1), columns)
    if scheme in ("http", "https"):
        return "qdrant", qdrant.sources(text, columns)
    plugin = scheme or (path.suffix.lower().lstrip(".") if exists(path) else "")
    if plugin and has_plugin("gnomon.stores", plugin):
        return plugin, list(load_plugin("gnomon.stores", plugin)(text, columns))
    if not scheme and is_file(path):
        return "faiss", faiss.sources(path, texts, columns)
    if not scheme and is_file(path / chroma.FILE):
        return "chroma", chroma.sources(path, columns)
    if not scheme and is_docstore(path):
        return "faiss", faiss.sources(path, texts, columns)
    if not scheme and is_folder(path) and lancedb.is_lance(path):
        return "lancedb", lancedb.sources(path, columns)
    plugins = "".join(f", {name}" for name in plugin_names("gnomon.stores"))
    raise InvalidInput(
        f"{text} is of no known store" if scheme or exists(path) else f"there is no {text}",
        expected="a collection's folder, a Chroma or LanceDB folder, a FAISS index file, "
        f"postgresql://…/DATABASE?table=NAME, http://HOST:6333/collections/NAME{plugins}",
        hint="check the path or the address",
    )


def _candidate(model: str | Path | Encoder) -> CandidateModel:
    if isinstance(model, str | Path):
        return named_candidates([str(model)])[0]
    return CandidateModel(model.space.name, lambda: model)


def examine_part(source: StoreSource, models: Sequence[str | Path | Encoder], settings: StoreSettings) -> StorePart:
    """What is in one collection, table or file, and which model made its vectors; `models` as in `examine_store`."""
    candidates = [_candidate(model) for model in models]
    settings.progress(Progress("reading", message=f"reading {source.name}"))
    scan = scan_store(source.rows(), settings.sample)
    lengths = np.concatenate(scan.lengths) if scan.lengths else np.zeros(0)
    model, notes = _identify(source, scan, candidates, settings=settings)
    spread = None
    if len(lengths):
        spread = (float(lengths.min()), float(np.median(lengths)), float(lengths.max()))
    return StorePart(
        name=source.name,
        rows=scan.rows,
        vectors=sum(scan.dims.values()),
        dim=scan.dim,
        lengths=spread,
        is_normalised=bool(len(lengths)) and bool((np.abs(lengths - 1) <= UNIT).all()),
        findings=tuple(_findings(scan, model, is_named=bool(candidates))),
        model=model,
        notes=(*source.notes, *notes),
    )


def _identify(
    source: StoreSource, scan: StoreScan, candidates: list[CandidateModel], *, settings: StoreSettings
) -> tuple[ModelIdentification | None, list[str]]:
    """Which model made the vectors, or notes about why that is not known."""
    sample = scan.sample.get(scan.dim, [])
    if not sample:
        if scan.dim == 0:
            return None, ["it has no vectors"]
        why = "no texts are known" if not source.has_texts else "no row has both a text and a usable vector"
        return None, [f"{why}: which model made the vectors is unknown, only the numbers were checked"]
    tried = candidates or installed_candidates(scan.dim)
    if not tried:
        return ModelIdentification("unknown", len(sample)), [
            f"no known model of {scan.dim} dimensions is on this machine: name those that may have made "
            "them with --model"
        ]
    rows = np.stack([vector for _, _, vector in sample])
    model = identify_models(tried, [text for _, text, _ in sample], rows, progress=settings.progress)
    return model, [f"could not be tried: {line}" for line in model.failed]


def _findings(scan: StoreScan, model: ModelIdentification | None, *, is_named: bool) -> list[DoctorFinding]:
    total, found = sum(scan.dims.values()), []
    others = [key for dim, keys in scan.by_dim.items() if dim != scan.dim for key in keys]
    kinds: list[tuple[str, Severity, str, int, Sequence[str], str]] = [
        (
            "wrong-length",
            "error",
            f"do not have the {scan.dim} dimensions of most",
            total - scan.dims.get(scan.dim, 0),
            others,
            "They are of another model, and cannot be compared with the others.",
        ),
        (
            "not-finite",
            "error",
            "hold NaN or infinite values",
            len(scan.not_finite),
            scan.not_finite,
            "No similarity to them is a number.",
        ),
        ("zero", "error", "are zero", len(scan.zero), scan.zero, "They have no direction, so no search finds them."),
        (
            "equal-vectors",
            "note",
            "are equal to another one",
            len(scan.equal),
            scan.equal,
            "The same text more than once, or texts that the model cannot distinguish.",
        ),
    ]
    for check, severity, what, count, ids, explanation in kinds:
        if count:
            message = f"{count:,} of {total:,} vectors {what}"
            advice = "embed these rows again" if severity == "error" else "keep one of each"
            found.append(
                DoctorFinding(
                    check,
                    severity,
                    message=message,
                    count=count,
                    total=total,
                    explanation=explanation,
                    advice=advice,
                    examples=tuple(ids[:MAX_EXAMPLES]),
                )
            )
    found += _missing(scan)
    if model is not None and (model.verdict in ("mixed", "partly") or (model.verdict == "none" and is_named)):
        found.append(_wrong_model(model))
    return found


def _missing(scan: StoreScan) -> list[DoctorFinding]:
    found = []
    for check, what, ids in (
        ("no-vector", "have no vector", scan.no_vector),
        ("no-text", "have no text", scan.no_text if len(scan.no_text) < scan.rows else []),
    ):
        if ids:
            explanation = "They are never found." if check == "no-vector" else "What is found cannot be shown."
            message, shown = f"{len(ids):,} of {scan.rows:,} rows {what}", tuple(ids[:MAX_EXAMPLES])
            advice = "look where the rows come from"
            found.append(
                DoctorFinding(
                    check,
                    "warning",
                    message=message,
                    count=len(ids),
                    total=scan.rows,
                    explanation=explanation,
                    advice=advice,
                    examples=shown,
                )
            )
    return found


def _wrong_model(model: ModelIdentification) -> DoctorFinding:
    explanation = "Vectors of two models cannot be compared: what a search finds among them is chance."
    advice = "embed all texts again with one model: gnomon index, or gnomon migrate"
    if model.verdict == "none":
        explanation = "Queries encoded with it would be compared with vectors of something else."
        advice = "name other models with --model; a prompt or a title put before the texts makes a difference"
    count = model.sampled - (model.models[0].vectors if model.models else 0)
    return DoctorFinding(
        "model",
        "error",
        message=model.summary,
        count=count,
        total=model.sampled,
        explanation=explanation,
        advice=advice,
    )


@dataclass
class StoreScan:
    """What a pass over a store found. Lists hold ids of rows; `lengths` are of finite vectors that are not zero.

    `sample` has random rows (id, text, vector) with text and a usable vector, by the vector's dimensions.
    """

    rows: int = 0
    dims: Counter[int] = field(default_factory=Counter)
    no_vector: list[str] = field(default_factory=list)
    no_text: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    by_dim: dict[int, list[str]] = field(default_factory=dict)
    lengths: list[Array] = field(default_factory=list)
    sample: dict[int, list[tuple[str, str, Array]]] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The dimensions that most vectors have; 0 without any."""
        return self.dims.most_common(1)[0][0] if self.dims else 0


_MAX_IDS = 20  # kept of the rows of each number of dimensions


def scan_store(batches: Iterable[VectorBatch], size: int) -> StoreScan:
    """Read all batches once; memory grows by a few bytes a vector."""
    scan, random = StoreScan(), np.random.default_rng(0)
    seen: set[bytes] = set()
    drawn: Counter[int] = Counter()
    for batch in batches:
        norms = []
        for key, vector, text in zip(batch.ids, batch.vectors, batch.texts, strict=True):
            scan.rows += 1
            is_text = bool(text and text.strip())
            if not is_text:
                scan.no_text.append(key)
            if vector is None or not len(vector):
                scan.no_vector.append(key)
                continue
            dim = len(vector)
            scan.dims[dim] += 1
            if len(scan.by_dim.setdefault(dim, [])) < _MAX_IDS:
                scan.by_dim[dim].append(key)
            length = float(np.linalg.norm(vector.astype(np.float64)))
            if not np.isfinite(length):
                scan.not_finite.append(key)
                continue
            if length == 0:
                scan.zero.append(key)
                continue
            norms.append(length)
            digest = blake2b(vector.tobytes(), digest_size=12).digest()
            if digest in seen:
                scan.equal.append(key)
            seen.add(digest)
            if is_text and text is not None:
                _sample_row(scan, drawn, (key, text, vector), size=size, random=random)
        scan.lengths.append(np.array(norms, dtype=np.float64))
    return scan


def _sample_row(
    scan: StoreScan, drawn: Counter[int], row: tuple[str, str, Array], *, size: int, random: np.random.Generator
) -> None:
    """Reservoir sampling: each row has the same chance (Vitter 1985, algorithm R)."""
    dim = len(row[2])
    drawn[dim] += 1
    held = scan.sample.setdefault(dim, [])
    if len(held) < size:
        held.append(row)
    elif (at := int(random.integers(drawn[dim]))) < size:
        held[at] = row
