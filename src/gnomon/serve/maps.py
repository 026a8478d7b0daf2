"""The maps of open collections: one a collection, made when first asked for."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from gnomon.collection.collection import Collection
from gnomon.map.collection_map import CollectionMap


class MapRegistry:
    """Maps by collection. Thread-safe."""

    def __init__(self) -> None:
        self._maps: WeakKeyDictionary[Collection, CollectionMap] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, kb: Collection) -> CollectionMap:
        """The map of an open collection."""
        with self._lock:
            if kb not in self._maps:
                self._maps[kb] = CollectionMap(kb)
            return self._maps[kb]

    def close(self) -> None:
        """End the processes that fit UMAP."""
        with self._lock:
            for each in list(self._maps.values()):
                each.close()
