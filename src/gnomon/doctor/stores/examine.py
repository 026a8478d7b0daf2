"""`examine_store`: what is in another store, and which model made its vectors. Nothing is changed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, accepts_say, no_progress
from gnomon.doctor.context import SHOWN
from gnomon.doctor.identify_model import Candidate, Made, candidates, makers, named
from gnomon.doctor.report import Finding, Severity
from gnomon.doctor.stores import chroma, faiss, lancedb, pgvector, qdrant
from gnomon.doctor.stores.source import Batch, Columns, Source
from gnomon.doctor.vector_scan import UNIT


@dataclass
class Tally:
    """What a pass saw. Ids stand for rows; `lengths` are those of finite vectors that are not zero.

    `sample` are rows with text and a usable vector, each with the same chance, by the vector's dimensions.
    """

    rows: int = 0
    dims: Counter[int] = field(default_factory=Counter)
    no_vector: list[str] = field(default_factory=list)
    no_text: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    zero: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    by_dim: dict[int, list[str]] = field(default_factory=dict)
    lengths: list[Array] = field(default_factory=list)
    sample: dict[int, list[tuple[str, str, Array]]] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The dimensions that most vectors have; 0 without any."""
        return self.dims.most_common(1)[0][0] if self.dims else 0


_FEW = 20  # ids kept of rows of each number of dimensions


def tallied(batches: Iterable[Batch], size: int) -> Tally:
    """Go through all of it; memory grows by a few bytes a vector."""
    out, random = Tally(), np.random.default_rng(0)
    seen: set[bytes] = set()
    drawn: Counter[int] = Counter()
    for batch in batches:
        norms = []
        for key, vector, text in zip(batch.ids, batch.vectors, batch.texts, strict=True):
            out.rows += 1
            is_text = bool(text and text.strip())
            if not is_text:
                out.no_text.append(key)
            if vector is None or not len(vector):
                out.no_vector.append(key)
                continue
            dim = len(vector)
            out.dims[dim] += 1
            if len(out.by_dim.setdefault(dim, [])) < _FEW:
                out.by_dim[dim].append(key)
            length = float(np.linalg.norm(vector.astype(np.float64)))
            if not np.isfinite(length):
                out.not_finite.append(key)
                continue
            if length == 0:
                out.zero.append(key)
                continue
            norms.append(length)
            digest = blake2b(vector.tobytes(), digest_size=12).digest()
            if digest in seen:
                out.twice.append(key)
            seen.add(digest)
            if is_text and text is not None:
                _draw(out, drawn, (key, text, vector), size, random)
        out.lengths.append(np.array(norms, dtype=np.float64))
    return out


def _draw(out: Tally, drawn: Counter[int], row: tuple[str, str, Array], size: int, random: np.random.Generator) -> None:
    """Each with the same chance (Vitter 1985, algorithm R)."""
    dim = len(row[2])
    drawn[dim] += 1
    held = out.sample.setdefault(dim, [])
    if len(held) < size:
        held.append(row)
    elif (at := int(random.integers(drawn[dim]))) < size:
        held[at] = row


SAMPLE = 64
"""Texts that are encoded again by each model."""


@dataclass(frozen=True)
class StorePart:
    """One collection, table or file. `lengths` are the least, the median and the greatest of its vectors.

    `made` says whose they are; None where there was nothing to encode again, and `notes` say why.
    """

    name: str
    rows: int
    vectors: int
    dim: int
    lengths: tuple[float, float, float] | None
    is_normalised: bool
    findings: tuple[Finding, ...]
    made: Made | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        made = None if self.made is None else {**asdict(self.made), "said": self.made.said}
        return {**asdict(self), "made": made}


@dataclass(frozen=True)
class StoreExamination:
    """What is in another store: its kind ("chroma", "lancedb", "faiss", "postgresql", "qdrant") and parts."""

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
    """How a store is looked at: the columns of text and vector ("" where they are to be found), the file with
    the texts of a FAISS index, how many texts are encoded again, and a callback for messages of progress.
    """

    text: str = ""
    vector: str = ""
    texts: str | Path | None = None
    sample: int = SAMPLE
    progress: ProgressCallback = no_progress


def examine_store(
    place: str | Path,
    models: Sequence[str | Path | Encoder] = (),
    settings: StoreSettings | None = None,
) -> StoreExamination:
    """Look into a Chroma or LanceDB folder, a FAISS index file, a PostgreSQL table or a Qdrant collection.

    `models` are those that may have made the vectors: names, folders or encoders; without any, the known ones
    on this machine are tried whose vectors have as many dimensions. Raises InvalidInput where the place is no
    such store, a library that reads it is not installed, or a server does not answer.
    """
    settings = settings or StoreSettings()
    if settings.sample < 1:
        raise InvalidInput(f"a sample of {settings.sample}", expected="1 text or more")
    started = time.perf_counter()
    kind, sources = _sources(place, settings)
    given = [_candidate(model) for model in models]
    parts = tuple(_part(source, given, settings) for source in sources)
    shown = pgvector.shown(str(place)) if kind == "postgresql" else str(place)
    return StoreExamination(shown, kind, parts, time.perf_counter() - started)


def is_store(place: str | Path) -> bool:
    """Whether a place is looked at as another store, and not as a collection of gnomon's."""
    text, path = str(place), Path(place)
    if "://" in text:
        return True
    return path.is_file() or (path / chroma.FILE).is_file() or (path.is_dir() and lancedb.is_lance(path))


def _sources(place: str | Path, settings: StoreSettings) -> tuple[str, list[Source]]:
    text, columns = str(place), Columns(settings.text, settings.vector)
    scheme = text.partition("://")[0] if "://" in text else ""
    texts = None if settings.texts is None else Path(settings.texts).expanduser()
    path = Path(place).expanduser()
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        return "postgresql", pgvector.sources(text.replace(scheme, "postgresql", 1), columns)
    if scheme in ("http", "https"):
        return "qdrant", qdrant.sources(text, columns)
    if not scheme and path.is_file():
        return "faiss", faiss.sources(path, texts, columns)
    if not scheme and (path / chroma.FILE).is_file():
        return "chroma", chroma.sources(path)
    if not scheme and path.is_dir() and lancedb.is_lance(path):
        return "lancedb", lancedb.sources(path, columns)
    raise InvalidInput(
        f"{text} is no store that is known" if scheme or path.exists() else f"there is no {text}",
        expected="a collection's folder, a Chroma or LanceDB folder, a FAISS index file, "
        "postgresql://…/DATABASE?table=NAME, or http://HOST:6333/collections/NAME",
        hint="check the path or the address",
    )


def _candidate(model: str | Path | Encoder) -> Candidate:
    if isinstance(model, str | Path):
        return named([str(model)])[0]
    return Candidate(model.space.name, lambda: model)


def _part(source: Source, given: list[Candidate], settings: StoreSettings) -> StorePart:
    settings.progress(Progress("reading", message=f"reading {source.name}"))
    seen = tallied(source.rows(), settings.sample)
    lengths = np.concatenate(seen.lengths) if seen.lengths else np.zeros(0)
    made, notes = _made(source, seen, given, settings)
    spread = None
    if len(lengths):
        spread = (float(lengths.min()), float(np.median(lengths)), float(lengths.max()))
    return StorePart(
        name=source.name,
        rows=seen.rows,
        vectors=sum(seen.dims.values()),
        dim=seen.dim,
        lengths=spread,
        is_normalised=bool(len(lengths)) and bool((np.abs(lengths - 1) <= UNIT).all()),
        findings=tuple(_findings(seen, made, is_named=bool(given))),
        made=made,
        notes=(*source.notes, *notes),
    )


def _made(
    source: Source, seen: Tally, given: list[Candidate], settings: StoreSettings
) -> tuple[Made | None, list[str]]:
    """Whose vectors they are, and why that was not looked at."""
    sample = seen.sample.get(seen.dim, [])
    if not sample:
        if seen.dim == 0:
            return None, ["it has no vectors"]
        why = "no texts are given" if not source.has_texts else "no row has both a text and a usable vector"
        return None, [f"{why}: which model made the vectors cannot be said, only the numbers were checked"]
    tried = given or candidates(seen.dim)
    if not tried:
        return Made("unknown", len(sample)), [
            f"no known model of {seen.dim} dimensions is on this machine: name those that may have made "
            "them with --model"
        ]
    rows = np.stack([vector for _, _, vector in sample])
    made = makers(tried, [text for _, text, _ in sample], rows, settings.progress)
    return made, [f"could not be tried: {line}" for line in made.failed]


def _findings(seen: Tally, made: Made | None, *, is_named: bool) -> list[Finding]:
    total, found = sum(seen.dims.values()), []
    others = [key for dim, keys in seen.by_dim.items() if dim != seen.dim for key in keys]
    told: list[tuple[str, Severity, str, int, Sequence[str], str]] = [
        (
            "wrong-length",
            "error",
            f"have not the {seen.dim} dimensions of most",
            total - seen.dims.get(seen.dim, 0),
            others,
            "They are of another model, and cannot be compared with the others.",
        ),
        (
            "not-finite",
            "error",
            "hold NaN or infinite values",
            len(seen.not_finite),
            seen.not_finite,
            "No similarity to them is a number.",
        ),
        ("zero", "error", "are zero", len(seen.zero), seen.zero, "They have no direction to be found by."),
        (
            "equal-vectors",
            "note",
            "are equal to another one",
            len(seen.twice),
            seen.twice,
            "The same text more than once, or texts that the model cannot tell apart.",
        ),
    ]
    for check, severity, what, count, ids, means in told:
        if count:
            said = f"{count:,} of {total:,} vectors {what}"
            advice = "embed these rows again" if severity == "error" else "keep one of each"
            found.append(Finding(check, severity, said, count, total, means, advice, tuple(ids[:SHOWN])))
    found += _lacking(seen)
    if made is not None and (made.verdict in ("mixed", "partly") or (made.verdict == "none" and is_named)):
        found.append(_mixed(made))
    return found


def _lacking(seen: Tally) -> list[Finding]:
    found = []
    for check, what, ids in (
        ("no-vector", "have no vector", seen.no_vector),
        ("no-text", "have no text", seen.no_text if len(seen.no_text) < seen.rows else []),
    ):
        if ids:
            means = "They are never found." if check == "no-vector" else "What is found cannot be shown."
            said, shown = f"{len(ids):,} of {seen.rows:,} rows {what}", tuple(ids[:SHOWN])
            advice = "look where the rows come from"
            found.append(Finding(check, "warning", said, len(ids), seen.rows, means, advice, shown))
    return found


def _mixed(made: Made) -> Finding:
    means = "Vectors of two models cannot be compared: what is found among them is chance."
    advice = "embed all texts anew with one model: gnomon index, or gnomon migrate"
    if made.verdict == "none":
        means = "Queries encoded with it would be compared with vectors of something else."
        advice = "name other models with --model; a prompt or a title put before the texts makes a difference"
    count = made.sampled - (made.makers[0].vectors if made.makers else 0)
    return Finding("model", "error", made.said, count, made.sampled, means, advice)
