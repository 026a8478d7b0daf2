"""Whether a model with a card can be used here: run without torch, found on this machine, paid for by a key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gnomon.encode.cards import Card
from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine
from gnomon.encode.layout.families import FAMILIES
from gnomon.encode.providers.known import PROVIDERS

Runtime = Literal["graph", "onnx", "static", "provider", ""]


@dataclass(frozen=True)
class Availability:
    """How a model is run, and what there is of it.

    `runtime` is "graph" (built from its weights by its family), "onnx" (the file in its repository), "static", or
    "provider"; "" where gnomon has neither its family nor a file to run. `folder` is where it lies on this machine.
    `key` names the environment's variable of a provider's key, `has_key` says whether it is set.
    """

    runtime: Runtime
    folder: Path | None = None
    key: str = ""
    has_key: bool = False

    @property
    def label(self) -> str:
        """In a word or two: yes, fetch, key, no key, no."""
        if self.runtime == "provider":
            return "key" if self.has_key else "no key"
        if not self.runtime:
            return "no"
        return "yes" if self.folder else "fetch"


def availability(card: Card) -> Availability:
    """What holds for a card on this machine now; nothing is fetched and no address asked."""
    if card.provider:
        provider = PROVIDERS.get(card.provider)
        key = provider.key_variable if provider else ""
        return Availability("provider", key=key, has_key=bool(key and os.environ.get(key)))
    folder = find_on_this_machine(SourceSettings.from_environment(), card.hub_id, card.revision)
    return Availability(_runtime(card), folder)


def _runtime(card: Card) -> Runtime:
    if card.kind == "static":
        return "static"
    if card.family in FAMILIES:
        return "graph"
    return "onnx" if card.onnx else ""
