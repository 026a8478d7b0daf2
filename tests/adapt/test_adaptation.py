"""Adapting a collection: what is tried is what would serve, what is taken is built, and what shows nothing declined."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gnomon.adapt import AdaptSettings, Candidate, JudgedQueries, adapt
from gnomon.adapt.cross_validation import CrossValidation, Deadline
from gnomon.adapt.decision import Prior
from gnomon.adapt.judged import NothingToLearn, checked_judgments
from gnomon.adapt.offline import OfflineSearch
from gnomon.adapt.search_space import options
from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import no_progress
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric
from gnomon.migrate import Change, MigrateSettings, migrate

SECOND = "hash-64-two"
PLAIN = AdaptSettings(models=(), learn=False)


def built(kb: Collection, changes: dict[str, object]) -> str:
    """The name of a version with these search settings."""
    found = migrate(kb, Change(retrieval=changes), settings=MigrateSettings(switch_if="never", cpu_share=1.0))
    assert found.version is not None
    return found.version


@pytest.mark.parametrize(
    "tried", [slice(2, 11, 6), pytest.param(slice(0, 11), marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_candidates_find_what_versions_with_their_settings_find(
    kb: Collection, judged: JudgedQueries, tried: slice
) -> None:
    search = OfflineSearch(kb, judged.texts, k=20)
    every = [option.candidate for option in options(search.version.retrieval, models=[SECOND])]
    assert {candidate.family for candidate in every} == {"fusion", "feedback", "spaces"}
    assert len(every) == 11  # of the twelve one is what serves
    runs = {candidate.name: search.run(candidate).results for candidate in every}
    assert len({repr(run) for run in runs.values()}) > 8  # they differ
    for candidate in every[tried]:
        kb.switch(built(kb, dict(candidate.changes)))
        assert runs[candidate.name] == kb.run(judged.texts, k=20).results, candidate.name
        kb.switch("v1")
    assert search.run(Candidate("as it is", "fusion")).results == kb.run(judged.texts, k=20).results


def test_the_better_search_is_built_and_offered(kb: Collection, judged: JudgedQueries) -> None:
    report = adapt(kb, judged, PLAIN)
    assert report.outcome == "ready"
    assert report.chosen is not None
    assert report.chosen.candidate.name in ("words only", "words weigh 0.7")
    assert kb.version.name == report.baseline == "v1"
    kb.switch(str(report.version))
    values = parse_metric("nDCG@10").per_query(kb.run(judged.texts, k=10), judged.grades)
    assert sum(values.values()) / len(values) == pytest.approx(report.chosen.mean)
    assert [what for what, _ in report.commands] == ["to switch", "to go back"]
    page = Path(str(report.report)).read_text(encoding="utf-8")
    assert "<svg" in page
    assert str(report.version) in page
    assert judged.texts[report.changes[0].query] in page
    plain = json.loads((Path(str(report.report)).parent / "adapt.json").read_text(encoding="utf-8"))
    assert plain["chosen"]["candidate"]["name"] == report.chosen.candidate.name


@pytest.mark.slow
def test_where_nothing_is_better_it_declines_in_one_line(kb: Collection, judged: JudgedQueries) -> None:
    kb.switch(built(kb, {"mode": "lexical"}))
    report = adapt(kb, judged, replace(PLAIN, metric="recall@100"))
    assert (report.outcome, report.version, report.chosen) == ("declined", None, None)
    assert report.why.startswith("Declined: ")
    assert "\n" not in report.why
    assert len(kb.versions.list()) == 2


@pytest.mark.slow
def test_a_dry_run_builds_nothing_and_a_switch_goes_live(kb: Collection, judged: JudgedQueries) -> None:
    assert adapt(kb, judged, replace(PLAIN, dry_run=True)).outcome == "chosen"
    assert len(kb.versions.list()) == 1
    report = adapt(kb, judged, replace(PLAIN, switch=True))
    assert report.outcome == "switched"
    assert kb.version.name == report.version == "v2"
    with pytest.raises(InvalidInput, match="--dry-run and --switch"):
        AdaptSettings(dry_run=True, switch=True)


class Memoriser:
    """Learns nothing but whose judgments it was given; searches by words for those, and by vectors for others."""

    name, family = "memoriser", "query-adapter"

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def fit(self, kb, judged, folder, *, progress):  # type: ignore[no-untyped-def]
        """A candidate whose files are in the folder."""
        assert folder.is_dir()
        assert not list(folder.iterdir())
        self.seen.append(set(judged.ids))
        return Candidate(self.name, "query-adapter", {"mode": "lexical"})


def test_no_query_is_tried_on_what_was_learnt_from_it(kb: Collection, judged: JudgedQueries) -> None:
    searched: list[tuple[set[str], set[str]]] = []
    learner = Memoriser()
    search = OfflineSearch(kb, judged.texts, k=10)
    run = search.run
    search.run = lambda candidate, queries=None: (  # type: ignore[method-assign]
        searched.append((learner.seen[-1], set(queries or ()))) or run(candidate, queries)
    )
    folds = {query: at % 5 for at, query in enumerate(judged.ids)}
    tests = CrossValidation(kb, search, judged, parse_metric("nDCG@10"), folds)
    tried = tests.learnt(learner, Prior(), kb.internals.folder / "folds", deadline=Deadline(600), progress=no_progress)
    assert list(tried.values) == list(judged.ids)
    assert len(searched) == 5
    assert all(not seen & queries for seen, queries in searched)
    assert all(seen | queries == set(judged.ids) for seen, queries in searched)


@pytest.mark.slow
def test_a_learner_is_called_once_more_with_all_queries_for_the_version(kb: Collection, judged: JudgedQueries) -> None:
    learner = Memoriser()
    report = adapt(kb, judged, AdaptSettings(models=()), learners=[learner])
    assert [len(seen) for seen in learner.seen[:5]] == [32] * 5
    assert report.estimates[-1].candidate.name == "memoriser"
    late = adapt(kb, judged, AdaptSettings(models=(), max_minutes=1e-9), learners=[Memoriser()])
    assert "--max-minutes" in late.skipped["memoriser"]


def data(relevant: dict[str, dict[str, int]], **more: object) -> DataSet:
    """A data set with a text for each query."""
    return DataSet("judged", {query: f"text {query}" for query in relevant}, relevant, **more)  # type: ignore[arg-type]


def test_bad_judgments_are_refused_or_declined_with_the_reason(kb: Collection, tmp_path: Path) -> None:
    def refused(judgments: DataSet, kind: type[InvalidInput] = InvalidInput) -> str:
        with pytest.raises(kind) as error:
            checked_judgments(kb, judgments)
        return error.value.message

    good = {f"q{n}": {str(n): 1} for n in range(30)}
    assert "no query with a text and a judgment" in refused(data({}))
    assert "9 judged queries" in refused(data(dict(list(good.items())[:9])), NothingToLearn)
    assert "are negative" in refused(data({query: dict.fromkeys(grades, 0) for query, grades in good.items()}))
    every = {query: {str(n): 1 for n in range(80)} for query in good}
    assert "more than half of all documents" in refused(data(every), NothingToLearn)
    alike = DataSet("judged", dict.fromkeys(good, "the same"), good)
    assert "with 1 different texts" in refused(alike, NothingToLearn)
    assert "none of the 30 judged documents" in refused(data({q: {f"x{q}": 1} for q in good}))
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    lines = [f"{query}\t{query[1:]}\t1" for query in good]
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": q, "text": f"text {q}"}) + "\n" for q in good))
    (folder / "qrels" / "judged.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "\n".join([*lines, "q3\t3\t0"]) + "\n"
    )
    with pytest.raises(InvalidInput, match=r"1 pairs of 'judged' are judged twice.*'q3', document '3': 1, then 0"):
        checked_judgments(kb, folder)


def test_deleted_documents_are_counted_and_left_out(kb: Collection, judged: JudgedQueries) -> None:
    kb.remove([str(number) for number in range(4)])
    found = checked_judgments(kb, judged)
    assert len(found.judged) == 36
    assert found.notes[0].startswith("4 judged documents are no longer in the collection")
    kb.remove([str(number) for number in range(4, 8)])
    few = judged.take([f"q{number}" for number in range(12)])
    with pytest.raises(NothingToLearn, match=r"4 judged queries .* 8 judged documents are no longer"):
        checked_judgments(kb, few)
    report = adapt(kb, few, PLAIN)
    assert (report.outcome, report.queries) == ("declined", 0)


def test_a_corpus_of_twenty_documents_is_declined(kb: Collection, judged: JudgedQueries) -> None:
    kb.remove([str(number) for number in range(20, 110)])
    assert "20 documents" in adapt(kb, judged, PLAIN).why
