"""Stores for tests: one in a folder that filters by conditions too, and one whose requests get lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnomon.core.conditions import Condition
from gnomon.core.ranking import Ranking
from gnomon.core.stores import StoreItems
from gnomon.core.vectors import Vectors
from gnomon.stores.faiss import FaissStore
from gnomon.testing import meets

Array = np.ndarray[Any, np.dtype[Any]]


class FilteringStore(FaissStore):
    """A FAISS store that keeps fields beside it, by name and for this process, and says that it filters by them."""

    FIELDS: dict[str, dict[int, tuple[Any, Any]]] = {}  # noqa: RUF012 - of all that are opened

    @property
    def _fields(self) -> dict[int, tuple[Any, Any]]:
        return self.FIELDS.setdefault(str(self._folder), {})

    def upsert(self, items: StoreItems) -> None:
        super().upsert(items)
        self._fields.update(zip(items.ids.tolist(), zip(items.fields, items.own, strict=True), strict=True))

    def can_filter(self, condition: Condition) -> bool:
        return True

    def search(self, queries: Vectors, *, k: int, where: Condition | Array | None = None) -> list[Ranking]:
        if where is not None and not isinstance(where, np.ndarray):
            found = [one for one, (metadata, own) in self._fields.items() if meets(where, metadata, own)]
            where = np.array(sorted(found), dtype=np.int64)
        return super().search(queries, k=k, where=where)


def breaking(name: str, change: Callable[..., Any]) -> type[FilteringStore]:
    """A store of which one method is another: `change` gets the right method, and the call's arguments."""
    right = getattr(FilteringStore, name)

    def broken(self: FilteringStore, *arguments: Any, **options: Any) -> Any:
        return change(lambda *a, **o: right(self, *a, **o), *arguments, **options)

    return type(f"Broken_{name}", (FilteringStore,), {name: broken})
