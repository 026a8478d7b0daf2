"""What a collection would take at another size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gnomon.collection.opening import open_collection
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Space
from gnomon.migrate import parse_count, plan_scale
from gnomon.migrate.scale import engine_estimates
from gnomon.testing import HashEncoder

SPACE = Space("f" * 64, 384, "cosine", "float", "toy")


def test_sizes_grow_with_documents(tmp_path: Path) -> None:
    with open_collection(tmp_path / "kb", encoder=HashEncoder()) as kb:
        kb.add([Document(f"d{at}", text=f"document {at} about birds and boats " * 20) for at in range(20)])
        one, many = plan_scale(kb, 20), plan_scale(kb, 20_000, hours=1e-6, core_price=2.0)
        chunks = kb.status().chunks

    assert one.chunks == chunks
    assert many.chunks == 1000 * chunks
    assert many.catalog_bytes == pytest.approx(1000 * one.catalog_bytes, rel=1e-3)
    assert many.core_hours == pytest.approx(many.hours_here * _cores(), rel=1e-6)
    assert many.cores > one.cores == 1
    assert many.cost == pytest.approx(2.0 * many.core_hours)
    assert json.loads(json.dumps(many.to_json()))["engines"][0]["engine"] == "local"


def test_an_empty_collection_is_refused(tmp_path: Path) -> None:
    with open_collection(tmp_path / "kb", encoder=HashEncoder()) as kb, pytest.raises(InvalidInput, match="measure"):
        plan_scale(kb, 100)


def test_published_rules_of_engines() -> None:
    # The example of Qdrant's capacity planning page: a million vectors of 1,024 dimensions take 6,144,000,000 bytes.
    wide = Space("e" * 64, 1024, "cosine", "float", "toy")
    (qdrant,) = engine_estimates(wide, 10**6, "qdrant://localhost:6333")
    assert (qdrant.memory, qdrant.origin) == (6_144_000_000, "published")


def test_one_engine_or_all() -> None:
    assert [each.engine for each in engine_estimates(SPACE, 1000, "pgvector")] == ["pgvector"]
    assert [each.engine for each in engine_estimates(SPACE, 1000, "postgresql://host/db")] == ["pgvector"]
    assert len(engine_estimates(SPACE, 1000)) > 5
    with pytest.raises(InvalidInput, match="oracle"):
        engine_estimates(SPACE, 1000, "oracle")


@pytest.mark.parametrize("text", ["", "many", "0", "-5", "1e9", "0.2", "10000B", "5 MB"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_count(text)


@pytest.mark.parametrize(("text", "count"), [("1b", 10**9), (" 1,500 ", 1500), ("0.5M", 500_000)])
def test_numbers_as_people_write_them(text: str, count: int) -> None:
    assert parse_count(text) == count


def _cores() -> int:
    import os

    return os.cpu_count() or 1
