from .answer import ask, stream
from .llm.endpoint import Endpoint
from .settings import AskSettings, ContextSettings
from .types import (
    Answer,
    AnswerDone,
    AnswerEvent,
    ChatModel,
    Citation,
    Failure,
    Message,
    Passage,
    PassagesFound,
    Sentence,
    SentenceVerified,
    TextDelta,
    Turn,
)

__all__ = [
    "Answer",
    "AnswerDone",
    "AnswerEvent",
    "AskSettings",
    "ChatModel",
    "Citation",
    "ContextSettings",
    "Endpoint",
    "Failure",
    "Message",
    "Passage",
    "PassagesFound",
    "Sentence",
    "SentenceVerified",
    "TextDelta",
    "Turn",
    "ask",
    "stream",
]
