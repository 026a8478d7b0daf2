"""Small folders and collections with a toy encoder: instant, no files of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.indexes import derived, state
from gnomon.testing.toys import HashEncoder

encoder = partial(HashEncoder, 64, max_tokens=48)
TEXTS = {
    "sundial.md": "# Sundials\n\nA gnomon is the part of a sundial that casts the shadow.\n",
    "whales.txt": "The blue whale is the largest animal known to have lived.\n",
    "deep/tea.txt": "Green tea is brewed at seventy degrees; black tea takes boiling water.\n",
    "deep/code.py": "def parseConfigFile(path):\n    '''Read the kettle's settings.'''\n    return path\n",
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
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


@pytest.fixture
def with_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few vectors an index has, they have files of their own."""
    for module in (derived, state):
        monkeypatch.setattr(module, "is_saved", lambda _: True)


@pytest.fixture
def kb(opened: Callable[..., Collection], docs: Path) -> Collection:
    """A collection that holds `docs`."""
    collection = opened()
    collection.index([docs])
    return collection
