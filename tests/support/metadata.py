"""Metadata drawn at random: fields that are missing, and fields with several values."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any


def drawn_metadata(rng: random.Random, values: Mapping[str, Sequence[Any]], *, lists: float) -> dict[str, Any]:
    """A value of most fields; a share `lists` of these is a list of up to three."""
    return {
        field: rng.choices(some, k=rng.randrange(4)) if rng.random() < lists else rng.choice(some)
        for field, some in values.items()
        if rng.random() < 0.8
    }
