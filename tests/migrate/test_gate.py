"""The gate: what decides, what it says beside the mean, and what it refuses to decide by."""

from __future__ import annotations

import builtins
import html
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import Collection
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import DecisionRule
from gnomon.evaluate.judgments import DataSet
from gnomon.migrate import GateReport, GateSettings, gate
from gnomon.migrate.gate import compare_segments
from gnomon.migrate.report import read_gate_report, report_page, write_report
from support.version_collections import text, two

LOOSE = GateSettings(margin=0.3)


def dataset(kb: Collection, many: int = 30, **more: object) -> DataSet:
    """A query for each document, by its own words."""
    queries = {f"q{n}": f"note n{n}t0 {text(n)[12:40]}" for n in range(many)}
    return DataSet("own words", queries, {f"q{n}": {str(n): 1} for n in range(many)}, **more)


@pytest.fixture
def candidate(kb: Collection) -> str:
    """A version that is ready, of another model."""
    name = kb.versions.add(two()).name
    kb.versions.backfill(name)
    kb.versions.mark_ready(name)
    return name


def test_a_report_has_quality_latency_and_size(kb: Collection, candidate: str) -> None:
    counts: list[tuple[int, int]] = []
    data = dataset(kb)
    found = gate(kb, candidate, LOOSE, dataset=data, progress=lambda now: counts.append((now.done, now.total)))
    assert (found.version, found.baseline, found.queries) == ("v2", "v1", 30)
    assert found.verdict is not None
    assert found.verdict.outcome == found.outcome
    assert (found.verdict.baseline, found.verdict.candidate) == ("v1", "v2")
    assert counts[-1] == (60, 60)
    assert [each.n for each in found.latency] == [30, 30]
    assert all(0 < each.p50_s <= each.p95_s for each in found.latency)
    live, other = found.size
    assert live.chunks == other.chunks == kb.status().chunks
    assert live.index_bytes > 0
    assert live.total > live.vector_bytes > 0
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["verdict"]["n"] == 30
    assert plain["size"][0]["total"] == live.total
    assert kb.version.name == "v1"  # nothing is switched by it


def test_a_version_that_lags_is_backfilled_first(kb: Collection) -> None:
    name = kb.versions.add(two()).name
    found = gate(kb, name, LOOSE, dataset=dataset(kb))
    assert found.queries == 30
    assert kb.versions.list()[1].behind == 0
    with pytest.raises(InvalidInput, match="v1 against itself: it is live"):
        gate(kb, "v1")
    with pytest.raises(InvalidInput, match="no version v9"):
        gate(kb, "v9")


def test_unusable_judgments_are_refused(kb: Collection, candidate: str) -> None:
    def refused(data: DataSet | None = None, **settings: object) -> str:
        with pytest.raises(InvalidInput) as error:
            gate(kb, candidate, GateSettings(**settings), dataset=data)
        return str(error.value)

    assert "has 9 queries with a relevant document: too few for a gate" in refused(dataset(kb, 9))
    judged_0 = DataSet("none", dataset(kb).queries, {f"q{n}": {str(n): 0} for n in range(30)})
    assert "has 0 queries with a relevant document" in refused(judged_0)
    foreign = DataSet("other", dataset(kb).queries, {f"q{n}": {f"x{n}": 1} for n in range(30)})
    assert "none of the 30 judged documents of 'other' is in the collection" in refused(foreign)
    assert "a margin of 0" in refused(dataset(kb), margin=0)
    assert "there is no metric 'quality'" in refused(dataset(kb), metric="quality")
    assert "--segment kind: no relevant document has that field" in refused(dataset(kb), segment="kind")
    assert "--split and --segment without --queries" in refused(split="test", segment="kind")
    assert refused(queries="no/such/file")


def test_segments_by_a_field_of_the_documents(kb: Collection, candidate: str) -> None:
    kinds = ["easy", "hard"]
    kb.add(
        Document(str(n), text(n), metadata={"kind": kinds if n == 0 else kinds[n % 2], "year": n}) for n in range(30)
    )
    settings = GateSettings(margin=0.3, segment="kind")
    found = gate(kb, candidate, settings, dataset=dataset(kb))
    assert {segment.name: segment.n for segment in found.segments} == {"easy": 15, "hard": 16}
    assert all(segment.interval is not None for segment in found.segments)
    years = gate(kb, candidate, GateSettings(margin=0.3, segment="year"), dataset=dataset(kb))
    assert {segment.n for segment in years.segments} == {1}
    assert all(segment.outcome is None for segment in years.segments)
    with pytest.raises(InvalidInput, match="one of kind, year"):
        gate(kb, candidate, GateSettings(segment="color"), dataset=dataset(kb))


def test_segments_by_the_kinds_of_a_query_set(kb: Collection, candidate: str) -> None:
    data = dataset(kb, kinds={f"q{n}": "short" if n < 20 else "long" for n in range(30)})
    found = gate(kb, candidate, LOOSE, dataset=data)
    assert [(segment.name, segment.n) for segment in found.segments] == [("short", 20), ("long", 10)]


def test_a_worse_segment_is_reported_even_if_the_mean_is_not_worse() -> None:
    random = np.random.default_rng(0)
    names = [f"q{n}" for n in range(400)]
    before = {name: float(value) for name, value in zip(names, random.uniform(0.4, 0.6, 400), strict=True)}
    after = {
        name: value + (-0.2 if n < 40 else 0.03) + float(random.normal(0, 0.02))
        for n, (name, value) in enumerate(before.items())
    }
    segments = {name: ["legal" if n < 40 else "other", "all"] for n, name in enumerate(names)}
    segments |= {"q399": ["rare"]}
    found = {one.name: one for one in compare_segments(before, after, segments, rule=DecisionRule())}
    assert found["legal"].is_worse
    assert (found["legal"].outcome, found["other"].outcome) == ("worse", "better")
    assert not found["all"].is_worse
    assert not found["other"].is_worse
    assert (found["rare"].n, found["rare"].interval, found["rare"].is_worse) == (1, None, False)
    assert next(one.name for one in compare_segments(before, after, segments, rule=DecisionRule())) == "all"
    assert found["legal"].difference == pytest.approx(-0.2, abs=0.02)


def test_segments_without_a_difference_are_rarely_reported() -> None:
    """Of 12 looks at twenty segments with no difference hardly any names one: at most 5 % in all."""
    random, named = np.random.default_rng(1), 0
    segments = {f"q{n}": [f"s{n % 20}"] for n in range(400)}
    for _ in range(12):
        before = {f"q{n}": float(v) for n, v in enumerate(random.uniform(0, 0.9, 400))}
        after = {name: value + float(random.normal(0, 0.03)) for name, value in before.items()}
        named += any(one.is_worse for one in compare_segments(before, after, segments, rule=DecisionRule()))
    assert named <= 3


def test_without_queries_only_breakage_is_detected(kb: Collection, candidate: str) -> None:
    found = gate(kb, candidate)
    assert (found.outcome, found.verdict, found.segments) == ("unproven", None, ())
    assert set(found.recall) <= {"heading", "first sentence", "sampled sentence", "keywords"}
    assert found.explained.startswith("Without judged queries it is unknown whether v2 is as good as v1")
    assert not found.allows("not-worse")
    assert found.allows("not-worse", without_proof=True)
    assert not found.allows("never", without_proof=True)
    page = report_page(found)
    assert "Does it find what it holds?" in page


def test_a_collection_without_usable_text_is_unproven(kb: Collection, candidate: str) -> None:
    kb.remove([str(n) for n in range(30)])
    kb.add(["one two"])
    found = gate(kb, candidate)
    assert (found.outcome, found.queries, found.latency[0].n) == ("unproven", 0, 0)
    assert "no queries could be generated" in found.explained
    assert "<h1>Gate: v2 against v1</h1>" in report_page(found)


def test_a_candidate_that_is_not_worse_passes(kb: Collection, candidate: str) -> None:
    found = gate(kb, candidate, LOOSE, dataset=dataset(kb))
    assert found.outcome == "not worse"
    assert found.allows("not-worse")
    assert not found.allows("better")
    assert not found.allows("never")


@pytest.fixture
def gated(kb: Collection, candidate: str) -> GateReport:
    data = dataset(kb)
    data = DataSet("<b>bold</b>", {**data.queries, "q3": "<script>alert(1)</script>"}, data.relevant)
    return gate(kb, candidate, LOOSE, dataset=data)


def test_the_page_is_self_contained_and_escaped(gated: GateReport, tmp_path: Path) -> None:
    kept = write_report(gated, tmp_path / "reports" / "v2")
    assert json.loads(kept.read_text())["outcome"] == "not worse"
    page = kept.with_name("gate.html").read_text()
    saved = read_gate_report(tmp_path, "v2")
    assert saved is not None
    assert (saved.json, saved.html) == (json.loads(kept.read_text()), page)
    assert read_gate_report(tmp_path, "v3") is None
    assert "data:image/png;base64," in page
    assert "<script" not in page
    assert html.escape("<b>bold</b>") in page
    assert 'src="http' not in page
    assert sorted(path.name for path in kept.parent.iterdir()) == ["gate.html", "gate.json"]


def test_the_page_without_matplotlib(gated: GateReport, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = builtins.__import__

    def none(name: str, *rest: object, **more: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", none)
    page = report_page(gated)
    assert "No picture of the differences: matplotlib" in page
    assert "data:image" not in page
    assert "Queries that changed most" in page or not gated.verdict.changed
    assert page.endswith("</html>\n")
