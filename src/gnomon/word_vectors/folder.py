"""A words folder: word vectors with their counts, n-grams and settings, and a static model that gnomon serves.

config.json, tokenizer.json and model.safetensors are a model in model2vec's layout: gnomon.load_encoder reads
them without gensim. words.json and words.safetensors hold what lookups want besides: counts, n-grams, and the
settings of the training.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, WeightsMismatch
from gnomon.core.files import exists, is_file, is_folder, replacing_folder, storage_error
from gnomon.core.serialize import from_plain, to_plain
from gnomon.word_vectors.corpus import tokenizer_json
from gnomon.word_vectors.settings import SubwordSettings
from gnomon.word_vectors.vectors import Subwords, WordVectors

FILE, TENSORS = "words.json", "words.safetensors"
SIF = 1e-3
_FORMAT = 1


def sif_weights(counts: Int[np.ndarray, " words"], a: float) -> Float[np.ndarray, " words"]:
    """Smooth inverse frequency: a / (a + the word's share of all words).

    Arora, Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings", which takes 1e-3.

    >>> sif_weights(np.array([999, 1]), 1e-3).astype(float).round(4).tolist()
    [0.001, 0.5]
    """
    shares = counts / max(int(counts.sum()), 1)
    return np.asarray(a / (a + shares), dtype=np.float32)


def save_words(
    vectors: WordVectors,
    folder: Path,
    *,
    settings: Mapping[str, Any] | None = None,
    sif: float | None = SIF,
) -> Path:
    """Write a words folder, whole or not at all; one that is there is replaced. Returns its path.

    A text's vector is the mean of its words' rows, weighed by `sif_weights` where counts are known and `sif`
    is not None; unknown words are left out. `settings` are kept beside the vectors.
    Raises InvalidInput for a folder that holds something else, StorageError.
    """
    folder = folder.expanduser().absolute()
    if exists(folder) and not is_file(folder / FILE) and not _is_empty(folder):
        raise InvalidInput(
            f"{folder} is there and holds no word vectors",
            expected="a new folder, an empty one, or a words folder to replace",
            hint="name another folder",
        )
    try:
        with replacing_folder(folder) as beside:
            _write(beside, vectors, settings or {}, sif=sif)
    except OSError as error:
        raise storage_error(error, folder) from error
    return folder


def is_words_folder(folder: Path) -> bool:
    """Whether `save_words` wrote it."""
    return is_file(folder / FILE)


def load_words(folder: str | Path) -> WordVectors:
    """The word vectors of a words folder, named after it.

    Raises InvalidInput for another folder, WeightsMismatch where its files are not as they were written.
    """
    from safetensors.numpy import load_file

    folder = Path(folder).expanduser()
    if not is_words_folder(folder):
        raise InvalidInput(
            f"{folder} holds no word vectors",
            expected=f"a folder that `gnomon words train` wrote, with {FILE} in it",
            hint=f"make one: gnomon words train TEXT --into {shlex.quote(str(folder))}",
        )
    try:
        plain = json.loads((folder / FILE).read_text(encoding="utf-8"))
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        rows = load_file(folder / "model.safetensors")["embeddings"][1:]
        tensors = load_file(folder / TENSORS) if is_file(folder / TENSORS) else {}
        words = WordVectors.of(
            sorted(vocabulary, key=vocabulary.__getitem__)[1:],
            rows,
            name=folder.name,
            counts=tensors.get("counts"),
            subwords=_subwords(plain, tensors),
            lowercase=bool(plain["lowercase"]),
        )
        wanted = plain["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    except Exception as error:  # safetensors raises a class of its own that derives from Exception
        raise _damaged(folder, str(error)) from error
    if words.space.fingerprint != wanted:
        raise _damaged(folder, "their digest is not the one that was written")
    return words


def _write(folder: Path, vectors: WordVectors, settings: Mapping[str, Any], *, sif: float | None) -> None:
    from safetensors.numpy import save_file

    rows = vectors.vectors.data
    tensors = {"embeddings": np.concatenate([np.zeros((1, rows.shape[1]), dtype=np.float32), rows])}
    own: dict[str, np.ndarray[Any, np.dtype[Any]]] = {}
    if vectors.counts is not None:
        own["counts"] = np.asarray(vectors.counts, dtype=np.int64)
        if sif is not None:
            scale = sif_weights(vectors.counts, sif)
            tensors["weights"] = np.concatenate([np.zeros(1, dtype=np.float32), scale])
    plain: dict[str, Any] = {"format": _FORMAT, "lowercase": vectors.lowercase, "sif": sif}
    if vectors.subwords is not None:
        grams = vectors.subwords
        own |= {"buckets": grams.buckets.astype(np.int64), "rows": np.ascontiguousarray(grams.rows)}
        plain["subwords"] = to_plain(grams.settings)
    plain |= {"fingerprint": vectors.space.fingerprint, "settings": dict(settings)}
    # What model2vec writes: the mean of rows, at unit length.
    config = {"model_type": "model2vec", "normalize": True, "hidden_dim": rows.shape[1]}
    save_file(tensors, folder / "model.safetensors")
    if own:
        save_file(own, folder / TENSORS)
    tokenizer = tokenizer_json(vectors.words, lowercase=vectors.lowercase)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / FILE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _subwords(plain: Mapping[str, Any], tensors: Mapping[str, np.ndarray[Any, np.dtype[Any]]]) -> Subwords | None:
    if "subwords" not in plain:
        return None
    return Subwords(from_plain(SubwordSettings, plain["subwords"]), tensors["buckets"], tensors["rows"])


def _is_empty(folder: Path) -> bool:
    return is_folder(folder) and not any(folder.iterdir())


def _damaged(folder: Path, why: str) -> WeightsMismatch:
    return WeightsMismatch(
        f"the word vectors in {folder} cannot be used: {why}",
        expected="the files as they were written, all of them",
        hint="copy the folder again, or train again",
    )
