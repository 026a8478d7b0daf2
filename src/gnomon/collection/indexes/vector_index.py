"""The vector index of a version: of one vector a passage, or of several."""

from __future__ import annotations

from pathlib import Path

from gnomon.collection.catalog.versions import Version
from gnomon.core.errors import InvalidInput
from gnomon.core.vector_types import VectorType
from gnomon.index.multi_vector import MultiVectorIndex, MultiVectorSettings
from gnomon.index.quantised_search import chosen_settings
from gnomon.index.scan import ScanIndex

VectorIndex = ScanIndex | MultiVectorIndex
_EVERY_ITEM = MultiVectorSettings(exact_below=1 << 62)


def new_index(version: Version) -> VectorIndex:
    """An empty index for a version's vectors, by its settings."""
    if version.space.similarity == "maxsim":
        return MultiVectorIndex(version.space, _multi_vector_settings(version))
    return ScanIndex(version.space, chosen_settings(version.retrieval.index, rows=version.space.vector_type))


def load_index(folder: Path, version: Version) -> tuple[VectorIndex, int]:
    """The index saved in a folder, with its stamp: 0 while it is being built. Raises IndexDamaged."""
    index: VectorIndex
    if version.space.similarity == "maxsim":
        index, stamp = MultiVectorIndex.load(folder, version.space, _multi_vector_settings(version))
    else:
        settings = chosen_settings(version.retrieval.index, rows=version.space.vector_type)
        index, stamp = ScanIndex.load(folder, version.space, settings)
    return index, stamp


def is_saved(index: VectorIndex) -> bool:
    """Whether an index has files of its own; otherwise its vectors are read from the catalog when it is opened."""
    return not isinstance(index, ScanIndex) or len(index) > index.settings.exact_below


def has_file(version: Version, passages: int) -> bool:
    """The same of the index that so many passages of a version will have."""
    if version.space.similarity == "maxsim":
        return True
    return passages > chosen_settings(version.retrieval.index, rows=version.space.vector_type).exact_below


def kind_of(version: Version, passages: int) -> str:
    """How candidates are found among so many passages: "exact", "scan", "hnsw", "ivf" or "lists"."""
    if version.space.similarity == "maxsim":
        return "exact" if passages <= _multi_vector_settings(version).exact_below else "lists"
    settings = chosen_settings(version.retrieval.index, rows=version.space.vector_type)
    return "exact" if passages <= settings.exact_below else settings.find


def _multi_vector_settings(version: Version) -> MultiVectorSettings:
    return _EVERY_ITEM if version.retrieval.index == "exact" else MultiVectorSettings()


def stored_as(index: VectorIndex, vector_type: VectorType) -> ScanIndex:
    """The index with its vectors rounded. Raises InvalidInput for one of several vectors a text."""
    if not isinstance(index, ScanIndex):
        raise InvalidInput(
            f"vectors of {index.space.short} rounded to {vector_type}",
            expected="one vector a text: token vectors are stored in short codes already",
            hint="compare the collection as it is",
        )
    return index.stored_as(vector_type)
