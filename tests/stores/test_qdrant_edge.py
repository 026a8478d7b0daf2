"""The Qdrant Edge store: the contract, and what only this one has."""

from __future__ import annotations

import pathlib

import pytest

from gnomon.stores.qdrant_edge import open_edge
from gnomon.testing import check_store


@pytest.mark.slow
def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    check_store(lambda name: open_edge(tmp_path, name), tolerance=1e-3)
    assert list(tmp_path.iterdir()) == []
