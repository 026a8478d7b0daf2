"""A teacher's vectors of texts: each is made once, paid for once, and kept in a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from gnomon.core.batching import in_blocks
from gnomon.core.budget import Budget, dollars, server_cost
from gnomon.core.contracts import Array, Encoder, Role
from gnomon.core.errors import CostLimitReached
from gnomon.core.files import is_file, storage_errors
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.space import Space
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vectors import Vectors

BLOCK = 1024
"""Texts encoded between two writes; of a server's each request is written."""
Text = tuple[Role, str]
ROLES: tuple[Role, ...] = ("query", "document")


class TeacherVectors:
    """An encoder's vectors, read from `folder`, and made and kept there where they are missing.

    The file is named by the encoder's fingerprint, and holds a hash of role and text with each float32 row; what was
    cut off while it was written is made again. `max_cost` is the USD that may be spent on an encoder that is
    a server's; None: as much as it takes. One process at a time may write.
    """

    def __init__(self, encoder: Encoder, folder: Path, *, max_cost: float | None = None) -> None:
        self.encoder, self._budget = encoder, Budget(max_cost)
        self._path = folder / f"{encoder.space.fingerprint[:16]}.vectors"
        self._record = np.dtype([("key", "S32"), ("row", "<f4", (encoder.space.dim,))])
        self._rows: np.ndarray[tuple[int], np.dtype[np.void]] = np.zeros(0, self._record)
        self._at: dict[bytes, int] = {}
        self.refresh()

    @property
    def space(self) -> Space:
        """The encoder's."""
        return self.encoder.space

    @property
    def spent(self) -> float:
        """USD that this object spent."""
        return self._budget.spent.cost

    def cost(self, texts: Iterable[Text]) -> tuple[int, float | None]:
        """How many of these texts have no vector yet, and the USD that a server charges for them (None: not known)."""
        missing = self._missing(texts)
        server = server_cost(self.encoder, self._counts(missing))
        return len(missing), 0.0 if server is None else server.cost

    def fill(self, texts: Iterable[Text], *, progress: ProgressCallback = no_progress) -> None:
        """Make and keep the vectors that are missing. What was answered before an error is kept.

        What a server charges is told before anything is sent.

        Raises CostLimitReached before anything is sent where the texts cost more than may be spent, InvalidInput where
        their price is not known and a limit is set, StorageError, and what encoding raises.
        """
        missing = self._missing(texts)
        metered = self.encoder if isinstance(self.encoder, MeteredEncoder) else None
        if metered is not None and missing:
            self._require(missing)
            cost = self.cost(missing)[1]
            price = "at a price that is not known" if cost is None else f"for about {dollars(cost)}"
            message = f"{self.space.name}: vectors of {len(missing):,} texts {price}"
            progress(Progress("teacher's vectors", 0, len(missing), "text", message=message))
        done = 0
        with storage_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        for role in ROLES:
            for part in in_blocks([text for own, text in missing if own == role], BLOCK):
                if metered is not None:
                    self._ask(metered, part, role)
                else:
                    self._keep(part, role, self.encoder.encode(part, role=role).data)
                done += len(part)
                figures = self._budget.metrics()
                progress(Progress("teacher's vectors", done, len(missing), "text", metrics=figures))
        self.refresh()

    def add(self, role: Role, vectors: Mapping[str, Sequence[float]]) -> None:
        """Keep vectors of the encoder's that were made elsewhere, by their texts."""
        missing = [text for _, text in self._missing((role, text) for text in vectors)]
        with storage_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        for part in in_blocks(missing, BLOCK):
            self._keep(part, role, np.array([vectors[text] for text in part], dtype=np.float32))
        self.refresh()

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The vectors [texts, dim]; those that are missing are made and kept first, as `fill` does."""
        keys = [_key(role, text) for text in texts]
        if any(key not in self._at for key in keys):
            self.fill((role, text) for text in texts)
        return Vectors(np.array(self._rows["row"][[self._at[key] for key in keys]]), self.space)

    def refresh(self) -> None:
        """See what the file holds now. A record that was cut off is taken away."""
        if not is_file(self._path):
            return
        size = self._record.itemsize
        with storage_errors(self._path.parent):
            whole = self._path.stat().st_size // size
            if whole * size < self._path.stat().st_size:
                os.truncate(self._path, whole * size)
            if whole:
                self._rows = np.memmap(self._path, dtype=self._record, mode="r", shape=(whole,))
        self._at = {key: at for at, key in enumerate(self._rows["key"].tolist())}

    def _missing(self, texts: Iterable[Text]) -> list[Text]:
        found = {_key(*one): one for one in texts}
        return [one for key, one in found.items() if key not in self._at]

    def _counts(self, texts: Sequence[Text]) -> list[int]:
        return [
            count
            for role in ROLES
            for count in self.encoder.count_tokens([text for own, text in texts if own == role], role=role)
        ]

    def _require(self, missing: Sequence[Text]) -> None:
        count, cost, most = len(missing), self.cost(missing)[1], self._budget.max_cost
        if most is not None and cost is not None and self.spent + cost > most:
            raise CostLimitReached(
                f"the teacher's vectors of {count:,} texts cost about {dollars(cost)}, and "
                f"{dollars(most - self.spent)} are left of what may be spent; nothing was sent",
                expected="a limit that is enough",
                hint="raise the limit (--max-cost; teacher_max_cost in [model] of a recipe), or take fewer texts",
            )

    def _ask(self, server: MeteredEncoder, texts: Sequence[str], role: Role) -> None:
        """Vectors of a server, kept answer by answer."""
        counted = server.count_tokens(texts, role=role)
        with self._budget.sending(server):
            for batch in server.encode_batches(texts, role=role, may_send=lambda _, t: self._budget.admits(t)):
                at = batch.positions.tolist()
                self._budget.answered(sum(counted[i] for i in at), batch.usage)
                self._keep([texts[i] for i in at], role, batch.vectors.data)

    def _keep(self, texts: Sequence[str], role: Role, rows: Array) -> None:
        records = np.zeros(len(texts), self._record)
        records["key"], records["row"] = [_key(role, text) for text in texts], rows
        with storage_errors(self._path.parent), self._path.open("ab") as file:
            file.write(records.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _key(role: Role, text: str) -> bytes:
    """32 hexadecimal digits: numpy strips zero bytes at the end of a string."""
    plain = f"{role}\n{text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(plain, digest_size=16).hexdigest().encode()
