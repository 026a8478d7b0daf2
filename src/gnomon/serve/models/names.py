"""Names of models in requests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnomon.encode.cards import card_for


@dataclass(frozen=True)
class ModelName:
    """A model's name in requests, what it is loaded by, and other names that requests may have for it."""

    public: str
    source: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: str) -> ModelName:
        """NAME, or PUBLIC=NAME; a folder's path is no public name, its last part is."""
        public, separator, source = given.partition("=")
        if not separator or not public.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
            source = given
            public = Path(given).name if Path(given).expanduser().is_dir() else given
        card = card_for(source)
        known = (source, card.name, card.hub_id) if card else ()
        others = (name for name in (*known, public.rpartition("/")[2]) if name and name != public)
        return cls(public, source, tuple(dict.fromkeys(others)))

    def is_called(self, name: str) -> bool:
        """Whether a request means it by this name, in any case of letters."""
        return name.casefold() in (each.casefold() for each in (self.public, *self.aliases))
