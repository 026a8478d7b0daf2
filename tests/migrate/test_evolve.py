"""`gnomon.evolve`, the old name of this package, works as it did, with warnings."""

from __future__ import annotations

import pytest

from gnomon import evolve, migrate
from gnomon.collection import Collection
from gnomon.evaluate.judgments import DataSet
from support.version_collections import text, two


@pytest.mark.parametrize(
    ("old", "new"),
    [("Bridge", "EmbeddingAdapter"), ("Gated", "GateReport"), ("bridged", "dual_index_retriever"), ("stop", "stop")],
)
def test_old_names_lead_to_the_new_ones(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"gnomon\.evolve\.{old} is now gnomon\.migrate\.{new}"):
        assert getattr(evolve, old) is getattr(migrate, new)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        evolve.nothing  # noqa: B018


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_keys_and_attributes_work() -> None:
    prefill = evolve.Meanwhile(bridge=True, asked="log.txt", least=0.6, least_pairs=300)
    assert prefill == migrate.Prefill(adapter=True, query_log="log.txt", min_recall=0.6, min_pairs=300)
    assert evolve.MigrateSettings(meanwhile=prefill).meanwhile is prefill
    assert evolve.Handed(3, 1).waiting == 1


def test_a_plan_with_its_settings_in_a_value(kb: Collection) -> None:
    messages: list[str] = []
    with pytest.warns(DeprecationWarning, match="cpu_share= and progress= in place of PlanSettings"):
        found = evolve.plan(kb, two(), price=1.0, settings=evolve.PlanSettings(0.25, messages.append))
    assert found.share == migrate.plan(kb, two(), cpu_share=0.25).share
    assert found.cost is not None


def test_a_gate_with_its_parameters_in_a_value(kb: Collection) -> None:
    name = kb.versions.add(two()).name
    kb.versions.backfill(name)
    kb.versions.mark_ready(name)
    queries = {f"q{n}": f"note n{n}t0 {text(n)[12:40]}" for n in range(30)}
    data = DataSet("data", queries, {f"q{n}": {str(n): 1} for n in range(30)})
    counts: list[int] = []
    settings, asking = migrate.GateSettings(margin=0.3), evolve.Asking(lambda done, _of: counts.append(done), data)
    with pytest.warns(DeprecationWarning, match="dataset= and progress= in place of Asking"):
        report = evolve.gate(kb, name, settings, asking=asking)
    assert (report.queries, counts[-1]) == (30, 60)


def test_the_old_package_is_an_attribute() -> None:
    import gnomon
    from gnomon import evolve

    assert gnomon.evolve is evolve
    assert "evolve" not in dir(gnomon)
