"""Collections with toy models, and folders of models that are made in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gnomon.collection import Collection, CollectionSettings
from support.static_models import write_static_model
from support.version_collections import WORDS, check_sound, documents, opened, text

SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)


def note(number: int, turn: int = 0) -> str:
    """A text whose first sentence could be asked for, and is found in it alone."""
    return f"See note n{number}t{turn} for {WORDS[number % 25]} and {WORDS[number % 7]}. {text(number, turn)}"


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """Thirty documents in v1; sound at the end, whatever a test does."""
    collection = opened(tmp_path / "kb", settings=SMALL)
    collection.add(documents({str(number): note(number) for number in range(30)}))
    yield collection
    collection.close()
    check_sound(tmp_path / "kb")


@pytest.fixture
def static_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a static model by its name."""
    return lambda name, **options: write_static_model(tmp_path / "models" / name, **options)
