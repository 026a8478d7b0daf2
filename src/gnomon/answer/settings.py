"""How a question is answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import Where

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
Unsupported = Literal["mark", "drop"]
Expand = Literal["none", "hyde", "multi"]


@dataclass(frozen=True)
class ContextSettings:
    """Which passages an answer may use.

    Of `candidates` chunks the best that differ are selected, at most `passages` and `budget_tokens` tokens of
    the collection's tokenizer. Chunks of a document that touch, overlap or lie
    at most `gap` characters apart, white space not counted, are merged. `diversity` is how much similarity
    to a selected passage counts against a chunk, 0 to 1 (one minus the lambda of Carbonell and
    Goldstein 1998); chunks more similar than `duplicate` (cosine of their vectors) to a selected
    one are left out.
    """

    candidates: int = 30
    passages: int = 6
    budget_tokens: int = 1500
    gap: int = 1
    diversity: float = 0.1
    duplicate: float = 0.98

    def __post_init__(self) -> None:
        for name in ("candidates", "passages", "budget_tokens"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected="at least 1")
        for name in ("diversity", "duplicate"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected="0 to 1")
        if self.gap < 0:
            raise InvalidInput(f"gap = {self.gap}", expected="0 or more characters")


@dataclass(frozen=True)
class AskSettings:
    """How a question is answered. None means the measured default.

    `where` is a condition on documents, as in a search: see `gnomon.retrieve.where`.
    `sentences` is the most an extractive answer quotes. `abstain_below` is the confidence below which the
    outcome is "not in these documents"; 0 never abstains. `answer_from` is the confidence from which an extractive
    answer is given plainly: between the two the outcome is "possible". Where only `abstain_below` is given, nothing
    lies between. `min_support` is what a citation must reach.
    `unsupported` sentences are marked, or dropped. `expand`: a language model writes a passage that might
    answer (hyde), or the question in other words (multi, `expansions` of them), to search with.
    `instruction` tells an instruction-tuned encoder the task. `template` is a file in place of
    the built-in prompt. `tables`: whether registered tables are searched too.
    """

    mode: Mode | None = None
    where: Where | None = None
    context: ContextSettings = ContextSettings()
    sentences: int = 2
    abstain_below: float | None = None
    min_support: float | None = None
    unsupported: Unsupported = "mark"
    expand: Expand = "none"
    expansions: int = 3
    instruction: str | None = None
    template: Path | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    tables: bool = True
    answer_from: float | None = None

    def __post_init__(self) -> None:
        if self.unsupported not in get_args(Unsupported):
            raise InvalidInput(f"unsupported = {self.unsupported!r}", expected='"mark" or "drop"')
        if self.expand not in get_args(Expand):
            raise InvalidInput(f"expand = {self.expand!r}", expected='"none", "hyde" or "multi"')
        for name in ("sentences", "expansions", "max_tokens"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected="at least 1")
        for name in ("abstain_below", "answer_from", "min_support"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InvalidInput(f"{name} = {value}", expected="0 to 1")
        below, plainly = self.abstain_below, self.answer_from
        if below is not None and plainly is not None and plainly < below:
            raise InvalidInput(
                f"answer_from = {plainly}, below abstain_below = {below}",
                expected="at least as much: what is not abstained on is possible, or answered",
            )
