"""gnomon words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from gnomon.core.contracts import Encoder
    from gnomon.core.vectors import Vectors
    from gnomon.word_vectors import WordVectors


MOST_WORDS = 30_000
"""The most frequent words are taken: at a thousand a second the first time takes half a minute."""


def is_collection(path: Path) -> bool:
    """Whether a collection lies there."""
    return (path / "collection.db").is_file()


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
        beside = kept.with_name(f".{os.getpid()}.npy")
        np.save(beside, vectors.data)
        beside.replace(kept)
    except OSError as error:
        message = f"the words' vectors are not kept: {error.strerror or error}"
        progress(Progress("encoding", message=message))
    return vectors


Method = Literal["word2vec", "cbow", "fasttext", "glove"]
Format = Literal["word2vec", "word2vec-binary", "glove", "fasttext"]
_FORMS = "train TEXT... --into FOLDER; VECTORS nearest WORD; VECTORS analogy A B C; VECTORS save FILE_OR_FOLDER"


What = Annotated[
    str,
    typer.Argument(
        help='"train", or what to look words up in: a folder that train wrote, a file of vectors (word2vec, '
        "GloVe, fastText), or a collection: its documents' words under its model.",
        metavar="train|VECTORS",
    ),
]
Rest = Annotated[
    list[str],
    typer.Argument(
        help="TEXT... (files, folders, collections) | nearest WORD | analogy A B C | save PLACE",
        metavar="ARGUMENTS",
    ),
]


@app.command(
    epilog=example(
        "gnomon words train docs/ book.txt --into vectors",
        "gnomon words train kb --into vectors --method fasttext",
        "gnomon words vectors nearest king",
        "gnomon words kb analogy man king woman",
        "gnomon words glove.txt save vectors",
    )
)
def words(
    what: What,
    rest: Rest,
    into: Annotated[Path | None, typer.Option(help="train: the folder for the vectors.")] = None,
    method: Annotated[Method | None, typer.Option(help="train: by default word2vec (skip-gram).")] = None,
    dim: Annotated[int | None, typer.Option(help="train: dimensions, by default 200.")] = None,
    window: Annotated[int | None, typer.Option(help="train: words looked at on each side.")] = None,
    epochs: Annotated[int | None, typer.Option(help="train: times through the texts.")] = None,
    min_count: Annotated[int | None, typer.Option(help="train: leave out words seen less often, by default 5.")] = None,
    keep_case: Annotated[bool, typer.Option("--keep-case", help="train: King and king are two words.")] = False,
    seed: Annotated[int | None, typer.Option(help="train: by default 1.")] = None,
    workers: Annotated[int | None, typer.Option(help="train: threads; above 1 no two runs are quite the same.")] = None,
    remove_common: Annotated[
        int | None,
        typer.Option(help="train: directions that all vectors share, to take out; dim / 100 helps glove."),
    ] = None,
    to_format: Annotated[
        Format | None, typer.Option("--format", help="save: a file of this format, not a folder.")
    ] = None,
    k: Annotated[int | None, typer.Option("-k", help="nearest, analogy: how many, by default 10.")] = None,
    as_json: Json = False,
) -> None:
    """Train word vectors, and look up neighbours and analogies.

    What train and save write is a model folder too: gnomon index PATH --into kb --model FOLDER.
    """
    numbers = {"dim": dim, "window": window, "epochs": epochs, "min_count": min_count}
    numbers |= {"seed": seed, "remove_common": remove_common}
    training = {**numbers, "workers": workers, "lowercase": False if keep_case else None}
    action = _action(what, rest)
    asked = {"--into": into, "--method": method, "--keep-case": training["lowercase"], "--workers": workers}
    asked |= {f"--{name.replace('_', '-')}": value for name, value in numbers.items()}
    _refuse(action, asked, ("train",))
    _refuse(action, {"--format": to_format}, ("save",))
    _refuse(action, {"-k": k}, ("nearest", "analogy"))
    if action == "train":
        _train([Path(text) for text in rest], into, method or "word2vec", training, as_json=as_json)
    elif action == "save":
        _save(what, rest[1:], to_format, as_json=as_json)
    else:
        _look_up(what, action, rest[1:], k or 10, as_json=as_json)


def _action(what: str, rest: list[str]) -> str:
    action = "train" if what == "train" else rest[0]
    if action not in ("train", "nearest", "analogy", "save"):
        raise InvalidInput(f"{action!r} after {what}", expected=_FORMS, hint=f"gnomon words {what} nearest WORD")
    return action


def _refuse(action: str, given: dict[str, Any], used_by: tuple[str, ...]) -> None:
    named = [name for name, value in given.items() if value is not None]
    if named and action not in used_by:
        raise InvalidInput(
            f"{named[0]} with {action}",
            expected=f"{named[0]} only with {' or '.join(used_by)}",
            hint=f"leave {named[0]} out",
        )


def _train(texts: list[Path], into: Path | None, method: Method, changes: dict[str, Any], *, as_json: bool) -> None:
    import time

    from gnomon.cli.terminal import count, data_console, duration, notes_console, print_json
    from gnomon.cli.words_bar import WordBar
    from gnomon.word_vectors import corpus_of, save_words, settings_for, train_words

    if into is None:
        raise InvalidInput("train without --into", expected="a folder for the vectors", hint="add --into FOLDER")
    settings = settings_for(method, **changes)
    started = time.perf_counter()
    with WordBar(notes_console()) as bar:
        corpus = corpus_of(_texts(texts), min_count=settings.min_count, lowercase=settings.lowercase)
        vectors = train_words(corpus, settings, progress=bar.update)
    seconds = time.perf_counter() - started
    folder = save_words(vectors, into, settings=settings.to_json())
    summary = {"folder": str(folder), "words": len(vectors), "tokens": len(corpus.tokens)}
    if as_json:
        settled = settings.to_json()
        print_json({**summary, "space": vectors.space.to_json(), "settings": settled, "seconds": seconds})
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
    _print(data_console(), rows, then=f"words {into} nearest {vectors.words[min(100, len(vectors) - 1)]}")


def _texts(paths: list[Path]) -> Iterator[str]:
    from gnomon.word_vectors.corpus import texts_of

    for path in paths:
        yield from texts_of_collection(path) if is_collection(path) else texts_of([path])


def _save(what: str, rest: list[str], to_format: Format | None, *, as_json: bool) -> None:
    from gnomon.cli.terminal import count, data_console, print_json
    from gnomon.word_vectors import save_vectors, save_words

    if len(rest) != 1:
        raise InvalidInput(f"save with {len(rest)} places", expected="save FILE_OR_FOLDER", hint="name one place")
    vectors = opened(what)
    place = save_vectors(vectors, rest[0], format=to_format) if to_format else save_words(vectors, Path(rest[0]))
    if as_json:
        print_json({"written": str(place), "words": len(vectors), "format": to_format or "folder"})
        return
    rows = [("words", count(len(vectors))), ("written", str(place))]
    _print(data_console(), rows, then=f"words {rest[0]} nearest {vectors.words[0]}")


def _look_up(what: str, action: str, asked: list[str], k: int, *, as_json: bool) -> None:
    from gnomon.cli.terminal import data_console, print_json, print_notes

    wanted = 1 if action == "nearest" else 3
    if len(asked) != wanted:
        form = "nearest WORD" if wanted == 1 else "analogy A B C: A is to B as C is to which word?"
        raise InvalidInput(f"{action} with {len(asked)} words", expected=form, hint=f"gnomon words {what} {action} ...")
    vectors = opened(what)
    found = vectors.nearest(asked[0], k=k) if wanted == 1 else vectors.analogy(*asked, k=k)
    composed = [word for word in asked if vectors.is_composed(word)]
    if as_json:
        neighbours = [{"word": word, "cosine": cosine} for word, cosine in found]
        shown = {"space": vectors.space.to_json(), action: asked, "composed": composed}
        print_json({**shown, "neighbours": neighbours})
        return
    print_notes([f"{word!r} never came in training: its vector is made of its n-grams" for word in composed])
    _print(data_console(), [(f"{cosine:.3f}", word) for word, cosine in found])


def opened(what: str) -> WordVectors:
    """The word vectors of a words folder, a file, or a collection. Raises InvalidInput for anything else."""
    from gnomon.cli.terminal import print_message
    from gnomon.word_vectors import is_words_folder, load_vectors, load_words

    path = Path(what).expanduser()
    if is_words_folder(path):
        return load_words(path)
    if path.is_file():
        return load_vectors(path)
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
