"""Tiny models of every kind, of random weights, and the words they know."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from gnomon.train.models.backbone import BackboneSettings, NewBackbone
from gnomon.train.models.build import Architecture, build_model

WORDS = (
    "the quick brown fox jumps over a lazy dog while seven wizards box with five dozen liquor jugs and "
    "banks of the river bank money in an account before winter comes again"
).split()
_random = random.Random(7)
TEXTS = tuple(
    " ".join(_random.choices(WORDS, k=_random.randint(1, 14))) + _random.choice(("", "!", ".", ", no"))
    for _ in range(300)
)
SHORT_AND_LONG = ("fox", "the river bank, and money!", " ".join(WORDS * 3), "a lazy dog. again")
# Weights ten times BERT's: with its own, all texts of so small a network would be one.
NEW = NewBackbone(hidden=32, layers=2, heads=2, max_tokens=48, more={"initializer_range": 0.5})


def tiny(kind: Any, *, settings: BackboneSettings | None = None, **more: Any) -> Any:
    """A model of this kind in eval()."""
    what = Architecture(kind=kind, **{"backbone": NEW, "vocabulary": 200, **more})
    return build_model(what, settings=settings, corpus=lambda: TEXTS)


@cache
def shared(kind: Any) -> Any:
    """One that no test changes."""
    return tiny(kind, **({"dim": 16} if kind in ("dual", "late", "static") else {}))
