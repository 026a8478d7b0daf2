"""tantivy's schema, queries and errors, and filtered keyword search in the way that costs least.

tantivy takes a filter only as one more query, built anew each time. So with many allowed ids its own results
are filtered, few become that query, and between the two the scores that it gives each word are added here.
Words recur, so each word's postings are cached.
"""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import CollectionBusy, GnomonError, InvalidInput
from gnomon.core.files import DISK_ERRORS, storage_error
from gnomon.core.ranking import Ranking
from gnomon.index.language import LANGUAGES
from gnomon.index.manifest import damaged
from gnomon.index.query_analysis import Term, Terms
from gnomon.kernels.ranking import top_k


def fetch(searcher: Any, query: Any, limit: int) -> tuple[Int[np.ndarray, " hits"], Float[np.ndarray, " hits"]]:
    """Ids and scores of the `limit` best matches, best first; which of those that tie come last is open."""
    hits = searcher.search(query, limit, count=False).hits
    ids = searcher.fast_field_values("id", [at for _, at in hits])
    return np.array(ids, dtype=np.int64), np.array([score for score, _ in hits], dtype=np.float32)


def best(searcher: Any, query: Any, k: int) -> Ranking:
    """The `k` best matches, ties in order of id."""
    everything = max(1, int(searcher.num_docs))
    limit = k + 16
    while True:
        limit = min(limit, everything)
        ids, scores = fetch(searcher, query, limit)
        # With a k-th score above the last that was fetched, nothing that ties with it is missing.
        if len(ids) < limit or limit == everything or (len(ids) >= k and scores[k - 1] > scores[-1]):
            return Ranking(*top_k(scores, ids, k))
        limit *= 4


def any_of(schema: Any, terms: Terms) -> Any:
    """A query for texts with any of the words and phrases: the sum of their BM25, each times its weight.

    Raises InvalidInput for a weight that is not above 0: tantivy's bounds on scores would be wrong.
    """
    import tantivy

    if not all(0 < weight < float("inf") for weight in terms.values()):
        raise InvalidInput(
            f"weights of words {sorted(set(terms.values()))[:5]}",
            expected="finite weights above 0",
            hint="leave out words that are not to count",
        )

    def one(term: Term, weight: float) -> Any:
        query = exactly(schema, term)
        return query if weight == 1 else tantivy.Query.boost_query(query, weight)

    should = tantivy.Occur.Should
    return tantivy.Query.boolean_query([(should, one(term, weight)) for term, weight in terms.items()])


def exactly(schema: Any, term: Term) -> Any:
    """A query for texts with a word, or with words that follow each other."""
    import tantivy

    if isinstance(term, tuple) and len(term) > 1:
        return tantivy.Query.phrase_query(schema, "body", list(term))
    return tantivy.Query.term_query(schema, "body", term if isinstance(term, str) else term[0], index_option="freq")


def schema() -> Any:
    """An id to filter by and to read back, one field of words with their positions, and the language of each text."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("id", indexed=True, fast=True)
    builder.add_text_field("body", tokenizer_name="gnomon", index_option="position")
    builder.add_text_field("language", tokenizer_name="raw", index_option="basic")
    return builder.build()


def whitespace() -> Any:
    """The analyser of texts whose words were analysed before."""
    import tantivy

    return tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it."""
    # Lone surrogates (from file names, broken JSON) are no words, and tantivy takes UTF-8 only.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Commit:
    """What tantivy's meta.json says: the commit's number and segments, with the file's own checksum."""

    number: int
    checksum: int
    segments: frozenset[str]

    @staticmethod
    def of(folder: Path) -> Commit:
        """The last commit. Raises IndexDamaged."""
        try:
            content = (folder / "meta.json").read_bytes()
            meta = json.loads(content)
            names = frozenset(segment["segment_id"].replace("-", "") for segment in meta["segments"])
            return Commit(int(meta["opstamp"]), zlib.crc32(content), names)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder / "meta.json", f"cannot be read ({error})") from error

    def owns(self, name: str) -> bool:
        """Whether a file is of one of the segments."""
        return name.partition(".")[0] in self.segments


@contextlib.contextmanager
def tantivy_errors(folder: Path) -> Iterator[None]:
    """gnomon's errors for tantivy's: ValueError for everything, and a panic that is no Exception."""
    try:
        yield
    except GnomonError:
        raise
    except BaseException as error:
        text = str(error)
        if type(error).__name__ != "PanicException" and not isinstance(error, ValueError):
            raise
        if "LockBusy" in text:
            raise CollectionBusy(
                f"another process is writing to the keyword index in {folder}",
                expected="one writer at a time",
                hint="wait until it is done, then try again",
            ) from error
        for number in DISK_ERRORS:
            if f"code: {number}," in text or f"os error {number})" in text:
                kept = "nothing committed is lost"
                raise storage_error(OSError(number, text[:300]), folder, kept=kept) from error
        raise damaged(folder, text[:300]) from error


_FILTERED_RESULTS = 1000
"""Results, beside two for each wanted, up to which filtering tantivy's results is the quickest way."""
_FEW_IDS, _MOST_QUERY_IDS = 64, 10_000
"""Allowed ids up to which they are always made a query; beyond which they never are."""
_FETCH_COST_FACTOR = 20
"""How many times the cost of such a query fetching a word's postings, which are kept, may be."""
_CACHE_BYTES, _CACHE_BYTES_PER_TEXT = 32 << 20, 64
"""Memory for cached postings: at least, and for each text in the index."""

_Ids = Int[np.ndarray, " allowed"]
_Postings = tuple[Int[np.ndarray, " texts"], Float[np.ndarray, " texts"]]


class TermSearcher:
    """A tantivy searcher with a cache of postings by word. Thread-safe; made anew after a commit."""

    def __init__(self, searcher: Any, schema: Any) -> None:
        self.searcher, self._schema = searcher, schema
        self._kept: OrderedDict[Term, _Postings] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def search(self, terms: Terms, k: int, allowed: _Ids | None) -> Ranking:
        """The `k` best of the allowed ids (rising, distinct; None: all); ties in order of id."""
        texts = int(self.searcher.num_docs)
        if not terms or texts == 0 or (allowed is not None and len(allowed) == 0):
            return Ranking.empty()
        query = any_of(self._schema, terms)
        if allowed is None:
            return best(self.searcher, query, k)
        many = len(allowed)
        limit = min(texts, int(1.3 * (k + 16) * texts / many) + 32)
        if limit <= _FILTERED_RESULTS + 2 * k:
            found = self.filter_results(query, k, allowed, limit=limit)
            if found is not None:
                return found
        # In texts fetched: what is lacking of the words, and what making and running the query takes.
        lacking, listing = self._lacking(terms), 500 + 4 * many
        if many <= _FEW_IDS or (many <= _MOST_QUERY_IDS and lacking > _FETCH_COST_FACTOR * listing):
            return self.filter_in_query(query, k, allowed)
        return self.sum_scores(terms, k, allowed)

    def filter_results(self, query: Any, k: int, allowed: _Ids, *, limit: int) -> Ranking | None:
        """The best of the allowed among the first `limit` results; None when they may not hold them all."""
        ids, scores = fetch(self.searcher, query, limit)
        keep = _is_in(ids, allowed)
        kept = scores[keep]
        complete = len(ids) < limit or limit >= int(self.searcher.num_docs)
        # With a k-th score above the last that was fetched, nothing that ties with it is missing.
        if complete or (len(kept) >= k and kept[k - 1] > scores[-1]):
            return Ranking(*top_k(kept, ids[keep], k))
        return None

    def filter_in_query(self, query: Any, k: int, allowed: _Ids) -> Ranking:
        """The best of the allowed, which become a part of the query."""
        import tantivy

        must = tantivy.Occur.Must
        ids = tantivy.Query.term_set_query(self._schema, "id", allowed.tolist())
        held = tantivy.Query.const_score_query(ids, 0.0)
        return best(self.searcher, tantivy.Query.boolean_query([(must, query), (must, held)]), k)

    def sum_scores(self, terms: Terms, k: int, allowed: _Ids) -> Ranking:
        """The best of the allowed by the sum of their words' scores."""
        weighted = [(self._texts(term), np.float32(weight)) for term, weight in terms.items()]
        total = sum(len(ids) for (ids, _), _ in weighted)
        low, span = int(allowed[0]), int(allowed[-1] - allowed[0]) + 1
        if 8 * len(allowed) < total or span > 8 * (total + len(allowed)):
            sums = np.zeros(len(allowed), dtype=np.float32)
            for (ids, scores), weight in weighted:
                at = np.minimum(np.searchsorted(ids, allowed), max(len(ids) - 1, 0))
                has = ids[at] == allowed if len(ids) else np.zeros(len(allowed), dtype=bool)
                sums[has] += weight * scores[at[has]]
        else:
            table = np.zeros(span, dtype=np.float32)
            for (ids, scores), weight in weighted:
                first, last = np.searchsorted(ids, (low, low + span))
                table[ids[first:last] - low] += weight * scores[first:last]
            sums = table[allowed - low]
        matched = np.flatnonzero(sums)
        return Ranking(*top_k(sums[matched], allowed[matched], k))

    def _texts(self, term: Term) -> _Postings:
        """The ids (rising) of the texts with a word or a phrase, and their scores for it."""
        with self._lock:
            if term in self._kept:
                self._kept.move_to_end(term)
                return self._kept[term]
        limit = max(1, self.frequency(term))
        ids, scores = fetch(self.searcher, any_of(self._schema, {term: 1.0}), limit)
        order = np.argsort(ids)
        found = ids[order], scores[order]
        with self._lock:
            if term not in self._kept:
                self._kept[term] = found
                self._bytes += _size(found)
            most = max(_CACHE_BYTES, _CACHE_BYTES_PER_TEXT * int(self.searcher.num_docs))
            while self._bytes > most and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        return found

    def _lacking(self, terms: Terms) -> int:
        with self._lock:
            lacking = [term for term in terms if term not in self._kept]
        return sum(self.frequency(term) for term in lacking)

    def frequency(self, term: Term) -> int:
        """How many texts have a word; of a phrase its rarest word, which no phrase exceeds."""
        words = [term] if isinstance(term, str) else term
        return min(int(self.searcher.doc_freq("body", word)) for word in words)

    def has(self, term: Term) -> bool:
        """Whether any text has a word or a phrase."""
        return bool(self.frequency(term)) and bool(self.searcher.search(exactly(self._schema, term), 1).hits)

    def matching(self, alternatives: Sequence[Sequence[Term]]) -> _Ids:
        """The rising ids of the texts that have one of each group."""
        import tantivy

        must, should = tantivy.Occur.Must, tantivy.Occur.Should
        groups = [
            tantivy.Query.boolean_query([(should, exactly(self._schema, term)) for term in group])
            for group in alternatives
        ]
        query = tantivy.Query.boolean_query([(must, group) for group in groups])
        ids, _ = fetch(self.searcher, query, max(1, int(self.searcher.num_docs)))
        return np.sort(ids)

    def languages(self) -> dict[str, int]:
        """How many texts are in which language; some that were deleted may still count."""
        counts = {name: int(self.searcher.doc_freq("language", name)) for name in LANGUAGES}
        return {name: texts for name, texts in counts.items() if texts}


def _size(texts: _Postings) -> int:
    return texts[0].nbytes + texts[1].nbytes


def _is_in(ids: Int[np.ndarray, " ids"], allowed: _Ids) -> np.ndarray[Any, Any]:
    at = np.minimum(np.searchsorted(allowed, ids), len(allowed) - 1)
    return np.asarray(allowed[at] == ids)
