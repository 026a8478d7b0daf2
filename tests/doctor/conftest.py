"""Folders of models that are made in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.static_models import write_static_model


@pytest.fixture
def static_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes the folder of a static model by its name."""
    return lambda name, **options: write_static_model(tmp_path / "models" / name, **options)
