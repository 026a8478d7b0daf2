"""What a store writes on its engine collection: whose vectors it holds and up to where, as one text."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field

from gnomon.core.errors import InvalidInput, StoreChanged
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.space import Space
from gnomon.core.stores import StorePosition


@dataclass(frozen=True)
class StoreLabel:
    """The space of an engine collection, a number of its own by which it is told from another of its name, its stamp.

    An engine keeps it as text in its collection's metadata, or beside it.
    """

    space: Space
    made: str = field(default_factory=lambda: secrets.token_hex(8))
    position: StorePosition | None = None

    def to_text(self) -> str:
        """The label as JSON, read back by `from_text`."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_text(cls, text: str | None, *, name: str) -> StoreLabel:
        """The label that `to_text` wrote. Raises StoreChanged where there is none: someone else made the collection."""
        try:
            return from_plain(cls, json.loads(text or ""))
        except (ValueError, InvalidInput) as error:
            raise StoreChanged(
                f"the engine's collection {name!r} was not made by gnomon, or its label was changed",
                expected="a collection that only gnomon writes to",
                hint="rename or delete it in the engine, then fill the store again",
            ) from error


def require_label(found: StoreLabel, known: StoreLabel | None, *, name: str) -> StoreLabel:
    """The label found, where it is of the collection that was seen before. Raises StoreChanged otherwise."""
    if known is not None and found.made != known.made:
        raise StoreChanged(
            f"the engine's collection {name!r} is not the one that was made: someone deleted it and made it again",
            expected="the collection that this store was filled into",
            hint="fill the store again",
        )
    return found


def require_space(found: StoreLabel, space: Space, *, name: str) -> StoreLabel:
    """The label found, where it is of this space. Raises StoreChanged otherwise."""
    if found.space.fingerprint != space.fingerprint:
        raise StoreChanged(
            f"the engine's collection {name!r} holds vectors of {found.space.short}",
            expected=f"vectors of {space.short}",
            hint="delete it in the engine, then fill the store again",
        )
    return found


def collection_gone(name: str, engine: str) -> StoreChanged:
    """The error for an engine collection that is not there."""
    return StoreChanged(
        f"{engine} has no collection {name!r}: it was never made, or someone deleted it",
        expected="the collection that this store was filled into",
        hint="fill the store again",
    )


def unreadable(name: str, engine: str, error: Exception) -> StoreChanged:
    """The error for an engine collection of which the engine itself says that it cannot be read."""
    words = str(error).split(", /rustc/")[0]
    return StoreChanged(
        f"{engine} cannot read or write the collection {name!r}: {words[:300]}",
        expected="files as the engine wrote them",
        hint="what is wrong, and filling it anew: gnomon doctor KB, gnomon doctor KB --fix",
    )
