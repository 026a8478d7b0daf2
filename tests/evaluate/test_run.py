"""Runs: one order, files there and back, and what is refused."""

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.evaluate.run import Run

IDS = st.text("abcé日😀", min_size=1, max_size=3)
SCORES = st.sampled_from([0.0, -1.5, 1.0, 1.0 + 1e-9, 3.25, 1e-30])
RESULTS = st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=6), min_size=1, max_size=4)


def test_ties_in_single_precision_are_ordered_by_id_greatest_first() -> None:
    run = Run("r", {"q": {"a": 1.0, "c": 1.0, "b": 1.0 + 1e-9, "z": 0.5}})
    assert run.ranking("q") == ["c", "b", "a", "z"]
    assert run.ranking("unknown") == []


@given(st.lists(st.tuples(IDS, SCORES), max_size=8, unique_by=lambda pair: pair[0]))
def test_a_ranked_run_keeps_the_order_it_was_served_in(served: list[tuple[str, float]]) -> None:
    run = Run.ranked("r", {"q": served})
    assert run.ranking("q") == [document for document, _ in served]
    scores = [np.float32(run.results["q"][document]) for document, _ in served]
    assert all(above > below for above, below in pairwise(scores))


def test_ranked_scores_that_fall_are_left_as_they_are() -> None:
    assert Run.ranked("r", {"q": [("a", 0.5), ("b", 0.25)]}).results["q"] == {"a": 0.5, "b": 0.25}


@given(RESULTS)
def test_files_give_the_run_back(tmp_path_factory: pytest.TempPathFactory, results: dict) -> None:
    folder = tmp_path_factory.mktemp("runs")
    run = Run("minilm", results, {"model": "MiniLM", "k": 10})
    assert Run.load(run.save(folder / "run.json")) == run
    back = Run.load(run.save(folder / "run.trec"))
    assert (back.name, back.results) == ("minilm", run.results)
    assert all(back.ranking(query) == run.ranking(query) for query in results)


def test_a_trec_file_has_six_columns_in_order(tmp_path: Path) -> None:
    path = Run("my run", {"q1": {"a": 0.5, "b": 0.75}, "q2": {}}).save(tmp_path / "run.txt")
    assert path.read_text() == "q1 Q0 b 1 0.75 myrun\nq1 Q0 a 2 0.5 myrun\n"


def test_queries_that_found_nothing_stay_in_json_and_can_be_put_back_after_trec(tmp_path: Path) -> None:
    run = Run("r", {"q1": {"a": 1.0}, "q2": {}})
    assert Run.load(run.save(tmp_path / "run.json")).queries == {"q1", "q2"}
    lost = Run.load(run.save(tmp_path / "run.trec"))
    assert lost.queries == {"q1"}
    assert lost.with_queries(["q1", "q2"]) == Run("r", run.results)


def test_gzipped_files_and_tabs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(gzip.compress(b"q 1\tQ0\td 1\t1\t0.5\ttag\n"))
    assert Run.load(path).results == {"q 1": {"d 1": 0.5}}


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = Run("r", {"q": {"a": 1.0}}).save(tmp_path / "run.trec")
    with pytest.raises(InvalidInput, match="'b c' in a TREC run file") as error:
        Run("r", {"q": {"b c": 1.0}}).save(path)
    assert error.value.hint == "save as .json"
    assert Run.load(path).results == {"q": {"a": 1.0}}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e39])
def test_scores_that_trec_eval_cannot_hold_are_refused(score: float) -> None:
    with pytest.raises(InvalidInput, match=r"of document 'b' for query 'q'") as error:
        Run("r", {"q": {"a": 1.0, "b": score}})
    assert error.value.expected.startswith("finite scores within single precision")
    with pytest.raises(InvalidInput):
        Run.ranked("r", {"q": [("b", score)]})


def test_empty_ids_are_refused() -> None:
    with pytest.raises(InvalidInput, match="an empty query id"):
        Run("r", {"": {"a": 1.0}})
    with pytest.raises(InvalidInput, match="an empty document id"):
        Run("r", {"q": {"": 1.0}})


def test_a_document_that_comes_twice_is_refused(tmp_path: Path) -> None:
    for make in (
        lambda: Run.of_pairs("r", [("q", "a", 1.0), ("q", "a", 0.5)]),
        lambda: Run.ranked("r", {"q": [("a", 1.0), ("a", 0.5)]}),
    ):
        with pytest.raises(InvalidInput, match="document 'a' comes twice for query 'q'") as error:
            make()
        assert "chunks of one document must be grouped first" in error.value.hint
    (tmp_path / "twice.run").write_text("q Q0 a 1 2 t\nq Q0 a 2 1 t\n")
    with pytest.raises(InvalidInput, match=r"twice\.run, line 2: document 'a' is there already"):
        Run.load(tmp_path / "twice.run")


@pytest.mark.parametrize("line", ["q 0 a 1", "q Q0 a 1 high tag", "one"])
def test_lines_that_are_no_run_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "bad.run").write_text(f"q Q0 a 1 2 t\n{line}\n")
    with pytest.raises(InvalidInput, match=rf"bad\.run, line 2: '{line}'") as error:
        Run.load(tmp_path / "bad.run")
    assert error.value.expected == "six columns: query id, Q0, document id, rank, score, name"


@pytest.mark.parametrize("text", ["[]", "{", '{"results": {"q": [1]}}', '{"results": {"q": {"a": "x"}}}'])
def test_json_that_is_no_run_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"bad\.json is no run"):
        Run.load(tmp_path / "bad.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"none\.trec"):
        Run.load(tmp_path / "none.trec")


def test_a_run_cannot_be_changed() -> None:
    run = Run("r", {"q": {"a": 1.0}})
    with pytest.raises(TypeError):
        run.results["q"]["a"] = 2.0  # type: ignore[index]


def test_the_old_name_of_with_queries_still_works() -> None:
    run = Run("r", {"q1": {"d": 1.0}})
    with pytest.warns(DeprecationWarning, match="with_queries"):
        assert run.asked(["q2"]) == run.with_queries(["q2"])
