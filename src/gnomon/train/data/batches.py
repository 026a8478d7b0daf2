"""The stream of batches: each example once an epoch, none twice alike in a batch, resumed from any state.

Rows are read in a shuffled order that seed, source and round decide: a permutation of row numbers is in
memory (4 bytes a row, for as many sources as there are), the rows stay on disk. An example that would meet
its like in a batch is deferred: it comes first in the source's next batch. A `StreamState` holds all
that the stream needs to continue, as plain numbers: a run that stopped there resumes with the same batches.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Batch, Example
from gnomon.train.data.source import DataSource


def shuffled_rows(count: int, *seed: int) -> Int[np.ndarray, " count"]:
    """The numbers 0 to count - 1 in an order that the seed decides.

    By the raw stream of PCG64, which numpy promises to keep, and not by its shuffles, which it may change.

    >>> shuffled_rows(5, 1, 2).tolist() == shuffled_rows(5, 1, 2).tolist()
    True
    >>> sorted(shuffled_rows(5, 7).tolist())
    [0, 1, 2, 3, 4]
    """
    order = np.argsort(_stream(seed).random_raw(count), kind="stable")
    return order.astype(np.uint32 if count < 2**32 else np.int64)


def uniform_draw(*seed: int) -> float:
    """A number from 0 to below 1 that the seed decides.

    >>> 0 <= uniform_draw(3, 4) < 1
    True
    """
    return float(_stream(seed).random_raw() >> 11) * 2.0**-53


def name_seed(name: str) -> int:
    """A number for a name, to be part of a seed.

    >>> name_seed("faq") != name_seed("docs")
    True
    """
    return zlib.crc32(name.encode())


def _stream(seed: tuple[int, ...]) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence(seed))


Mixing = Literal["proportional", "weighted"]
_HELD = 8
"""Deferred examples that a source holds at most, in batches; beyond, a short batch is given."""
_WALKED = 3_000_000
_SOURCES, _ORDER = 0, 1
"""Told apart in seeds, so that no choice follows from another."""


@dataclass(frozen=True)
class BatchSettings:
    """`size` is examples a batch. `in_batch`: other examples' documents are negatives, as the loss wants.

    Each batch is of one source. "proportional": sources come in proportion to what is left of them, and an
    epoch is every example once. "weighted": they come by their weights, a source that is through starts over
    in a new order, and an epoch is as many batches as all sources make. `distinct`: no two examples of a
    batch have the same query or a document that is right for another. `drop_short` leaves out batches that
    the end of a source leaves short, and so their examples.
    """

    size: int
    seed: int = 0
    in_batch: bool = True
    mixing: Mixing = "proportional"
    distinct: bool = True
    drop_short: bool = False

    def __post_init__(self) -> None:
        if self.drop_short and self.mixing == "weighted":
            raise InvalidInput(
                "drop_short where sources are mixed by weight",
                expected="one of the two: by weight a source starts over and has no end",
                hint='leave drop_short out, or say mixing = "proportional"',
            )
        if self.size < 1 or self.seed < 0:
            raise InvalidInput(
                f"batches of {self.size} with the seed {self.seed}", expected="a size from 1, a seed from 0"
            )
        if self.mixing not in ("proportional", "weighted"):
            raise InvalidInput(f"mixing {self.mixing!r}", expected="proportional or weighted")


@dataclass(frozen=True)
class SourceCursor:
    """How far a source is: its round, rows taken of the round's order, and rows deferred, in order."""

    round: int = 0
    taken: int = 0
    deferred: tuple[int, ...] = ()


@dataclass(frozen=True)
class StreamState:
    """Where the next batch comes from: `position` counts the batches of the epoch that were given."""

    epoch: int = 0
    position: int = 0
    cursors: tuple[SourceCursor, ...] = ()


class Batches:
    """The stream of batches of some sources. Raises InvalidInput for no source, an empty one, or two of one name."""

    def __init__(self, sources: Sequence[DataSource], settings: BatchSettings) -> None:
        names = [source.name for source in sources]
        if not sources or len(set(names)) < len(names):
            raise InvalidInput(
                f"sources named {', '.join(names) or 'nothing'}",
                expected="at least one, each with a name of its own",
                hint="give them names",
            )
        empty = [source.name for source in sources if not len(source)]
        if empty:
            raise InvalidInput(f"the source {empty[0]} has no examples", expected="at least one example")
        self.sources, self.settings = tuple(sources), settings
        if not self.about:
            raise InvalidInput(
                f"no source has the {settings.size} examples that a batch takes, and short ones are left out",
                expected="one whole batch at least",
                hint="take a smaller batch size, or leave drop_short out",
            )
        self._orders: dict[tuple[int, int], Int[np.ndarray, " rows"]] = {}

    @property
    def about(self) -> int:
        """How many batches an epoch has; where sources are mixed in proportion, deferring may add a few."""
        size = self.settings.size
        if self.settings.drop_short:
            return sum(len(source) // size for source in self.sources)
        return sum(-(-len(source) // size) for source in self.sources)

    @property
    def examples(self) -> int:
        """How many examples an epoch has."""
        return sum(len(source) for source in self.sources)

    def count(self, epochs: int) -> int:
        """How many batches so many epochs have: more than `about`, where examples with the same answer are kept apart.

        Found by going through them, rows read and no batch made; of more than 3 million examples the first epoch alone
        is gone through.
        """
        if self.settings.mixing == "weighted" or not self.settings.distinct:
            return epochs * self.about
        walked = epochs if epochs * self.examples <= _WALKED else 1
        here, found = self._started(0), 0
        while here.epoch < walked:
            examples, here = self._following_examples(here)
            found += examples is not None
        return found * epochs // walked

    def epoch(self, state: StreamState | int = 0) -> Iterator[tuple[Batch, StreamState]]:
        """The batches from a state of the stream to the end of its epoch, each with the state after it.

        A number is the start of that epoch. The state after the last batch is the start of the next epoch.
        """
        here = self._started(state)
        batch, after = self._following(here)
        while batch is not None:
            following, further = self._following(after)
            yield batch, after if following is not None else further
            batch, after = following, further

    def state_at(self, epoch: int, position: int) -> StreamState:
        """The state after so many batches of an epoch, found by going through them: rows are read, no batch is made.

        Keeping the state that came with a batch is quicker. Raises InvalidInput for one beyond the epoch.
        """
        here = self._started(epoch)
        while here.position < position:
            examples, after = self._following_examples(here)
            if examples is None:
                raise InvalidInput(
                    f"batch {position} of epoch {epoch}",
                    expected=f"0 to {here.position}, the batches that it has",
                    hint="give the data and settings that the position was counted with",
                )
            here = after
        return here

    def _started(self, state: StreamState | int) -> StreamState:
        if isinstance(state, StreamState) and not state.cursors:
            return self.state_at(state.epoch, state.position)
        if isinstance(state, StreamState):
            if len(state.cursors) != len(self.sources):
                raise InvalidInput(
                    f"a state of {len(state.cursors)} sources",
                    expected=f"one of {len(self.sources)}",
                    hint="resume with the data that the run started with",
                )
            return state
        if self.settings.mixing == "weighted" and state:
            return self._end_of(state - 1)
        return StreamState(state, 0, tuple(SourceCursor(round=state) for _ in self.sources))

    def _end_of(self, epoch: int) -> StreamState:
        here = self.state_at(epoch, self.about)
        return self._following_examples(here)[1]

    def _following(self, state: StreamState) -> tuple[Batch | None, StreamState]:
        examples, after = self._following_examples(state)
        if examples is None:
            return None, after
        return Batch.of(examples, in_batch=self.settings.in_batch), after

    def _following_examples(self, state: StreamState) -> tuple[list[Example] | None, StreamState]:
        """The next batch's examples, or None and the next epoch's beginning."""
        here = state
        while (at := self._source(here)) is not None:
            cursor = here.cursors[at]
            if cursor.taken == len(self.sources[at]) and not cursor.deferred:
                cursor = SourceCursor(round=cursor.round + 1)
            examples, cursor = self._taken(at, cursor)
            cursors = (*here.cursors[:at], cursor, *here.cursors[at + 1 :])
            is_end = len(examples) < self.settings.size and cursor.taken == len(self.sources[at])
            if not (is_end and self.settings.drop_short):
                return examples, StreamState(here.epoch, here.position + 1, cursors)
            ended = replace(cursor, deferred=())
            here = replace(here, cursors=(*here.cursors[:at], ended, *here.cursors[at + 1 :]))
        weighted = self.settings.mixing == "weighted"
        cursors = here.cursors if weighted else tuple(SourceCursor(here.epoch + 1) for _ in self.sources)
        return None, StreamState(here.epoch + 1, 0, cursors)

    def _source(self, state: StreamState) -> int | None:
        """Which source the next batch is of; None at the epoch's end. Decided by seed and state alone."""
        if self.settings.mixing == "weighted":
            shares = [source.weight for source in self.sources]
            if state.position >= self.about:
                return None
        else:
            pairs = zip(self.sources, state.cursors, strict=True)
            shares = [float(len(source) - c.taken + len(c.deferred)) for source, c in pairs]
        if sum(shares) == 0:
            return None
        drawn = uniform_draw(self.settings.seed, _SOURCES, state.epoch, state.position) * sum(shares)
        reached = np.cumsum(shares)
        return min(int(np.searchsorted(reached, drawn, side="right")), int(np.flatnonzero(shares)[-1]))

    def _taken(self, at: int, cursor: SourceCursor) -> tuple[list[Example], SourceCursor]:
        source, order = self.sources[at], self._order(at, cursor.round)
        filling = _BatchBuilder(self.settings.size, distinct=self.settings.distinct)
        left = [row for row in cursor.deferred if filling.is_full or not filling.takes(source[row])]
        taken = cursor.taken
        while taken < len(source) and not filling.is_full and len(left) < _HELD * self.settings.size:
            row = int(order[taken])
            taken += 1
            if not filling.takes(source[row]):
                left.append(row)
        return filling.examples, SourceCursor(cursor.round, taken, tuple(left))

    def _order(self, at: int, round_number: int) -> Int[np.ndarray, " rows"]:
        key = (at, round_number)
        if key not in self._orders:
            self._orders = {k: order for k, order in self._orders.items() if k[0] != at}
            source = self.sources[at]
            self._orders[key] = shuffled_rows(
                len(source), self.settings.seed, _ORDER, name_seed(source.name), round_number
            )
        return self._orders[key]


class _BatchBuilder:
    """Collects the examples of a batch."""

    def __init__(self, size: int, *, distinct: bool) -> None:
        self.examples: list[Example] = []
        self._size, self._distinct = size, distinct
        self._queries: set[str] = set()
        self._documents: set[str] = set()
        self._right: set[str] = set()

    @property
    def is_full(self) -> bool:
        return len(self.examples) == self._size

    def takes(self, example: Example) -> bool:
        """Add the example unless the batch has one like it. Returns whether it was added."""
        if self._distinct:
            right = {d for d, label in zip(example.documents, example.labels, strict=True) if label > 0}
            documents = set(example.documents)
            if (
                example.query in self._queries
                or not right.isdisjoint(self._documents)
                or not documents.isdisjoint(self._right)
            ):
                return False
            self._queries.add(example.query)
            self._documents |= documents
            self._right |= right
        self.examples.append(example)
        return True
