"""From a model's name to an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gnomon.core.contracts import Encoder
from gnomon.encode.layout import read_layout
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.sources import locate, silent


def load_encoder(
    name: str | Path,
    *,
    settings: EncoderSettings | None = None,
    prompts: Mapping[str, str] | None = None,
    say: Callable[[str], None] = silent,
) -> Encoder:
    """The encoder of a model: a short name, a hub id, or a folder. Fetches what is not on this machine.

    `prompts` maps "query" and "document" to the text put before each text of that role and wins over the
    model's own. `say` hears what is tried and downloaded.
    Raises ModelNotFound, WeightsMismatch, ModelUnsupported, MissingPrompt, StorageError.
    """
    located = locate(name, say=say)
    title = located.card.name if located.card else Path(name).name
    layout = read_layout(located.folder, name=title, card=located.card, prompts=prompts)
    settings = settings or EncoderSettings()
    if layout.kind == "static":
        from gnomon.encode.static import StaticEncoder

        return StaticEncoder(layout, settings)
    from gnomon.encode.transformer import TransformerEncoder

    return TransformerEncoder(layout, settings)
