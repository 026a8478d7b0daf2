"""Having the model at hand before a collection is made, and saying what is fetched meanwhile."""

from __future__ import annotations

from pathlib import Path

CATALOG = "collection.db"


def fetch_model(into: Path, model: str | None) -> None:
    """Fetch what a new collection's model lacks on this machine; each step is said on stderr.

    Raises ModelNotFound, WeightsMismatch, ModelUnsupported, StorageError.
    """
    if (into.expanduser() / CATALOG).exists():
        return
    from gnomon.cli.terminal import say
    from gnomon.collection.settings import DEFAULT_MODEL
    from gnomon.encode import locate

    locate(model or DEFAULT_MODEL, say=say)
