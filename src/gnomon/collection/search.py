"""Queries to hits: the retriever of a mode, grouping by document, and the snippet of each chunk."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.duplicates import copies, shown_rows
from gnomon.collection.inputs import checked_queries
from gnomon.collection.settings import By, Mode, RetrievalSettings
from gnomon.core.contracts import Array, Encoder, Retriever, Role, RoleMethods, VectorSearch
from gnomon.core.errors import InvalidInput
from gnomon.core.locations import Location
from gnomon.core.ranking import Hit, Query, Ranking
from gnomon.core.stop_words import ENGLISH
from gnomon.core.vectors import Vectors
from gnomon.retrieve import RM3, ChunkLookup, Dense, Fuse, Lexical, Neighbours, Rocchio, SecondStage
from gnomon.retrieve.feedback import WordIndex
from gnomon.retrieve.filter import VectorsOf
from gnomon.retrieve.fuse import FuseSettings
from gnomon.retrieve.names import NameQueries, QuotedPhrases

_WORD = re.compile(r"\w+")
LENGTH = 240
"""Characters of a snippet."""
_LEAD = 30
_BY_WORDS = FuseSettings(weights=(0.1, 0.9))
"""How a query of nothing but names is fused: similar vectors have similar names, not the same ones."""
_INFLECTION = 4
"""Letters that a word may have after a stem and still count as its inflection."""


def highlighter(query: str) -> tuple[str, ...]:
    """Stems of the query's words without stop words, longest first: what is highlighted."""
    words = {word for word in _WORD.findall(query.lower()) if word not in ENGLISH}
    return tuple(sorted({_stem(word) for word in words}, key=lambda stem: (-len(stem), stem)))


def highlights(text: str, query: str) -> tuple[tuple[int, int], ...]:
    """The (start, end) spans of a text that match a query's words."""
    return tuple((start, end) for start, end, _ in _matches(text, highlighter(query)))


def _matches(text: str, stems: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Start, end and stem of each word that begins with a stem and has at most 4 letters after it, in order.

    Plain searches: a regular expression of all stems, case ignored, takes five times as long.
    """
    low = text.lower()
    if len(low) != len(text):  # a few letters are two in lower case, and positions must stay
        low = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
    found: dict[int, tuple[int, str]] = {}
    for stem in stems:
        at = low.find(stem)
        while at >= 0:
            if at not in found and (at == 0 or not _is_letter(low[at - 1])):
                end, stop = at + len(stem), min(at + len(stem) + _INFLECTION + 1, len(low))
                while end < stop and _is_letter(low[end]):
                    end += 1
                if end - at - len(stem) <= _INFLECTION:
                    found[at] = (end, stem)
            at = low.find(stem, at + len(stem))
    return [(start, *found[start]) for start in sorted(found)]


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def snippet(text: str, stems: tuple[str, ...], *, length: int = LENGTH) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The stretch of about `length` characters with most different matches, and their spans within it."""
    start = _best_start(text, _matches(text, stems) if len(text) > length else [], length)
    end = min(len(text), start + length)
    if end < len(text):
        cut = text.rfind(" ", start, end)
        end = cut if cut > start + length // 2 else end
    shown = " ".join(text[start:end].split())
    return shown, tuple((begin, stop) for begin, stop, _ in _matches(shown, stems))


def _best_start(text: str, matches: list[tuple[int, int, str]], length: int) -> int:
    """Where the window begins: a little before the match that opens the richest stretch, at a word."""
    if len(text) <= length or not matches:
        return 0
    best, where, right = 0, matches[0][0], 0
    inside: Counter[str] = Counter()
    for start, _, stem in matches:
        while right < len(matches) and matches[right][1] <= start + length - _LEAD:
            inside[matches[right][2]] += 1
            right += 1
        if len(inside) > best:
            best, where = len(inside), start
        inside[stem] -= 1
        if inside[stem] <= 0:
            del inside[stem]
    where = max(0, min(where - _LEAD, len(text) - length))
    if where < 2 * _LEAD:
        return 0  # a chunk's own beginning reads better
    space = text.find(" ", where, where + _LEAD)
    return space + 1 if space >= 0 else where


def _stem(word: str) -> str:
    """Enough of a word to know its inflections by: a guess for display, not for retrieval."""
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def build_retriever(
    mode: Mode,
    settings: RetrievalSettings,
    *,
    encoder: Encoder | None,
    dense: VectorSearch,
    lexical: WordIndex,
    lookups: ChunkLookup | None = None,
    sparse: Retriever | None = None,
    spaces: Mapping[str, FurtherSpace] = MappingProxyType({}),
) -> Retriever:
    """The retriever of a mode: what is searched with is also what is evaluated. Lexical needs no encoder.

    `sparse` searches sparse vectors, where the settings have an encoder for them, and `spaces` has the further spaces
    of a hybrid search by the names of their lists.

    Of the settings' stages, `rocchio` is used in dense, `rm3` in lexical, both in hybrid. Raises InvalidInput for
    an unknown mode, and for stages without `lookups`, which read vectors and texts for them.
    """
    if mode not in get_args(Mode):
        raise InvalidInput(f"mode {mode!r}", expected=f"one of {', '.join(get_args(Mode))}")
    found: Retriever
    if mode == "sparse":
        found = _sparse(sparse)
    elif mode == "lexical" or encoder is None:
        found = _lexical(settings, lexical, lookups)
    elif mode == "dense":
        found = _dense(settings, encoder, dense, lookups=lookups)
    else:
        meaning, words = _dense(settings, encoder, dense, lookups=lookups), _lexical(settings, lexical, lookups)
        lists: dict[str, Retriever] = {"dense": meaning, "lexical": words}
        lists |= {} if settings.sparse is None else {"sparse": _sparse(sparse)}
        found = hybrid(lists, settings, spaces=spaces)
    if settings.neighbours is not None:
        found = Neighbours(found, _required(lookups).vectors_of, settings.neighbours)
    return found if mode == "dense" else QuotedPhrases(found, lexical)


@dataclass(frozen=True)
class FurtherSpace:
    """What searches in a further space: its encoder, with an index, or with the vectors of candidates."""

    encoder: Encoder
    index: VectorSearch | None = None
    vectors_of: VectorsOf | None = None


def hybrid(
    parts: Mapping[str, Retriever],
    settings: RetrievalSettings,
    *,
    spaces: Mapping[str, FurtherSpace] = MappingProxyType({}),
) -> Retriever:
    """The settings' lists fused; queries of nothing but names by their words above all, unless weights are set.

    A further space whose weight is 0 is not asked.
    """
    fusion = settings.fusion
    lists = {**parts, **{name: Dense(s.encoder, s.index, name) for name, s in spaces.items() if s.index is not None}}
    names, weights = settings.lists, fusion.weights
    if weights is not None and len(weights) == len(names):
        kept = [at for at, name in enumerate(names) if weights[at] > 0 or name in parts]
        names, fusion = tuple(names[at] for at in kept), replace(fusion, weights=tuple(weights[at] for at in kept))
    found: Retriever = Fuse(tuple(lists[name] for name in names), fusion)
    for name, one in settings.named_spaces:
        space = spaces.get(name)
        if space is not None and space.vectors_of is not None:
            found = SecondStage(found, space.encoder, space.vectors_of, one, name)
    if settings.fuse.weights is not None:
        return found
    return NameQueries(Fuse((parts["dense"], parts["lexical"]), _BY_WORDS), found)


def _sparse(retriever: Retriever | None) -> Retriever:
    if retriever is None:
        raise InvalidInput(
            "a search of sparse vectors in a version without a sparse encoder",
            expected="a version with the setting sparse.model",
            hint="make one: gnomon migrate KB --set sparse.model=MODEL",
        )
    return retriever


def _dense(
    settings: RetrievalSettings, encoder: Encoder, index: VectorSearch, *, lookups: ChunkLookup | None
) -> Retriever:
    if settings.rocchio is None:
        return Dense(encoder, index)
    return Rocchio(encoder, index, _required(lookups).vectors_of, settings.rocchio)


def _lexical(settings: RetrievalSettings, index: WordIndex, lookups: ChunkLookup | None) -> Retriever:
    if settings.rm3 is None:
        return Lexical(index)
    return RM3(index, _required(lookups).texts_of, settings.rm3)


def _required(lookups: ChunkLookup | None) -> ChunkLookup:
    if lookups is None:
        raise InvalidInput(
            "stages without lookups",
            expected="lookups of vectors and texts by chunk id",
            hint="give `lookups`, or settings without rocchio, rm3 and neighbours",
        )
    return lookups


def group_by_document(connection: Connection, ranking: Ranking) -> tuple[Ranking, dict[int, int]]:
    """The best chunk of each document, and the number of further chunks found of its document."""
    owners = queries.document_ids(connection, ranking.ids)
    first: dict[int, int] = {}
    more: dict[int, int] = {}
    for position, chunk_id in enumerate(ranking.ids.tolist()):
        owner = owners.get(chunk_id)
        if owner is None:
            continue  # deleted since the index was read
        if owner in first:
            more[owner] += 1
        else:
            first[owner], more[owner] = position, 0
    counts = {int(ranking.ids[position]): more[owner] for owner, position in first.items()}
    return ranking.take(list(first.values())), counts


@dataclass(frozen=True)
class HitOptions:
    """How many hits a ranking becomes, by chunk or document; `collapse`: of equal passages the first, with the
    documents of the others, which are `among` these chunk ids (None: all)."""

    k: int = 10
    by: By = "chunk"
    collapse: bool = False
    among: Array | None = None


def hits(connection: Connection, query: str, ranking: Ranking, *, options: HitOptions) -> list[Hit]:
    """The hits of a ranking. A chunk that was deleted since the index was read is left out.

    So is one whose text is not what was indexed, and a warning says so.
    """
    more: Mapping[int, int] = {}
    if options.by == "document":
        ranking, more = group_by_document(connection, ranking)
    shown = shown_rows(connection, ranking, options.k, collapse=options.collapse)
    others = copies(connection, [row for _, row in shown], among=options.among) if options.collapse else {}
    stems = highlighter(query)
    found = []
    for place, row in shown:
        stages, shares = (_known(each, place) for each in (ranking.stages, ranking.shares))
        hit = _hit(row, float(ranking.scores[place]), stages, shown=snippet(row.text, stems))
        found.append(replace(hit, more=more.get(row.id, 0), copies=others.get(row.id, ()), shares=shares))
    return found


def _known(columns: Mapping[str, Array], place: int) -> dict[str, float]:
    return {name: float(values[place]) for name, values in columns.items() if not np.isnan(values[place])}


def _hit(row: Any, score: float, stages: Mapping[str, float], *, shown: tuple[str, tuple[tuple[int, int], ...]]) -> Hit:
    return Hit(
        chunk_id=row.id,
        document=row.key,
        score=score,
        text=row.text,
        snippet=shown[0],
        start=row.start,
        end=row.end,
        title=row.title,
        heading=tuple(json.loads(row.heading)),
        source=row.source,
        stages=stages,
        highlights=shown[1],
        metadata=json.loads(row.metadata),
        location=Location.parse(row.location),
    )


class VectorQueries(RoleMethods):
    """Takes an encoder's place where queries come as vectors: it encodes the texts of `queries` as these vectors."""

    max_tokens, tokenizer_json = 0, None

    def __init__(self, vectors: Vectors) -> None:
        self.vectors, self.space = vectors, vectors.space

    def queries(self, *, k: int, mode: Mode | None, by: By) -> list[Query]:
        """A query without words for each vector. Raises InvalidInput as `checked_queries`, and for other modes."""
        if mode not in (None, "dense"):
            raise InvalidInput(
                f"mode {mode!r} for vectors", expected='"dense"', hint="search for a text, which has words too"
            )
        checked_queries([], k, by)
        return [Query("")] * len(self.vectors)

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """None: nothing is read."""
        return [0] * len(texts)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The vectors, for as many texts."""
        return self.vectors
