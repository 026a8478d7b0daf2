from pathlib import Path

import pytest

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet, DataSetIssue, Fault, check_dataset, require_clean

CLEAN = DataSet("clean", {"a": "one", "b": "two"}, {"a": {"d1": 1}, "b": {"d2": 2, "d1": 0}})


def kinds(dataset: DataSet, corpus: set[str] | None = None) -> dict[str, tuple[int, str]]:
    return {found.kind: (found.count, found.severity) for found in check_dataset(dataset, corpus=corpus)}


def test_a_clean_set_has_no_findings() -> None:
    assert check_dataset(CLEAN, corpus={"d1", "d2"}) == ()
    require_clean(())


@pytest.mark.parametrize(
    ("queries", "relevant", "kind", "severity", "example"),
    [
        ({"a": "x"}, {"a": {"d": 1}, "z": {"d": 1}}, "judged queries that are not there", "error", "'z'"),
        ({"a": "x", "b": "y"}, {"a": {"d": 1}}, "queries without judgments", "warning", "'b'"),
        ({"a": " "}, {"a": {"d": 1}}, "empty queries", "error", "'a'"),
        (
            {"a": "Same  one", "b": "same one"},
            {"a": {"d": 1}, "b": {"d": 1}},
            "queries with the same text",
            "warning",
            "'a' = 'b'",
        ),
        ({"a": "x"}, {"a": {"d": 0}}, "queries with nothing relevant", "warning", "'a'"),
    ],
)
def test_each_fault_is_found(
    queries: dict[str, str], relevant: dict[str, dict[str, int]], kind: str, severity: str, example: str
) -> None:
    (finding,) = check_dataset(DataSet("set", queries, relevant))
    assert finding == DataSetIssue(kind, 1, (example,), severity)  # type: ignore[arg-type]


def test_documents_that_are_not_there_are_seen_by_the_corpus_given_or_beside() -> None:
    assert kinds(CLEAN, {"d2"}) == {"judged documents that are not there": (2, "error")}
    beside = DataSet("set", CLEAN.queries, CLEAN.relevant, documents=frozenset({"d1"}))
    assert kinds(beside) == {"judged documents that are not there": (1, "error")}
    assert kinds(beside, {"d1", "d2"}) == {}
    assert kinds(CLEAN) == {}


def test_what_was_met_while_reading_is_reported_errors_first() -> None:
    faults = (
        Fault("duplicate judgments", "query 'a', document 'd1'", "test.tsv:3"),
        Fault("conflicting grades", "query 'b', document 'd2': 2, then 1", "test.tsv:4"),
    )
    found = check_dataset(DataSet("set", CLEAN.queries, CLEAN.relevant, faults=faults))
    assert [(finding.kind, finding.severity) for finding in found] == [
        ("conflicting grades", "error"),
        ("duplicate judgments", "warning"),
    ]
    assert found[0].examples == ("query 'b', document 'd2': 2, then 1 (test.tsv:4)",)


def test_many_examples_are_cut_and_counted() -> None:
    many = DataSet("set", {str(i): "" for i in range(9)}, {str(i): {"d": 1} for i in range(9)})
    (finding,) = check_dataset(many)
    assert (finding.count, len(finding.examples)) == (9, 5)
    assert str(finding) == "error: 9 empty queries: '0', '1', '2', '3', '4', …"
    assert finding.to_json()["count"] == 9


def test_strict_refuses_with_all_that_was_found() -> None:
    findings = check_dataset(DataSet("set", {"a": "x", "b": ""}, {"a": {"d": -1}}))
    with pytest.raises(InvalidInput) as refused:
        require_clean(findings, name="my set")
    said = str(refused.value)
    assert said.startswith("my set has faults:\n  error: 1 empty queries: 'b'")
    for part in ("queries without judgments", "nothing relevant", "--strict"):
        assert part in said


def test_public_sets_pass() -> None:
    from gnomon.evaluate.datasets import load_dataset

    shared = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    if not (shared / "scifact").is_dir():
        pytest.skip("the public data sets are not there")
    for name in ("scifact", "cranfield", "cosqa"):
        assert check_dataset(load_dataset(shared / name)) == ()
