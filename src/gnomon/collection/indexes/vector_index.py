"""The vector index of a version: of one vector a passage, or of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gnomon.collection.catalog.versions import Version
from gnomon.core.errors import InvalidInput
from gnomon.core.vector_types import VectorType
from gnomon.index.multi_vector import MultiVectorIndex, MultiVectorSettings
from gnomon.index.quantised_search import ScanSettings, chosen_settings
from gnomon.index.scan import ScanIndex
from gnomon.index.segments import RowSource

VectorIndex = ScanIndex | MultiVectorIndex
_EVERY_ITEM = MultiVectorSettings(exact_below=1 << 62)


def new_index(version: Version, rows: RowSource) -> VectorIndex:
    """An empty index for a version's vectors, by its settings; `rows` has the vectors that it does not keep."""
    if version.space.similarity == "maxsim":
        return MultiVectorIndex(version.space, _multi_vector_settings(version))
    return ScanIndex(version.space, _settings(version), source=rows)


def load_index(folder: Path, version: Version, rows: RowSource) -> tuple[VectorIndex, int]:
    """The index saved in a folder, with its stamp: 0 while it is being built. Raises IndexDamaged."""
    index: VectorIndex
    if version.space.similarity == "maxsim":
        index, stamp = MultiVectorIndex.load(folder, version.space, _multi_vector_settings(version))
    else:
        index, stamp = ScanIndex.load(folder, version.space, _settings(version), source=rows)
    return index, stamp


def reopened(index: VectorIndex, folder: Path, version: Version, *, rows: RowSource) -> VectorIndex:
    """An index that was just saved, without the vectors that it holds in memory: mapped from its folder."""
    if isinstance(index, ScanIndex) and index.is_approximate:
        return index  # its vectors are in the catalog only
    return load_index(folder, version, rows)[0]


def lost_items(index: VectorIndex) -> int:
    """How many passages were in segments that turned out damaged when the index was loaded."""
    return index.lost if isinstance(index, ScanIndex) else 0


def is_saved(index: VectorIndex) -> bool:
    """Whether an index has files of its own; otherwise its vectors are read from the catalog when it is opened."""
    return not isinstance(index, ScanIndex) or index.is_saved


def has_file(version: Version, passages: int) -> bool:
    """The same of the index that so many passages of a version will have."""
    if version.space.similarity == "maxsim":
        return True
    return passages > _settings(version).exact_below


def kind_of(version: Version, passages: int) -> str:
    """How candidates are found among so many passages: "exact", "scan", "hnsw", "ivf" or "lists"."""
    if version.space.similarity == "maxsim":
        return "exact" if passages <= _multi_vector_settings(version).exact_below else "lists"
    settings = _settings(version)
    return "exact" if passages <= settings.exact_below else settings.find


def _settings(version: Version) -> ScanSettings:
    settings = chosen_settings(version.retrieval.index, rows=version.space.vector_type)
    # A candidate is read from the catalog, which costs some microseconds: no more are than recall needs.
    return settings if settings.find == "exact" else replace(settings, rescored=100, per_result=1)


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
