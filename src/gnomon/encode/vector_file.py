"""Texts to a .npy file of their vectors, which is carried on with where it was cut off."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from gnomon.core.contracts import Array, Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, replacing, storage_errors, write_atomic
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.usage import MeteredEncoder

BLOCK = 4096
"""Texts encoded between two writes."""


@dataclass(frozen=True)
class _State:
    """What is done: whole blocks of `texts` in order, their SHA-256, and how many were truncated."""

    space: str
    role: Role
    texts: int = 0
    digest: str = ""
    truncated: int = 0


def encode_to_file(
    encoder: Encoder, texts: Iterable[str], *, role: Role, out: Path, progress: ProgressCallback = no_progress
) -> tuple[int, int]:
    """Write OUT.npy, float32 [texts, dim]; returns how many texts there were, and how many of them were truncated.

    Until it is whole, what is done is in OUT.npy.part: the same call after an error or an interrupt takes it from
    there, and texts that a server was paid for are not sent again. Raises InvalidInput where the part is of another
    model, role or texts, StorageError, and what encoding raises.
    """
    part = _Part(out.with_name(f"{out.name}.part"), encoder, role)
    source = iter(texts)
    state = part.opened(source)
    while block := list(islice(source, BLOCK)):
        state = part.add(state, block, _rows(part, block, encoder, role=role))
        progress(Progress("encoding", state.texts, unit="text"))
    with storage_errors(out), replacing(out) as beside, beside.open("wb") as file:
        np.save(file, part.rows(state.texts))
    part.remove()
    return state.texts, state.truncated


class _Part:
    """The folder beside the file: rows of whole blocks, and those of the block that was cut off."""

    def __init__(self, folder: Path, encoder: Encoder, role: Role) -> None:
        self._folder, self._encoder, self._role = folder, encoder, role
        self._state, self._rows, self._waiting = (folder / name for name in ("state.json", "rows", "waiting.npz"))

    def opened(self, texts: Iterator[str]) -> _State:
        """What is done; its texts are taken from `texts`. Raises InvalidInput where they are others."""
        fresh = _State(self._encoder.space.fingerprint, self._role)
        if not exists(self._state):
            with storage_errors(self._folder):
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir()
            self._write(fresh)
            return fresh
        state = _State(**json.loads(self._state.read_text(encoding="utf-8")))
        digest = ""
        for _ in range(0, state.texts, BLOCK):
            digest = _digest(digest, list(islice(texts, BLOCK)))
        wrong = "" if (state.space, state.role) == (fresh.space, fresh.role) else "another model or role"
        wrong = wrong if digest == state.digest else "other texts"
        if wrong:
            raise InvalidInput(
                f"{self._folder} holds the first vectors of {wrong}",
                expected=f"the run of {self._encoder.space.short} as {self._role} that was cut off",
                hint=f"give the same texts, model and role again, or delete {self._folder}",
            )
        with self._rows.open("r+b") as file:  # what was written beyond the state is of a block that is made again
            file.truncate(self._size(state.texts))
        return state

    def add(self, state: _State, block: list[str], rows: Array) -> _State:
        """The state with a whole block more."""
        lengths = self._encoder.count_tokens(block, role=self._role)
        truncated = sum(length > self._encoder.max_tokens for length in lengths)
        with storage_errors(self._folder):
            with self._rows.open("ab") as file:
                file.write(rows.astype("<f4").tobytes())
            done = replace(
                state,
                texts=state.texts + len(block),
                digest=_digest(state.digest, block),
                truncated=state.truncated + truncated,
            )
            self._write(done)
            self._waiting.unlink(missing_ok=True)
        return done

    def keep(self, block: list[str], rows: dict[int, Array]) -> None:
        """Vectors of a block that was cut off, by their places in it."""
        if rows:
            with storage_errors(self._folder), replacing(self._waiting) as beside, beside.open("wb") as file:
                np.savez(
                    file,
                    places=np.array(sorted(rows)),
                    rows=np.stack([rows[at] for at in sorted(rows)]),
                    digest=_digest("", block),
                )

    def waiting(self, block: list[str]) -> dict[int, Array]:
        """What `keep` kept of this block."""
        if not exists(self._waiting):
            return {}
        with np.load(self._waiting, allow_pickle=False) as kept:
            if str(kept["digest"]) != _digest("", block):
                return {}
            return dict(zip(kept["places"].tolist(), kept["rows"], strict=True))

    def rows(self, texts: int) -> Array:
        """The rows of all texts, mapped."""
        shape = (texts, self._encoder.space.dim)
        return np.memmap(self._rows, dtype="<f4", mode="r", shape=shape) if texts else np.zeros(shape, "<f4")

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _size(self, texts: int) -> int:
        return texts * self._encoder.space.dim * 4

    def _write(self, state: _State) -> None:
        self._rows.touch()
        write_atomic(self._state, json.dumps(asdict(state)))


def _rows(part: _Part, block: list[str], encoder: Encoder, *, role: Role) -> Array:
    """The vectors of a block, [texts, dim]. What a server answered before an error is kept in `part`."""
    if not isinstance(encoder, MeteredEncoder):
        return encoder.encode(block, role=role).data
    found = part.waiting(block)
    todo = [at for at in range(len(block)) if at not in found]
    try:
        for batch in encoder.encode_batches([block[at] for at in todo], role=role):
            found.update((todo[at], row) for at, row in zip(batch.positions.tolist(), batch.vectors.data, strict=True))
    except BaseException:
        part.keep(block, found)
        raise
    return np.stack([found[at] for at in range(len(block))])


def _digest(before: str, block: list[str]) -> str:
    """Of a block after what precedes it."""
    plain = json.dumps([before, block], ensure_ascii=True).encode()
    return hashlib.sha256(plain).hexdigest()
