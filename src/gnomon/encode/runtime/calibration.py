"""The texts that 8-bit encoders are calibrated and checked with."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.resources import files

import numpy as np
from jaxtyping import Int

from gnomon.core.space import Ingredients
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.runtime.tokenizer import TextTokenizer

MIGRATION_STRENGTH = 0.6  # SmoothQuant's alpha: the share of an activation's size that its weights take over
_HELD_OUT = 8  # every eighth text is held out, to check with
_LONG = (4, 8, 12, 16)  # lines in a long text


@lru_cache(maxsize=1)
def calibration_texts() -> tuple[str, ...]:
    """The short texts: prose, questions, code, numbers and twelve languages, written for this."""
    text = files("gnomon.encode.runtime").joinpath("calibration.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def int8_ingredients(layout: ModelLayout) -> Ingredients:
    """The model's ingredients in 8 bits: its own, and the recipe that its ranges follow from.

    The recipe and not the ranges: their last digits differ between machines, and a collection moves.
    """
    recipe = {
        "version": 1,
        "migration": MIGRATION_STRENGTH,
        "held out": _HELD_OUT,
        "long": _LONG,
        "texts": calibration_texts(),
    }
    plain = layout.ingredients(precision="int8")
    return replace(plain, architecture=digest_json([plain.architecture, recipe]))


def calibration_rows(tokenizer: TextTokenizer) -> list[Int[np.ndarray, " _"]]:
    """Token ids to find ranges with: the short texts as queries, long ones made of them as documents."""
    short = [line for at, line in enumerate(calibration_texts()) if at % _HELD_OUT]
    long = [
        " ".join(short[at : at + _LONG[turn % len(_LONG)]])
        for turn, at in enumerate(range(0, len(short) - max(_LONG) + 1, 4))
    ]
    rows = tokenizer.tokenise(short, role="query").ids + tokenizer.tokenise(long, role="document").ids
    return [row for row in rows if len(row)]


def probe_rows(tokenizer: TextTokenizer) -> list[Int[np.ndarray, " _"]]:
    """Token ids of the texts that were held out."""
    return [row for row in tokenizer.tokenise(calibration_texts()[::_HELD_OUT], role="document").ids if len(row)]
