"""To which prefixes of its dimensions a model's vectors may be cut."""

from __future__ import annotations

from pathlib import Path

from gnomon.core.errors import GnomonError
from gnomon.encode.cards import card_for
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.files import read_json


def dims_matryoshka(name: str | Path) -> tuple[int, ...]:
    """The prefixes that the model was trained to be cut to; none where nothing says so.

    From its card, or `matryoshka_dimensions` in its config.json, which other servers read too.
    """
    if (card := card_for(str(name))) is not None:
        return card.dims_matryoshka
    try:
        located = locate(name)
    except GnomonError:  # a provider's model or a plug-in's
        return ()
    if located.card is not None:
        return located.card.dims_matryoshka
    listed = read_json(located.folder / "config.json").get("matryoshka_dimensions", ())
    return tuple(size for size in listed if isinstance(size, int)) if isinstance(listed, list) else ()
