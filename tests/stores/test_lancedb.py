"""The LanceDB store: the contract, and what only this one has."""

from __future__ import annotations

import pathlib

import pytest

from gnomon.stores import StoreAddress, open_store
from gnomon.testing import check_store


@pytest.mark.slow
def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    address = StoreAddress.parse(f"lancedb://{tmp_path}")
    check_store(lambda name: open_store(address, name), tolerance=1e-3)
