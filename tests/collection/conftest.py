"""Small folders and collections with a toy encoder: instant, no files of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from small import TEXTS, encoder

@pytest.fixture()
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture()
def opened(tmp_path: Path) -> Iterator[Callable[..., Collection]]:
    """Opens the collection at tmp_path/kb, and closes it at the end."""
    made: list[Collection] = []

    def make(**options: object) -> Collection:
        options.setdefault("encoder", encoder())
        made.append(gnomon.open(tmp_path / "kb", **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for collection in made:
        collection.close()


@pytest.fixture()
def kb(opened: Callable[..., Collection], docs: Path) -> Collection:
    """A collection that holds `docs`."""
    collection = opened()
    collection.index([docs])
    return collection
