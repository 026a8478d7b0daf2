"""A migration to a model of a server: its cost is said before anything is sent, and a limit holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.collection import Collection
from gnomon.core.errors import CostLimitReached, ProviderFailed
from gnomon.migrate import MigrateSettings, migrate, plan, plan_index, plan_update, status
from support.metered_encoder import PRICE, MeteredHashEncoder

READY = {"switch_if": "never"}


def test_a_plan_sends_nothing_and_is_what_is_charged(kb: Collection) -> None:
    encoder = MeteredHashEncoder(salt="server")
    found = plan(kb, encoder)
    assert encoder.server.requests == 0
    assert found.server is not None
    assert found.cost == found.server.cost == pytest.approx(found.tokens * PRICE / 1e6)
    assert (found.server.requests, found.server.exact) == (-(-found.texts // 4), True)
    assert found.seconds >= found.server.seconds == found.server.requests  # sixty a minute
    assert plan(kb, encoder, price=2.0).cost == pytest.approx(found.tokens * 2e-6)
    ready = migrate(kb, encoder, settings=MigrateSettings(**READY, max_cost=found.cost))
    assert (ready.outcome, ready.texts_done, ready.tokens_done) == ("ready", found.texts, found.tokens)
    assert (ready.cost, ready.cost_done) == (pytest.approx(found.cost), pytest.approx(found.cost))


def test_a_limit_below_the_estimate_makes_no_version(kb: Collection) -> None:
    encoder = MeteredHashEncoder(salt="server")
    with pytest.raises(CostLimitReached, match="nothing was sent"):
        migrate(kb, encoder, settings=MigrateSettings(max_cost=0.001))
    assert encoder.server.requests == 0
    assert [each.name for each in kb.versions.list()] == ["v1"]


def test_a_failed_build_is_resumed_without_paying_again(kb: Collection) -> None:
    down = True

    def fail(request: int) -> None:
        if down and request >= 12:
            raise ProviderFailed("the budget is used up")

    encoder = MeteredHashEncoder(salt="server", before=fail)
    with pytest.raises(ProviderFailed, match=r"texts .* were embedded and are kept"):
        migrate(kb, encoder, settings=MigrateSettings(**READY))
    failed = status(kb.status().path)
    assert failed is not None
    assert failed.outcome == "failed"
    down = False
    assert migrate(kb, encoder, settings=MigrateSettings(**READY)).outcome == "ready"
    documents = [text for text in encoder.server.of("document") if "See note" in text]
    assert len(documents) == len(set(documents)) > 0


def test_a_first_index_is_planned_from_files(kb: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text(f"a note of number {number} and no more")
    encoder = MeteredHashEncoder(salt="server")
    found = plan_index(folder, encoder)
    assert (found.documents, found.texts, found.tokens) == (10, 10, 80)
    assert found.cost == pytest.approx(80 * PRICE / 1e6)
    assert encoder.server.requests == 0
    assert plan_index(folder, encoder.toy).server is None
    assert plan_update(kb, folder).texts == 10
    kb.index(folder)
    assert plan_update(kb, folder).texts == 0
