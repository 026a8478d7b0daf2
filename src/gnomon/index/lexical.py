"""Keyword search: BM25 over title and text, by tantivy.

Scores are BM25 with k1 1.2 and b 0.75 (tantivy offers no other; Robertson and Zaragoza 2009). The title is
indexed in front of the text, `title_weight` times, in one field: BM25F's way (Robertson, Zaragoza and Taylor
2004) of weighing fields before saturation, which ranked better than two fields whose scores are added.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import IndexDamaged, InvalidInput
from gnomon.core.files import storage_errors
from gnomon.core.ranking import Ranking
from gnomon.index.analysis import AUTO, Analysis
from gnomon.index.arguments import FilterCache, checked_ids, checked_k, checked_new
from gnomon.index.folding import fold
from gnomon.index.language import detect_language
from gnomon.index.manifest import check_files, checksums, damaged, read_manifest, write_manifest
from gnomon.index.names import is_names, phrases, sequences
from gnomon.index.query_analysis import QueryAnalysis, Term, Terms
from gnomon.index.tantivy_search import Commit, TermSearcher, encodable, schema, tantivy_errors, whitespace

VERSION = 2
"""Of the manifest and of the analysis: a change of what words a text becomes must raise it."""
MANIFEST = "gnomon.json"
_PARTS_OF_NAMES, _PARTS_OF_PHRASES = 0.1, 0.5
_MARKS = (MANIFEST, "meta.json", ".managed.json")


@dataclass(frozen=True, slots=True)
class LexicalSettings:
    """How texts are analysed (`language`: "auto" or one of language.LANGUAGES), and how much memory writing may take.

    `title_weight` is how many times the title is indexed in front of the text; 0 leaves it out.
    `heap_bytes` is the memory that a writer fills before it flushes a segment; at least 15 MB.
    """

    language: str = "en"
    title_weight: int = 2
    heap_bytes: int = 50_000_000

    def __post_init__(self) -> None:
        if not 0 <= self.title_weight <= 10:
            raise InvalidInput(f"title_weight {self.title_weight}", expected="0 to 10")
        if self.heap_bytes < 15_000_000:
            raise InvalidInput(f"heap_bytes {self.heap_bytes}", expected="at least 15000000")


class LexicalIndex:
    """A TextIndex in a folder. Make one with `create` or `open`.

    `add` and `remove` are visible to the next search of this object, and made durable by `commit`. Searches of
    many threads run in parallel; adding takes a lock, and a lock on the folder until `commit`.
    """

    def __init__(self, folder: Path, settings: LexicalSettings, index: Any, *, stamp: int) -> None:
        self.folder, self.settings = folder, settings
        self._index, self._stamp = index, stamp
        self._schema = index.schema
        index.register_tokenizer("gnomon", whitespace())
        index.config_reader("manual")
        self._lock = threading.RLock()
        self._writer: Any = None
        self._pending = False
        self._sums: dict[str, Any] = {}
        self._filters = FilterCache(_rising)
        with tantivy_errors(folder):
            self._refresh()

    @classmethod
    def create(cls, folder: Path, settings: LexicalSettings | None = None) -> LexicalIndex:
        """A new, empty index in place of any that is there. Raises InvalidInput where other files are."""
        import tantivy

        settings = settings or LexicalSettings()
        if folder.exists() and any(folder.iterdir()) and not any((folder / m).exists() for m in _MARKS):
            raise InvalidInput(
                f"{folder} holds files that are no keyword index",
                expected="an empty folder, a new one or an old index",
                hint="choose another folder",
            )
        with storage_errors(folder), tantivy_errors(folder):
            if folder.exists():
                shutil.rmtree(folder)
            folder.mkdir(parents=True)
            index = tantivy.Index(schema(), path=str(folder), reuse=False)
            made = cls(folder, settings, index, stamp=0)
            made.commit(0)
        return made

    @classmethod
    def open(cls, folder: Path, settings: LexicalSettings | None = None) -> LexicalIndex:
        """The index that was committed here.

        Raises IndexDamaged when files are missing, truncated or corrupt, or were made by other settings.
        """
        settings = settings or LexicalSettings()
        while True:
            before = _file_contents(folder)
            try:
                return cls._opened(folder, settings)
            except IndexDamaged:
                # A commit in another process may have replaced files between two looks.
                if _file_contents(folder) == before:
                    raise

    @classmethod
    def _opened(cls, folder: Path, settings: LexicalSettings) -> LexicalIndex:
        import tantivy

        body = read_manifest(folder / MANIFEST, version=VERSION)
        if body["settings"] != _index_settings(settings):
            raise damaged(folder, f"indexed with {body['settings']}", expected=f"{_index_settings(settings)}")
        commit, (number, checksum) = Commit.of(folder), body["commit"]
        if commit.number == number and commit.checksum != checksum:
            raise damaged(folder / "meta.json", "its checksum does not match")
        known = {name: (size, sums) for name, (size, sums) in body["files"].items()}
        # After a commit that a crash left unstamped, merged segments and older deletions are gone.
        there = {n: e for n, e in known.items() if commit.owns(n)}
        check_files(folder, {n: e for n, e in there.items() if not n.endswith(".del") or (folder / n).exists()})
        with tantivy_errors(folder):
            made = cls(folder, settings, tantivy.Index.open(str(folder)), stamp=int(body["stamp"]))
        made._sums = known
        return made

    @property
    def stamp(self) -> int:
        """The journal position that the last `commit` was given: everything up to it is in."""
        return self._stamp

    def __len__(self) -> int:
        return int(self._fresh().searcher.num_docs)

    def add(self, ids: Int[np.ndarray, " items"], titles: Sequence[str], texts: Sequence[str]) -> None:
        """Put texts in; an id that is there already gets its new text.

        Raises InvalidInput for lists of different lengths, negative or repeated ids, CollectionBusy when
        another process is writing.
        """
        numbers = checked_new(ids, len(texts))
        if len(titles) != len(texts):
            raise InvalidInput(f"{len(titles)} titles for {len(texts)} texts", expected="one title a text")
        if len(numbers) and numbers.min() < 0:
            raise InvalidInput(f"id {numbers.min()}", expected="ids from 0 up")
        if not all(isinstance(text, str) for text in (*titles, *texts)):
            raise InvalidInput("titles or texts that are no strings", expected="lists of strings")
        titles, texts = [encodable(title) for title in titles], [encodable(text) for text in texts]
        rows = zip(numbers.tolist(), titles, texts, self._languages(titles, texts), strict=True)
        documents = [self._document(number, title, text, language=language) for number, title, text, language in rows]
        with self._changing() as writer:
            self._delete(writer, numbers)
            for document in documents:
                writer.add_document(document)

    def _languages(self, titles: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Each text's language; of those that do not show it, the one that most texts are in."""
        if self.settings.language != AUTO:
            return [self.settings.language] * len(texts)
        found = [detect_language(f"{title}\n{text}") for title, text in zip(titles, texts, strict=True)]
        counts = Counter(self._queries.languages) + Counter(name for name in found if name is not None)
        usual = QueryAnalysis(counts).main_language
        return [name or usual for name in found]

    def _document(self, number: int, title: str, text: str, *, language: str) -> Any:
        import tantivy

        analysis = Analysis.of(language)
        document = tantivy.Document()
        document.add_unsigned("id", number)
        document.add_text("language", language)
        words = analysis.indexed(title) * self.settings.title_weight if title else []
        document.add_text("body", " ".join([*words, *analysis.indexed(text)]))
        return document

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        numbers = checked_ids(ids)
        with self._changing() as writer:
            self._delete(writer, numbers[numbers >= 0])

    def _delete(self, writer: Any, numbers: Int[np.ndarray, " items"]) -> None:
        import tantivy

        if len(numbers) and (self._pending or self._words.searcher.num_docs):
            writer.delete_documents_by_query(tantivy.Query.term_set_query(self._schema, "id", numbers.tolist()))

    def commit(self, stamp: int) -> None:
        """Make all changes durable, with their journal position, and release the lock on the folder."""
        with self._lock, storage_errors(self.folder), tantivy_errors(self.folder):
            self._settle()
            files, commit = {}, Commit.of(self.folder)
            for name in sorted(p.name for p in self.folder.iterdir() if commit.owns(p.name)):
                size = (self.folder / name).stat().st_size
                known = self._sums.get(name)
                same = known is not None and known[0] == size
                files[name] = known if same else (size, checksums(self.folder / name))
            body = {
                "version": VERSION,
                "settings": _index_settings(self.settings),
                "stamp": stamp,
                "languages": dict(self.languages),
                "commit": [commit.number, commit.checksum],
                "files": files,
            }
            write_manifest(self.folder / MANIFEST, body)
            self._sums, self._stamp = files, stamp

    def _settle(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            # Whatever happens, pending changes are now either committed or lost with an error.
            self._pending = False
            writer.commit()
            # Else merging would change files after the manifest is written, and keep the lock on the folder.
            writer.wait_merging_threads()
            self._refresh()

    def pinned(self) -> LexicalIndex:
        """A read-only snapshot of the last commit, which later changes of this index do not reach."""
        with self._lock:
            pinned = copy.copy(self)
            pinned._lock, pinned._writer, pinned._pending = threading.RLock(), None, False  # noqa: SLF001
            return pinned

    def reload(self) -> None:
        """See what another process has committed since. Raises IndexDamaged."""
        body = read_manifest(self.folder / MANIFEST, version=VERSION)
        with self._lock, tantivy_errors(self.folder):
            self._refresh()
            self._stamp = int(body["stamp"])

    def _refresh(self) -> None:
        self._index.reload()
        self._words = TermSearcher(self._index.searcher(), self._schema)
        self._queries = QueryAnalysis(self._words.languages())

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Any]:
        with self._lock, tantivy_errors(self.folder):
            if self._writer is None:
                self._writer = self._index.writer(self.settings.heap_bytes, 1)
                # A commit that was cut short left files whose names the next one would need.
                self._writer.garbage_collect_files()
            yield self._writer
            self._pending = True

    def _fresh(self) -> TermSearcher:
        # A thread that is adding is not waited for: its additions become visible once it is done.
        if self._pending and self._lock.acquire(blocking=False):
            try:
                with tantivy_errors(self.folder):
                    self._settle()
            finally:
                self._lock.release()
        return self._words

    def search(
        self, queries: Sequence[str], *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` best of the allowed ids for each query, any of whose words may match; ties in order of id.

        A word counts as often as the query has it, as in Lucene (BM25 with an unbounded k3: Robertson et al. 1994,
        "Okapi at TREC-3").
        A query is words, never syntax: colons and brackets mean nothing, and quoted phrases and names such as 3.11.2
        only rank texts higher that have them so. One without a single word finds nothing. Raises InvalidInput for
        k < 1 and for a lone string.
        """
        if isinstance(queries, str):
            raise InvalidInput("a lone string", expected='a list of queries such as ["one query"]')
        return self.search_terms([self.terms(query) for query in queries], k=k, where=where)

    @property
    def languages(self) -> Mapping[str, int]:
        """How many texts are in which language (a setting of `language.LANGUAGES`), as of the last commit."""
        return self._queries.languages

    @property
    def main_language(self) -> str:
        """The language that most texts are in; English where there are none."""
        return self._queries.main_language

    def terms(self, query: str) -> dict[Term, float]:
        """What `search` looks for: the query's words, and its names and quoted phrases that any text has.

        A name that is found whole weighs as much as its parts did; they keep half of it, and a tenth in a query of
        nothing but names.
        """
        words, query = self._fresh(), encodable(query)
        terms = self._queries.weights(query)
        share = _PARTS_OF_NAMES if is_names(query) else _PARTS_OF_PHRASES
        for name in (*sequences(fold(query)), *phrases(query)[0]):
            for phrase in self._queries.phrases(name):
                if len(phrase) > 1 and phrase not in terms and words.has(phrase):
                    terms |= {word: share * terms[word] for word in set(phrase) if word in terms}
                    terms[phrase] = 1.0 - share
        return terms

    def with_phrases(self, query: str) -> Int[np.ndarray, " texts"] | None:
        """The rising ids of the texts that have all phrases the query quotes; None where it requires none."""
        quoted, required = phrases(encodable(query))
        alternatives = [found for phrase in quoted if (found := self._queries.phrases(phrase))]
        if not required or not alternatives:
            return None
        with tantivy_errors(self.folder):
            return self._fresh().matching(alternatives)

    def words(self, text: str) -> list[str]:
        """A text's words as they are indexed in its language, stop words left out: what `search_terms` takes."""
        text = encodable(text)
        language = self.settings.language
        if language == AUTO:
            language = detect_language(text) or self._queries.main_language
        return Analysis.of(language).words(text)

    def frequencies(self, words: Sequence[str]) -> list[int]:
        """How many texts have each of the words, which are as they are indexed."""
        return [self._fresh().frequency(word) for word in words]

    def search_terms(
        self,
        queries: Sequence[Terms],
        *,
        k: int,
        where: Int[np.ndarray, " allowed"] | None = None,
    ) -> list[Ranking]:
        """`search` by words and phrases as they are indexed, the BM25 of each times its weight, which is above 0."""
        wanted = checked_k(k)
        words = self._fresh()
        allowed = None if where is None else self._filters.of(where, None)
        with tantivy_errors(self.folder):
            return [words.search(query, wanted, allowed) for query in queries]


def _rising(ids: Int[np.ndarray, " ids"], _: None) -> Int[np.ndarray, " allowed"]:
    return np.unique(ids[ids >= 0])


def _index_settings(settings: LexicalSettings) -> dict[str, Any]:
    plain = asdict(settings)
    return {name: plain[name] for name in ("language", "title_weight")}


def _file_contents(folder: Path) -> list[bytes]:
    paths = (folder / MANIFEST, folder / "meta.json")
    return [path.read_bytes() if path.is_file() else b"" for path in paths]
