"""Looks at a collection with toy models: what is healthy, what is damaged, and what it is put down to."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.collection import CollectionSettings
from gnomon.core.errors import InvalidInput, NothingIndexed
from gnomon.evaluate.judgments import DataSet
from gnomon.monitor import MonitorSettings, monitor, monitor_history
from gnomon.monitor.baseline import MAX_RUNS, load_history, save_history
from support.monitored_collections import (
    DOCUMENTS,
    Bad,
    Changed,
    causes,
    damage,
    documents,
    golden,
    model,
    opened,
    queries,
    settings,
    states,
)

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "gnomon-0.1.tar.gz"


@pytest.fixture
def folder(tmp_path):
    """A collection with its baseline."""
    with opened(tmp_path / "kb", settings=CollectionSettings(retrieval={"mode": "dense"})) as kb:
        kb.add(documents())
        taken = monitor(kb, settings(queries=queries(0), golden=golden()))
        assert taken.took_baseline
        assert taken.is_healthy
    return tmp_path / "kb"


def test_the_first_run_takes_the_baseline(folder):
    kept = json.loads((folder / "watch" / "baseline.json").read_text())
    rows = np.load(folder / "watch" / kept["files"]["queries"])
    assert rows.shape == (100, 64)
    assert kept["space"] == model().space.fingerprint
    assert len(kept["golden"]["values"]) == 40
    assert "word" not in json.dumps({**kept, "golden": None})  # no text of a query is kept


def test_a_healthy_run(folder):
    with opened(folder) as kb:
        found = monitor(kb, settings(queries=queries(1)))
    assert causes(found) == []
    assert {*states(found).values()} <= {"ok", "alarm"}
    assert not found.took_baseline
    assert found.check("vectors").figures["high"] < 0.07  # none of 60: 3 / 60 and some
    assert found.check("recall").figures["recall"] == 1.0
    assert found.check("golden").figures["mean"] == found.check("golden").figures["base"] > 0.5
    assert found.to_json()["healthy"] is found.is_healthy
    json.dumps(found.to_json(), allow_nan=False)


def test_another_topic_is_put_down_to_the_queries_and_its_texts_are_named(folder):
    mixed = queries(2, 60) + queries(3, 40, first=500)
    with opened(folder) as kb:
        found = monitor(kb, settings(queries=mixed))
        history = monitor_history(kb)
    assert causes(found) == ["queries changed"]
    assert [run["at"] for run in history.runs] == [run["at"] for run in found.history]
    assert history.latest["alarms"] == found.to_json()["alarms"]
    assert not any(text in json.dumps(history.to_json()) for text in found.check("queries").examples)
    assert found.check("queries").state == "alarm"
    assert all("word5" in text or "word6" in text for text in found.check("queries").examples)
    assert set(found.maps) == {"queries", "documents"}


def test_new_documents_are_put_down_to_the_documents(folder):
    with opened(folder) as kb:
        kb.add(documents(60, first=500, name="n"))
        found = monitor(kb, settings(queries=queries(4)))
    assert causes(found) == ["documents changed"]
    assert all(text.startswith("n") for text in found.check("documents").examples)


@pytest.mark.slow
@pytest.mark.parametrize(("roles", "said"), [(("query", "document"), "least cosine"), (("query",), "only query texts")])
def test_another_model_under_the_same_name(folder, roles, said):
    with opened(folder, Changed(roles)) as kb:
        found = monitor(kb, settings(queries=queries(5)))
    assert causes(found) == ["model changed"]
    assert said in found.check("canaries").message
    assert states(found)["queries"] == states(found)["golden"] == "not checked"
    assert states(found)["recall"] in ("ok", "alarm")
    assert min(found.check("canaries").figures["cosines"]["query"]) < 0.9


def noisy(row):
    return np.random.default_rng(0).standard_normal(len(row)).astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (noisy, "other_vector"),
        (lambda row: np.zeros_like(row).tobytes(), "zero_or_broken"),
        (lambda row: np.full_like(row, np.nan).tobytes(), "zero_or_broken"),
        (lambda row: row[:5].tobytes(), "zero_or_broken"),
        (lambda row: None, "missing"),
    ],
    ids=["noise", "zeros", "NaN", "cut", "gone"],
)
def test_damaged_vectors_are_counted_and_put_down_to_the_index(folder, change, kind):
    bad = damage(folder, 0.1, change)
    with opened(folder) as kb:
        found = monitor(kb, settings(queries=queries(6), checked_vectors=DOCUMENTS))
    assert causes(found) == ["index damaged"]
    figures = found.check("vectors").figures
    assert figures[kind] == figures["bad"] == bad
    assert figures["low"] < 0.1 < figures["high"]
    if kind != "other_vector":  # what is none at all is found among all of them
        assert found.check("recall").figures["zero_or_broken"] + found.check("recall").figures["missing"] == bad


@pytest.mark.slow
def test_foreign_vectors_explain_the_drift_of_documents(folder):
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0].astype("f4")
    damage(folder, 1.0, lambda row: (row @ turn).astype("<f4").tobytes())
    with opened(folder) as kb:
        found = monitor(kb, settings(queries=queries(7)))
    assert states(found)["documents"] == "alarm"
    assert causes(found) == ["index damaged"]
    assert found.check("documents").cause == "index damaged"
    assert found.check("vectors").figures["share"] == 1.0


def test_an_index_of_other_vectors_than_the_catalog_is_damaged(folder):
    with opened(folder) as kb:
        kb.search("a query", mode="dense")
        damage(folder, 0.5, noisy)  # the open index is still that of the right vectors
        found = monitor(kb, settings(queries=queries(8)))
    assert found.check("recall").state == "alarm"
    assert found.check("recall").figures["recall"] < 0.9


@pytest.mark.slow
def test_no_baseline_is_taken_of_a_damaged_collection(tmp_path):
    with opened(tmp_path / "kb") as kb:
        kb.add(documents())
    damage(tmp_path / "kb", 0.3, noisy)
    with opened(tmp_path / "kb") as kb:
        found = monitor(kb, settings(queries=queries(0)))
    assert not found.took_baseline
    assert not (tmp_path / "kb" / "watch" / "baseline.json").exists()
    assert "vectors must be fixed first" in found.notes[0] or "vectors, recall" in found.notes[0]


def test_too_few_queries_are_no_all_clear(folder):
    with opened(folder) as kb:
        found = monitor(kb, settings(queries=queries(9, 12)))
    check = found.check("queries")
    assert check.state == "not enough data"
    assert check.message == "12 of 50 queries, queries given"
    assert "--queries FILE" in check.hint


@pytest.mark.slow
def test_queries_of_evaluations_are_not_taken_for_those_of_users(tmp_path):
    with opened(tmp_path / "kb") as kb:
        kb.add(documents())
        kb.run({f"a{n}": query for n, query in enumerate(queries(1))})
        assert monitor(kb, settings()).check("queries").message == "no queries given"
        kb.run({f"b{n}": query for n, query in enumerate(queries(3, first=500))})  # as a gate's, of another kind
        found = monitor(kb, settings())
        assert causes(found) == []
        assert found.check("queries").state == "not enough data"
        assert "--queries FILE" in found.check("queries").hint


@pytest.mark.slow
def test_golden_queries_that_fall_add_up(folder):
    with opened(folder) as kb:
        kb.remove([f"d{n}" for n in range(2)])  # 2 of 40 find nothing any more
        found = [monitor(kb, settings(queries=queries(n))) for n in range(3)]
        sums = [one.check("golden").figures["sum"] for one in found]
        assert 0 < sums[0] < sums[1] < sums[2]
        assert states(found[0])["golden"] == "ok"
        assert found[0].check("golden").figures["mean"] < found[0].check("golden").figures["base"]
        kb.remove([f"d{n}" for n in range(20)])
        last = monitor(kb, settings(queries=queries(4)))
    assert states(last)["golden"] == "alarm"
    assert last.check("golden").examples[0].startswith("ownd")


def test_a_new_baseline_begins_anew(folder):
    with opened(folder) as kb:
        kb.remove([f"d{n}" for n in range(20)])
        assert states(monitor(kb, settings(queries=queries(1))))["golden"] == "alarm"
        anew = settings(queries=queries(2), golden=golden(), set_baseline=True)
        assert monitor(kb, anew).took_baseline
        again = monitor(kb, settings(queries=queries(3)))
    assert again.check("golden").figures["sum"] == 0.0
    assert len(list((folder / "watch").glob("*.npy"))) == 2


def test_other_golden_queries_are_refused(folder):
    with opened(folder) as kb, pytest.raises(InvalidInput, match="where the baseline has 'toys'") as caught:
        monitor(kb, settings(queries=queries(1), golden=golden(30)))
    assert "--set-baseline" in caught.value.hint


def test_too_few_golden_queries_are_refused(tmp_path):
    with opened(tmp_path / "kb") as kb:
        kb.add(documents())
        with pytest.raises(InvalidInput, match="5 golden queries"):
            monitor(kb, settings(golden=golden(5)))
        with pytest.raises(InvalidInput, match="0 golden queries"):
            monitor(kb, settings(golden=DataSet("none", {}, {})))


def worse(kb, encoder):
    """A version of a model that finds nothing takes over."""
    info = kb.versions.add(encoder)
    kb.versions.backfill(info.name)
    kb.versions.mark_ready(info.name)
    kb.switch(info.name)


@pytest.mark.slow
def test_rollback_goes_back_once_and_never_twice_in_a_row(folder):
    bad = Bad()
    with opened(folder, [model(), bad]) as kb:
        worse(kb, bad)
        found = monitor(kb, settings(queries=queries(1), rollback_on="golden"))
        assert causes(found)[0] == "model changed"
        assert found.check("golden").cause == "model changed"
        assert found.check("queries").state == "no baseline"  # of another space
        assert found.rolled_back.done
        assert (found.rolled_back.came_from, found.rolled_back.to) == ("v2", "v1")
        assert kb.version.name == "v1"

        fine = monitor(kb, settings(queries=queries(2), rollback_on="golden"))
        assert fine.rolled_back is None
        assert fine.check("golden").figures["sum"] == 0.0

        kb.remove([f"d{n}" for n in range(30)])
        again = monitor(kb, settings(queries=queries(3), rollback_on="golden"))
        assert states(again)["golden"] == "alarm"
        assert not again.rolled_back.done
        assert "never does so twice in a row" in again.rolled_back.message
        assert kb.version.name == "v1"


def test_rollback_without_a_former_version_is_said(folder):
    with opened(folder) as kb:
        kb.remove([f"d{n}" for n in range(30)])
        found = monitor(kb, settings(queries=queries(3), rollback_on="golden"))
    assert not found.rolled_back.done
    assert "no former version" in found.rolled_back.message


def test_alarms_are_not_acted_on_unless_asked(folder):
    bad = Bad()
    with opened(folder, [model(), bad]) as kb:
        worse(kb, bad)
        found = monitor(kb, settings(queries=queries(1)))
        assert "golden" in found.alarms[0].checks
        assert found.rolled_back is None
        assert kb.version.name == "v2"
        assert f"gnomon rollback {folder}" in found.alarms[0].hint


@pytest.mark.parametrize("broken", ["{", '{"format": 9}', '{"format": 1}'])
def test_a_baseline_that_cannot_be_read(folder, broken):
    (folder / "watch" / "baseline.json").write_text(broken)
    with opened(folder) as kb:
        with pytest.raises(InvalidInput, match="cannot be read") as caught:
            monitor(kb, settings())
        assert "--set-baseline" in caught.value.hint
        assert monitor(kb, settings(set_baseline=True)).took_baseline


def test_a_baseline_whose_vectors_are_gone(folder):
    next((folder / "watch").glob("documents-*.npy")).unlink()
    with opened(folder) as kb, pytest.raises(InvalidInput, match="cannot be read"):
        monitor(kb, settings())


def test_an_empty_collection(tmp_path):
    with opened(tmp_path / "kb") as kb, pytest.raises(NothingIndexed, match="holds no text"):
        monitor(kb, settings())


@pytest.fixture
def old(tmp_path):
    """A collection that gnomon 0.1 monitored twice: its model and its folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "gnomon-0.1"


@pytest.mark.filterwarnings("ignore::gnomon.core.errors.TruncatedText")
def test_baseline_and_history_of_an_old_version_are_read(old):
    folder = old / "kb" / "watch"
    kept = json.loads((folder / "baseline.json").read_text())
    runs = json.loads((folder / "history.json").read_text())["looks"]
    models = [gnomon.load_encoder(str(old / "models" / name)) for name in ("first", "second")]
    with gnomon.open(old / "kb", create=False, encoder=models) as kb:
        found = monitor(kb, settings())
        assert (found.baseline, [*found.history[:-1]]) == (kept["at"], runs)
        assert found.check("golden").figures["base"] == pytest.approx(np.mean(list(kept["golden"]["values"].values())))
        assert found.check("latency").figures["baseline_p50"] == kept["latency"]["p50"]
        monitor(kb, settings(set_baseline=True))
    written = json.loads((folder / "baseline.json").read_text())
    assert set(written) - {"sum", "sums"} == set(kept)  # the checksums are new: 0.1 opens no catalog of today's schema
    assert set(written["golden"] or kept["golden"]) == set(kept["golden"])
    assert set(json.loads((folder / "history.json").read_text())["looks"][-1]) == set(runs[-1])


@pytest.mark.slow
def test_old_names_are_the_new_ones(folder):
    import gnomon.monitor

    for name, new in {"watch": "monitor", "WatchReport": "MonitorReport", "WatchSettings": "MonitorSettings"}.items():
        with pytest.warns(DeprecationWarning, match=f"gnomon.monitor.{name} is now gnomon.monitor.{new}"):
            assert getattr(gnomon.monitor, name) is getattr(gnomon.monitor, new)
    with pytest.warns(DeprecationWarning, match="recall_queries"):
        assert MonitorSettings(asked=30).recall_queries == 30
    with opened(folder) as kb:
        check = monitor(kb, settings(queries=queries(1))).check("recall")
    with pytest.warns(DeprecationWarning, match="Check.said is now message"):
        assert check.said == check.message


def test_history_is_bounded_and_survives_damage(tmp_path):
    save_history(tmp_path, [{"at": str(n)} for n in range(MAX_RUNS + 5)])
    assert [run["at"] for run in load_history(tmp_path)][:1] == ["5"]
    (tmp_path / "watch" / "history.json").write_text('{"looks": [3, {"at": "1"}')
    assert load_history(tmp_path) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"queries": "one text"}, "one string"),
        ({"sample": 3}, "samples of 3"),
        ({"recall_queries": 1}, "recall_queries 1"),
        ({"permutations": 50}, "at least 200"),
        ({"false_alarms": 1.5}, "between 0 and 1"),
        ({"rollback_on": "drift"}, "rollback_on"),
        ({"timed_searches": 0}, "below 1"),
    ],
)
def test_settings_that_cannot_be(given, said):
    with pytest.raises(InvalidInput, match=said):
        MonitorSettings(**given)
