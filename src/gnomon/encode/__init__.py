"""Encoders, and where models come from. Names are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.encode.batched import BatchedEncoder
    from gnomon.encode.cards import Card, all_cards, card_for
    from gnomon.encode.cross import CrossEncoder
    from gnomon.encode.dual import DualEncoder
    from gnomon.encode.late import LateEncoder
    from gnomon.encode.layout import ModelLayout, read_layout
    from gnomon.encode.load import load_encoder, load_scorer
    from gnomon.encode.places import SourceSettings
    from gnomon.encode.settings import EncoderSettings
    from gnomon.encode.sources import Located, locate
    from gnomon.encode.static import StaticEncoder
    from gnomon.encode.transformer import TransformerEncoder

_HOME = {
    "BatchedEncoder": "batched",
    "Card": "cards",
    "CrossEncoder": "cross",
    "DualEncoder": "dual",
    "EncoderSettings": "settings",
    "LateEncoder": "late",
    "Located": "sources",
    "ModelLayout": "layout",
    "SourceSettings": "places",
    "StaticEncoder": "static",
    "TransformerEncoder": "transformer",
    "all_cards": "cards",
    "card_for": "cards",
    "load_encoder": "load",
    "load_scorer": "load",
    "locate": "sources",
    "read_layout": "layout",
}

__all__ = [
    "BatchedEncoder",
    "Card",
    "CrossEncoder",
    "DualEncoder",
    "EncoderSettings",
    "LateEncoder",
    "Located",
    "ModelLayout",
    "SourceSettings",
    "StaticEncoder",
    "TransformerEncoder",
    "all_cards",
    "card_for",
    "load_encoder",
    "load_scorer",
    "locate",
    "read_layout",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.encode.{_HOME[name]}"), name)
