"""What every engine's store does alike: batches of bounded size, lost requests sent again, hits in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import normalise
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities, StoreItems
from gnomon.core.vectors import Vectors

TRIES = 4
_FIRST_WAIT_S = 0.25
_BATCH_BYTES = 4 << 20

Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """An engine's failure as an error for people, and whether the same request may succeed a moment later."""

    error: GnomonError
    again: bool = False


def request(
    call: Callable[[], Result],
    *,
    failure_of: Callable[[Exception], Failure | None],
    tries: int = TRIES,
    first_wait_s: float = _FIRST_WAIT_S,
) -> Result:
    """What a call gives; one that failed for a moment is sent again, a few times, after waits that double.

    `failure_of` says what an exception means, None for one that is a fault of this program and is raised as it is.
    The call must do the same when it is sent twice: puts in place and deletes by id are so. Raises the failure's error.
    """
    for attempt in range(1, tries + 1):
        try:
            return call()
        except GnomonError:
            raise
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if not failure.again or attempt == tries:
                raise failure.error from error
        time.sleep(first_wait_s * 2 ** (attempt - 1))
    raise InvalidInput(f"{tries} tries", expected="at least one")


def batches(
    items: StoreItems, *, longest: int, most_bytes: int = _BATCH_BYTES, bytes_per_number: int = 4, texts: bool = True
) -> Iterator[StoreItems]:
    """Items in parts of at most `longest` items and about `most_bytes`, counted as engines are sent them.

    `bytes_per_number` is the size of a vector's number in a request (JSON: about 12); `texts` says whether titles
    and texts are sent.
    """
    row_bytes = items.vectors.data.shape[1] * bytes_per_number
    rows = np.ones(len(items), dtype=np.int64)
    if items.vectors.starts is not None:
        rows = np.diff(np.append(items.vectors.starts, len(items.vectors.data)))
    start, size = 0, 0
    for at in range(len(items)):
        weight = int(rows[at]) * row_bytes + (len(items.titles[at]) + len(items.texts[at]) if texts else 0)
        if at > start and (size + weight > most_bytes or at - start == longest):
            yield part_of(items, start, at)
            start, size = at, 0
        size += weight
    if start < len(items):
        yield part_of(items, start, len(items))


def part_of(items: StoreItems, start: int, end: int) -> StoreItems:
    """The items from one place up to another."""
    at = slice(start, end)
    return StoreItems(
        items.ids[at], items.vectors[at], items.titles[at], items.texts[at], items.fields[at], items.own[at]
    )


def ranking(hits: Iterable[tuple[int, float]], k: int) -> Ranking:
    """The `k` best of ids with their scores, those of equal scores in order of id."""
    pairs = list(hits)
    ids = np.array([each for each, _ in pairs], dtype=np.int64)
    scores = np.array([each for _, each in pairs], dtype=np.float32)
    order = np.lexsort((ids, -scores))[:k]
    return Ranking(ids[order], scores[order])


def prepared(vectors: Vectors) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The rows as engines compare them: for cosine of length 1, so that the inner product is the cosine."""
    if vectors.space.similarity in ("cosine", "maxsim"):
        return normalise(vectors.data, allow_zero=True)
    return np.asarray(vectors.data)


def id_blocks(ids: Int[np.ndarray, " items"], size: int) -> Iterator[list[int]]:
    """Ids as lists of at most `size` Python numbers."""
    for start in range(0, len(ids), size):
        yield [int(each) for each in ids[start : start + size]]


def check_space(space: Space, capabilities: StoreCapabilities, similarities: Sequence[Similarity]) -> None:
    """Raise InvalidInput for more dimensions than an engine takes, or a similarity that it has not."""
    engine, limit = capabilities.engine, capabilities.max_dim
    if limit is not None and space.dim > limit:
        raise InvalidInput(
            f"vectors of {space.dim:,} dimensions in a store at {engine}",
            expected=f"at most {limit:,} dimensions, which is what {engine} takes",
            hint=f"truncate the vectors to {limit} dimensions or less, or take another store",
        )
    if space.similarity not in similarities:
        raise InvalidInput(
            f"the similarity {space.similarity!r} in a store at {engine}",
            expected=f"one of {', '.join(similarities)}",
            hint="take another store, or the local index, for this model",
        )


def no_words(engine: str) -> InvalidInput:
    """The error for a search by words in an engine that has none."""
    return InvalidInput(
        f"a search by words in {engine}",
        expected="an engine with keyword search",
        hint="search by words in the local keyword index",
    )
