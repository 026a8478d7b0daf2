"""Answers whose every sentence can be checked against the documents.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.answer.answering import ask, stream
    from gnomon.answer.contracts import ChatModel, Message
    from gnomon.answer.endpoint import Endpoint
    from gnomon.answer.settings import AskSettings, ContextSettings
    from gnomon.answer.values import (
        Answer,
        Checked,
        Citation,
        Done,
        Event,
        Failure,
        Found,
        Passage,
        Piece,
        Sentence,
        Turn,
    )

_HOME = {
    "Answer": "values",
    "AskSettings": "settings",
    "ChatModel": "contracts",
    "Checked": "values",
    "Citation": "values",
    "ContextSettings": "settings",
    "Done": "values",
    "Endpoint": "endpoint",
    "Event": "values",
    "Failure": "values",
    "Found": "values",
    "Message": "contracts",
    "Passage": "values",
    "Piece": "values",
    "Sentence": "values",
    "Turn": "values",
    "ask": "answering",
    "stream": "answering",
}

__all__ = [
    "Answer",
    "AskSettings",
    "ChatModel",
    "Checked",
    "Citation",
    "ContextSettings",
    "Done",
    "Endpoint",
    "Event",
    "Failure",
    "Found",
    "Message",
    "Passage",
    "Piece",
    "Sentence",
    "Turn",
    "ask",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.answer.{_HOME[name]}"), name)
