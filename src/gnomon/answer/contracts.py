"""What a language model must offer to write answers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatModel(Protocol):
    """Messages to text, in pieces as they come."""

    @property
    def name(self) -> str:
        """What an answer says it was written by."""
        ...

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """The reply's text piece by piece. Closing the generator ends the request.

        Raises GenerationFailed, before the first piece or after any.
        """
        ...
