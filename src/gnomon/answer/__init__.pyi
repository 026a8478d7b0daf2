from .answer import ask, stream
from .llm.endpoint import Endpoint
from .settings import AskSettings, ContextSettings
from .types import (
    Answer,
    ChatModel,
    Checked,
    Citation,
    Done,
    Event,
    Failure,
    Found,
    Message,
    Passage,
    Piece,
    Sentence,
    Turn,
)

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
