"""Where stages get the vectors and texts of what was found: they are handed ids, never a collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gnomon.core.vectors import Vectors
from gnomon.retrieve.aligning import Ids

VectorsOf = Callable[[Ids], tuple[Ids, Vectors]]
"""Ids to those of them that have a vector, rising, and their vectors in that order."""
TextsOf = Callable[[Ids], tuple[Ids, list[str], list[str]]]
"""Ids to those of them that have a text, rising, with their titles and their texts in that order."""


@dataclass(frozen=True)
class Lookups:
    """What the stages of one corpus read: vectors and texts by id."""

    vectors_of: VectorsOf
    texts_of: TextsOf
