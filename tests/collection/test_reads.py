"""Reading vectors by chunk id: right, and no slower for the vectors that were not asked for."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.testing.toys import HashEncoder

STEP = 100
"""SQLite's virtual machine reports every so many instructions."""


@pytest.fixture
def catalog(opened, tmp_path):
    kb = opened()
    kb.add({"id": f"{n}", "text": f"otter number {n % 700}"} for n in range(1400))  # each text twice
    held = Catalog(tmp_path / "kb", create=False)
    yield held, kb.version
    held.close()


def test_each_chunk_gets_its_own_vector(catalog) -> None:
    held, version = catalog
    with held.read() as connection:
        every = queries.all_ids(connection, version.chunking_id)
        asked = np.random.default_rng(0).choice(every, 600, replace=False)
        ids, rows = queries.vectors_of(connection, version.space_id, version.space, ids=np.append(asked, 10**9))
        texts = dict(zip(*queries.texts_of(connection, asked)[::2], strict=True))
    assert ids.tolist() == sorted(asked.tolist())
    expected = HashEncoder(64, max_tokens=48).encode([texts[i] for i in ids.tolist()], role="document")
    np.testing.assert_array_equal(rows.data, expected.data.astype(np.float16))  # kept in half precision
    with held.read() as connection:
        ids, rows = queries.vectors_of(connection, version.space_id, version.space, ids=every[:0])
    assert (ids.shape, rows.data.shape) == ((0,), (0, 64))


def test_the_work_grows_with_what_is_asked_for_only(catalog) -> None:
    held, version = catalog
    with held.read() as connection:
        asked = queries.all_ids(connection, version.chunking_id)[:150]
        calls: list[None] = []
        raw = connection.connection.dbapi_connection
        raw.set_progress_handler(lambda: calls.append(None), STEP)
        queries.vectors_of(connection, version.space_id, version.space, ids=asked)
        raw.set_progress_handler(None, 0)
    # About 40 instructions for each one that is asked for; a pass over all vectors takes 20,000 and more.
    assert len(calls) * STEP < 70 * len(asked)
