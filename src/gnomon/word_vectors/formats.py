"""Word vectors of other tools: word2vec's text and binary files, GloVe's text, fastText's .bin.

Text: a word and its numbers a line; word2vec's begins with a line of two numbers, words and dimensions.
Binary: that line, then for each word its bytes, a space, and its numbers as little-endian float32
(https://code.google.com/archive/p/word2vec, https://nlp.stanford.edu/projects/glove).
"""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, get_args

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput, SkippedRows, UnreadableFile
from gnomon.core.files import replacing, storage_error
from gnomon.word_vectors.settings import SubwordSettings
from gnomon.word_vectors.training import gensim_models
from gnomon.word_vectors.vectors import Subwords, WordVectors

_GZIP = b"\x1f\x8b"
_SHOWN = 5  # rows left out that a warning names


@dataclass
class VectorTable:
    """Words and rows as they come in. Mutable: a list of arrays would take more memory than the file.

    Rows that cannot be used are left out and counted, or with `strict` refused.
    """

    path: Path
    dim: int
    rows: Float[np.ndarray, "room dim"]
    words: list[str] = field(default_factory=list)
    first_seen: dict[str, str] = field(default_factory=dict)
    strict: bool = False
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, dim: int, room: int, *, strict: bool = False) -> VectorTable:
        """An empty table with room for so many rows to begin with."""
        return cls(path, dim, np.empty((max(room, 1), dim), dtype=np.float32), strict=strict)

    def skip(self, where: str, message: str) -> None:
        """Leave a row out. Raises InvalidInput with `strict`."""
        if self.strict:
            raise bad_row(self.path, where, message)
        self.skipped.append((where, message))

    def add_bytes(self, word: bytes, row: Float[np.ndarray, " dim"], where: str) -> None:
        """Add a row whose word is as the file has it; one that is not UTF-8 is left out."""
        try:
            text = word.decode("utf-8")
        except UnicodeDecodeError:
            self.skip(where, f"a word that is not UTF-8, {word[:40]!r}")
            return
        self.add(text, row, where)

    def add(self, word: str, row: Float[np.ndarray, " dim"], where: str) -> None:
        """Add a row; a word that is there already, none, and numbers that are not finite are left out."""
        if not word or word in self.first_seen:
            came = f"the word {word!r} for the second time, first at {self.first_seen[word]}" if word else "no word"
            self.skip(where, came)
            return
        if not np.isfinite(row).all():
            self.skip(where, f"{word!r} with NaN or infinite numbers")
            return
        if len(self.words) == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[len(self.words)] = row
        self.first_seen[word] = where
        self.words.append(word)

    def done(self) -> WordVectors:
        """The word vectors, named after the file. Warns SkippedRows.

        Raises InvalidInput where there are none, or more rows were left out than kept: that is another format.
        """
        if len(self.skipped) > len(self.words):
            raise bad_row(self.path, *self.skipped[0])
        self._warn()
        if not self.words:
            raise InvalidInput(f"{self.path} holds no vectors", expected="at least one word", hint="check the file")
        lowercase = all(word == word.lower() for word in self.words)
        rows = np.ascontiguousarray(self.rows[: len(self.words)])
        return WordVectors.of(self.words, rows, name=self.path.name.partition(".")[0], lowercase=lowercase)

    def _warn(self) -> None:
        if self.skipped:
            shown = "; ".join(f"{where}: {message}" for where, message in self.skipped[:_SHOWN])
            more = "; …" if len(self.skipped) > _SHOWN else ""
            warnings.warn(
                f"{len(self.skipped)} rows of {self.path} are left out: {shown}{more}", SkippedRows, stacklevel=4
            )


def bad_row(path: Path, where: str, message: str) -> InvalidInput:
    """The error for an invalid row."""
    return InvalidInput(
        f"{path}, {where}: {message}",
        expected="each word once, with as many finite numbers as the others",
        hint="take the row out or correct it; a file cut off in transfer has to be fetched again",
    )


def unreadable(path: Path, after: str, error: Exception) -> UnreadableFile:
    """The error for a file that ends early or is no such file."""
    return UnreadableFile(
        f"{path} cannot be read {after}: {error}",
        expected="a whole file of word vectors, gzipped or not",
        hint="see whether the path is right, and fetch the file again if it was cut off",
    )


def opened(path: Path) -> IO[bytes]:
    """The file, unpacked where it is gzipped. Raises UnreadableFile."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise unreadable(path, "at all", error) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers from 1 with lines, their ends taken off. Raises UnreadableFile."""
    number = 0
    with opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(path, f"after line {number}", error) from error


def numbers_of(cells: list[bytes]) -> Float[np.ndarray, " dim"] | None:
    """Cells as float32; None where one is no number."""
    try:
        return np.array([float(cell) for cell in cells], dtype=np.float32)
    except ValueError:
        return None


def load_fasttext(path: Path) -> WordVectors:
    """The word vectors of a .bin file. Buckets of zeros are left out, which changes no vector.

    Raises UnreadableFile for a file that is cut off, or of a classifier or a quantised model, which are other
    formats.
    """
    models = gensim_models()
    try:
        wv = models.fasttext.load_facebook_vectors(str(path))
    except (OSError, EOFError, ValueError, AssertionError, struct.error, NotImplementedError) as error:
        raise unreadable(path, "as a fastText model", error) from error
    subwords = None
    if wv.bucket:
        settings = SubwordSettings(int(wv.min_n), int(wv.max_n), int(wv.bucket))
        touched = np.flatnonzero(np.any(wv.vectors_ngrams, axis=1))
        subwords = Subwords(settings, touched, np.asarray(wv.vectors_ngrams[touched], dtype=np.float32))
    counts = np.array([wv.get_vecattr(word, "count") for word in wv.index_to_key], dtype=np.int64)
    return WordVectors.of(
        wv.index_to_key,
        np.asarray(wv.vectors, dtype=np.float32),
        name=path.name.partition(".")[0],
        counts=counts,
        subwords=subwords,
        lowercase=all(word == word.lower() for word in wv.index_to_key),
    )


def write_fasttext(vectors: WordVectors, path: Path) -> None:
    """A .bin file that fastText and gensim read. Its output layer is zero: it is to look up, not to train on.

    Raises InvalidInput for vectors without n-grams or counts, which the format wants.
    """
    grams = vectors.subwords
    if grams is None or vectors.counts is None:
        raise InvalidInput(
            f"{vectors.space.name} has no {'n-grams' if grams is None else 'counts'}",
            expected="vectors that FastText trained",
            hint='write them as "word2vec" or "word2vec-binary"',
        )
    models, dim = gensim_models(), vectors.space.dim
    settings = grams.settings
    model = models.FastText(
        vector_size=dim,
        min_n=settings.shortest,
        max_n=settings.longest,
        bucket=settings.buckets,
        min_count=1,
        sorted_vocab=0,
    )
    model.build_vocab_from_freq(dict(zip(vectors.words, vectors.counts.tolist(), strict=True)))
    model.corpus_total_words = int(vectors.counts.sum())
    order = [model.wv.key_to_index[word] for word in vectors.words]
    model.wv.vectors_ngrams[:] = 0
    model.wv.vectors_ngrams[grams.buckets] = grams.rows
    # A word's vector is the mean of its own row and those of its n-grams: its own is what is left.
    for word, at, row in zip(vectors.words, order, vectors.vectors.data, strict=True):
        total, count, _ = grams.sum_of(word)
        model.wv.vectors_vocab[at] = row * (count + 1) - total
    model.syn1neg[:] = 0
    models.fasttext.save_facebook_model(model, str(path))


Format = Literal["word2vec", "word2vec-binary", "glove", "fasttext"]
_FASTTEXT = (793712314).to_bytes(4, "little")
_PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")  # second byte of a pickle, after 0x80
_LONGEST_WORD = 10_000
_SAMPLE_BYTES = 4096


def load_vectors(
    path: str | Path,
    *,
    format: Format | None = None,  # noqa: A002 - as elsewhere
    strict: bool = False,
) -> WordVectors:
    """The word vectors of a file, read as a stream; gzipped text and word2vec files too.

    None: the format is seen by the content. A vocabulary without capitals is looked up in lower case. Rows that
    cannot be used (not UTF-8, twice, NaN, cut off) are left out with the warning SkippedRows, which names lines.
    Raises InvalidInput for a file that fits no format and, with `strict`, for the first such row; UnreadableFile.
    """
    path = Path(path).expanduser()
    kind = format or format_of(path)
    if kind not in get_args(Format):
        raise InvalidInput(f"format {kind!r}", expected=f"one of {', '.join(get_args(Format))}")
    if kind == "fasttext":
        return load_fasttext(path)
    if kind == "word2vec-binary":
        return _binary(path, strict=strict)
    return _text(path, header=kind == "word2vec", strict=strict)


def format_of(path: Path) -> Format:
    """The format that the file's beginning shows. Raises InvalidInput for a pickle, UnreadableFile."""
    with opened(path) as file:
        try:
            start = file.read(4)
            if start == _FASTTEXT:
                return "fasttext"
            if start[:1] == b"\x80" and start[1:2] in _PICKLE_PROTOCOLS:
                raise _pickled(path)
            line = start + (b"" if b"\n" in start else file.readline(_LONGEST_WORD))
            second = file.read(_SAMPLE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(path, "at all", error) from error
    said = _header(line.partition(b"\n")[0])
    if said is None:
        return "glove"
    row, ended, _ = (line.partition(b"\n")[2] + second).partition(b"\n")
    whole = bool(ended) or len(second) < _SAMPLE_BYTES
    return "word2vec" if _is_text(row.rstrip(), said[1], whole=whole) else "word2vec-binary"


def _pickled(path: Path) -> InvalidInput:
    return InvalidInput(
        f"{path} is a Python pickle, as gensim's save() writes: loading it would run whatever code it holds",
        expected="the format of word2vec, GloVe or fastText",
        hint=f"if you trust it: python -c \"from gensim.utils import SaveLoad as S; v = S.load('{path}'); "
        f"getattr(v, 'wv', v).save_word2vec_format('{path.with_suffix('.vec')}')\"",
    )


def save_vectors(vectors: WordVectors, path: str | Path, *, format: Format) -> Path:  # noqa: A002
    """Write the vectors in another tool's format, whole or not at all. Returns the path.

    Text has nine digits, which tell any two float32 apart. What these formats have no place for, counts and
    n-grams among it, is not in the file; fastText's keeps both.
    Raises InvalidInput for words that the format cannot hold, StorageError.
    """
    path = Path(path).expanduser()
    writers: dict[Format, Callable[[WordVectors, Path], None]] = {
        "word2vec": lambda words, to: _write_text(words, to, header=True),
        "word2vec-binary": _write_binary,
        "glove": lambda words, to: _write_text(words, to, header=False),
        "fasttext": write_fasttext,
    }
    if format not in writers:
        raise InvalidInput(f"format {format!r}", expected=f"one of {', '.join(writers)}")
    spaced = [word for word in vectors.words if word.split() != [word]]
    if spaced:
        raise InvalidInput(
            f"{len(spaced)} words with spaces in them, such as {spaced[0]!r}",
            expected="words without spaces, which part the fields of these formats",
            hint="write such words with an underscore",
        )
    try:
        with replacing(path) as beside:
            writers[format](vectors, beside)
    except OSError as error:
        raise storage_error(error, path) from error
    return path


def _text(path: Path, *, header: bool, strict: bool) -> WordVectors:
    lines = numbered_lines(path)
    said = None
    if header:
        number, line = next(lines, (1, b""))
        said = _header(line)
        if said is None:
            raise bad_row(path, "line 1", f"{_shown(line)} where the count of words and dimensions belongs")
    table = None if said is None else VectorTable.of(path, said[1], min(said[0], 100_000), strict=strict)
    for number, line in lines:
        cells = line.rstrip(b" \t").split(b" ")
        if table is None:
            table = VectorTable.of(path, len(cells) - 1, 1000, strict=strict)
        row = numbers_of(cells[-table.dim :]) if table.dim and len(cells) > table.dim else None
        if row is None:
            table.skip(f"line {number}", f"{_shown(line)}, not a word and {table.dim} numbers")
        else:
            table.add_bytes(b" ".join(cells[: -table.dim]), row, f"line {number}")
    return _counted(path, table, said)


def _shown(line: bytes) -> str:
    return repr(line.decode("utf-8", "replace")[:60])


def _counted(path: Path, table: VectorTable | None, said: tuple[int, int] | None) -> WordVectors:
    table = table or VectorTable.of(path, 1, 0)
    there = len(table.words) + len(table.skipped)
    if said is not None and there != said[0]:
        table.skip("line 1", f"{said[0]} words announced, {there} there")
    return table.done()


def _binary(path: Path, *, strict: bool) -> WordVectors:
    with opened(path) as file:
        said = _header(file.readline(_LONGEST_WORD).rstrip(b"\n"))
        if said is None:
            raise bad_row(path, "line 1", "no count of words and dimensions")
        table = VectorTable.of(path, said[1], min(said[0], 100_000), strict=strict)
        try:
            for number, (word, data) in enumerate(_records(file, *said), 1):
                if len(data) < 4 * said[1]:
                    table.skip(f"row {number} of {said[0]}", "the file ends within it")
                    break
                table.add_bytes(word, np.frombuffer(data, dtype="<f4"), f"row {number}")
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(path, f"after row {len(table.words)}", error) from error
    return table.done()


def _records(file: IO[bytes], words: int, dim: int) -> Iterator[tuple[bytes, bytes]]:
    """Each word's bytes and those of its numbers; some tools end a row with a line break."""
    kept = b""
    for _ in range(words):
        while b" " not in kept and len(kept) < _LONGEST_WORD:
            more = file.read(4 * dim)
            if not more:
                break
            kept += more
        word, _, kept = kept.partition(b" ")
        while len(kept) < 4 * dim and (more := file.read(4 * dim)):
            kept += more
        yield word.lstrip(b"\n"), kept[: 4 * dim]
        kept = kept[4 * dim :]


def _write_text(vectors: WordVectors, path: Path, *, header: bool) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        if header:
            file.write(f"{len(vectors)} {vectors.space.dim}\n")
        for word, row in zip(vectors.words, vectors.vectors.data, strict=True):
            file.write(f"{word} {' '.join(f'{value:.9g}' for value in row.tolist())}\n")


def _write_binary(vectors: WordVectors, path: Path) -> None:
    with path.open("wb") as file:
        file.write(f"{len(vectors)} {vectors.space.dim}\n".encode())
        for word, row in zip(vectors.words, vectors.vectors.data, strict=True):
            file.write(word.encode() + b" " + row.astype("<f4").tobytes() + b"\n")


def _header(line: bytes) -> tuple[int, int] | None:
    cells = line.split()
    if len(cells) != 2 or not all(cell.isdigit() for cell in cells) or int(cells[1]) < 1:
        return None
    return int(cells[0]), int(cells[1])


def _is_text(row: bytes, dim: int, *, whole: bool) -> bool:
    """Whether a row, or as much of it as was read, is a word and numbers; bytes of floats are not."""
    cells = row.split(b" ")
    numbers = cells[-dim:] if whole else cells[1:-1]
    return len(cells) > (dim if whole else 2) and all(_is_number(cell) for cell in numbers)


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
