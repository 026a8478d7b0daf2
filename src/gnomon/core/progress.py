"""Progress of long operations: one event type for every callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gnomon.core.renamed import renamed_argument


@dataclass(frozen=True, slots=True)
class Progress:
    """One event of a long operation.

    `stage` is what is being done ("reading", "embedding", "training"). `done` of `total` `unit`s are dealt
    with; `total` is None where it is not known. `item` names what is at hand, such as a file. `message` is a
    line for people, such as what loading a model tries. `metrics` are figures by name, such as loss.
    """

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = ""
    item: str = ""
    message: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Ignores every event."""


def messages_to(write: Callable[[str], None]) -> ProgressCallback:
    """A callback that passes on the messages alone."""

    def progress(event: Progress) -> None:
        if event.message:
            write(event.message)

    return progress


accepts_say = renamed_argument("say", "progress", lambda say: no_progress if say is None else messages_to(say))
"""A decorator of a function or a class that keeps its old keyword `say`, a function of a message, with a warning."""
