"""gnomon words: train, neighbours, analogy and convert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, example, words_app
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file, replacing
from gnomon.core.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from gnomon.core.contracts import Encoder
    from gnomon.core.vectors import Vectors
    from gnomon.word_vectors import WordVectors


MOST_WORDS = 30_000
"""The most frequent words are taken: at a thousand a second the first time takes half a minute."""


def is_collection(path: Path) -> bool:
    """Whether a collection lies there."""
    return is_file(path / "collection.db")


def texts_of_collection(folder: Path) -> Iterator[str]:
    """Each document's text, in order of their ids. Loads no model. Raises CollectionNotFound."""
    import gnomon

    with gnomon.open(folder, create=False) as kb:
        for document in sorted(kb.ids()):
            yield from (kb.text(document) or "").split("\n\n")


def vectors_of_collection(folder: Path, progress: ProgressCallback) -> WordVectors:
    """A vector a word for the words of the documents, each encoded alone; kept in gnomon's cache.

    Raises CollectionNotFound, and InvalidInput for a collection without words that its model knows.
    """
    import gnomon
    from gnomon.word_vectors import WordVectors, corpus_of

    corpus = corpus_of(texts_of_collection(folder), min_count=1)
    with gnomon.open(folder, create=False, progress=progress) as kb:
        encoder = kb.encoder
    words = corpus.words[:MOST_WORDS]
    known = [count > 0 for count in encoder.count_tokens(words, role="document")]
    if not any(known):
        raise InvalidInput(
            f"{folder} has no word that {encoder.space.short} knows",
            expected="documents in the model's language",
            hint="index them with another model",
        )
    kept = tuple(word for word, is_known in zip(words, known, strict=True) if is_known)
    counts = corpus.counts[: len(words)][known]
    return WordVectors(kept, _encoded(encoder, kept, progress), counts, lowercase=True)


def _encoded(encoder: Encoder, words: Sequence[str], progress: ProgressCallback) -> Vectors:
    import numpy as np

    from gnomon.core.vectors import Vectors
    from gnomon.encode.digest import cache_home, digest_json

    kept = cache_home() / "words" / f"{digest_json([encoder.space.fingerprint, list(words)])[:32]}.npy"
    try:
        rows = np.load(kept, allow_pickle=False)
        if rows.shape == (len(words), encoder.space.dim):
            return Vectors(rows, encoder.space)
    except (OSError, ValueError):
        progress(Progress("encoding", message=f"encoding {len(words):,} words with {encoder.space.name}, once"))
    vectors = encoder.encode(words, role="document")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as beside, beside.open("wb") as file:
            np.save(file, vectors.data)
    except OSError as error:
        message = f"the words' vectors are not kept: {error.strerror or error}"
        progress(Progress("encoding", message=message))
    return vectors


Method = Literal["word2vec", "cbow", "fasttext", "glove"]
Format = Literal["word2vec", "word2vec-binary", "glove", "fasttext"]
VectorsArgument = Annotated[
    str,
    typer.Argument(
        help="A folder that train wrote, a file of vectors (word2vec, GloVe, fastText), or a collection: its "
        "documents' words under its model.",
        metavar="VECTORS",
    ),
]
StrictRows = Annotated[
    bool, typer.Option("--strict", help="Refuse a file with a row that cannot be used; else it is left out and noted.")
]
Neighbours = Annotated[int, typer.Option("--k", "-k", help="How many words.")]


@words_app.command(
    epilog=example(
        "gnomon words train docs/ book.txt --into vectors",
        "gnomon words train kb --into vectors --method fasttext",
    )
)
def train(
    texts: Annotated[list[Path], typer.Argument(help="Files, folders, collections.", metavar="TEXT...")],
    into: Annotated[Path, typer.Option(help="The folder for the vectors.")],
    method: Annotated[Method, typer.Option(help="word2vec is skip-gram.")] = "word2vec",
    *,
    dim: Annotated[int | None, typer.Option(help="Dimensions, by default 200.")] = None,
    window: Annotated[int | None, typer.Option(help="Words of context on each side.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the texts.")] = None,
    min_count: Annotated[int | None, typer.Option(help="Leave out words seen less often, by default 5.")] = None,
    keep_case: Annotated[bool, typer.Option("--keep-case", help="King and king are two words.")] = False,
    seed: Annotated[int | None, typer.Option(help="By default 1.")] = None,
    workers: Annotated[int | None, typer.Option(help="Threads; above 1 no two runs are quite the same.")] = None,
    remove_common: Annotated[
        int | None,
        typer.Option(help="Directions that all vectors share, to take out; dim / 100 helps glove."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train word vectors on texts."""
    import time

    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import count, data_console, duration, print_json
    from gnomon.word_vectors import corpus_of, save_words, settings_for, train_words

    options = {"dim": dim, "window": window, "epochs": epochs, "min_count": min_count, "seed": seed}
    options |= {"workers": workers, "remove_common": remove_common, "lowercase": False if keep_case else None}
    settings = settings_for(method, **options)
    started = time.perf_counter()
    with ProgressBar() as bar:
        bar.update(Progress("reading the texts"))
        corpus = corpus_of(_texts(texts), min_count=settings.min_count, lowercase=settings.lowercase)
        vectors = train_words(corpus, settings, progress=bar.update)
    seconds = time.perf_counter() - started
    folder = save_words(vectors, into, settings=settings.to_json())
    if as_json:
        summary = {"folder": str(folder), "words": len(vectors), "tokens": len(corpus.tokens)}
        plain = settings.to_json()
        print_json({**summary, "space": vectors.space.to_json(), "settings": plain, "seconds": seconds})
        return
    rows = [
        (
            "method",
            f"{method}, {settings.epochs} epoch{'s' * (settings.epochs != 1)}, {settings.dim} dimensions",
        ),
        ("words", f"{count(len(vectors))} different, {count(len(corpus.tokens))} in all"),
        ("time", duration(seconds)),
        ("written", str(into)),
    ]
    _print(data_console(), rows, then=f"words neighbours {into} {vectors.words[min(100, len(vectors) - 1)]}")


def _texts(paths: list[Path]) -> Iterator[str]:
    from gnomon.word_vectors.corpus import texts_of

    for path in paths:
        yield from texts_of_collection(path) if is_collection(path) else texts_of([path])


@words_app.command(epilog=example("gnomon words neighbours vectors king", "gnomon words neighbours kb king -k 20"))
def neighbours(
    vectors: VectorsArgument,
    word: Annotated[str, typer.Argument(help="A word of the vocabulary.", metavar="WORD")],
    k: Neighbours = 10,
    *,
    strict: StrictRows = False,
    as_json: Json = False,
) -> None:
    """Show the nearest words of a word, by cosine."""
    opened = open_vectors(vectors, strict=strict)
    _show_neighbours(opened, opened.nearest(word, k=k), {"nearest": [word]}, as_json=as_json)


@words_app.command(epilog=example("gnomon words analogy vectors man king woman"))
def analogy(
    vectors: VectorsArgument,
    a: Annotated[str, typer.Argument(help="A is to", metavar="A")],
    b: Annotated[str, typer.Argument(help="B as", metavar="B")],
    *,
    c: Annotated[str, typer.Argument(help="C is to the words shown.", metavar="C")],
    k: Neighbours = 10,
    strict: StrictRows = False,
    as_json: Json = False,
) -> None:
    """Show the words that complete an analogy: A is to B as C is to which word?"""
    opened = open_vectors(vectors, strict=strict)
    _show_neighbours(opened, opened.analogy(a, b, c, k=k), {"analogy": [a, b, c]}, as_json=as_json)


@words_app.command(
    epilog=example(
        "gnomon words convert glove.txt vectors",
        "gnomon words convert vectors vectors.bin --format word2vec-binary",
    )
)
def convert(
    vectors: VectorsArgument,
    out: Annotated[Path, typer.Argument(help="A folder, or with --format a file.", metavar="OUT")],
    to_format: Annotated[Format | None, typer.Option("--format", help="Write a file of this format.")] = None,
    *,
    strict: StrictRows = False,
    as_json: Json = False,
) -> None:
    """Write word vectors as a model folder, or as a file for other tools."""
    from gnomon.cli.terminal import count, data_console, print_json
    from gnomon.word_vectors import save_vectors, save_words

    opened = open_vectors(vectors, strict=strict)
    written = save_vectors(opened, out, format=to_format) if to_format else save_words(opened, out)
    if as_json:
        print_json({"written": str(written), "words": len(opened), "format": to_format or "folder"})
        return
    rows = [("words", count(len(opened))), ("written", str(written))]
    _print(data_console(), rows, then=f"words neighbours {out} {opened.words[0]}")


def _show_neighbours(
    vectors: WordVectors, found: Sequence[tuple[str, float]], query: Mapping[str, list[str]], *, as_json: bool
) -> None:
    from gnomon.cli.terminal import data_console, print_json, print_notes

    composed = [word for words in query.values() for word in words if vectors.is_composed(word)]
    if as_json:
        rows = [{"word": word, "cosine": cosine} for word, cosine in found]
        print_json({"space": vectors.space.to_json(), **query, "composed": composed, "neighbours": rows})
        return
    print_notes([f"{word!r} never came in training: its vector is made of its n-grams" for word in composed])
    _print(data_console(), [(f"{cosine:.3f}", word) for word, cosine in found])


def open_vectors(what: str, *, strict: bool = False) -> WordVectors:
    """The word vectors of a words folder, a file, or a collection; rows of a file that are left out are noted.

    Raises InvalidInput for anything else, and with `strict` for a row that cannot be used.
    """
    from gnomon.cli.terminal import noted, print_message, print_notes
    from gnomon.word_vectors import is_words_folder, load_vectors, load_words

    path = Path(what).expanduser()
    if is_words_folder(path):
        return load_words(path)
    if is_file(path):
        with noted() as notes:
            loaded = load_vectors(path, strict=strict)
        print_notes(notes)
        return loaded
    if is_collection(path):
        return vectors_of_collection(path, print_message)
    raise InvalidInput(
        f"{what} is no words folder, no file and no collection",
        expected="what `gnomon words train` or `gnomon index` wrote, or a file of word vectors",
        hint=f"gnomon words train TEXT... --into {what}",
    )


def _print(console: Any, rows: list[tuple[str, str]], *, then: str = "") -> None:
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows, program

    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])
    if then:
        console.print()
        print_hanging(console, Text("next  ", style="bold"), clean(f"{program()} {then}"))
