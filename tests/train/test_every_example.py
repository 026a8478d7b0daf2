"""Every example is used once an epoch, or the count left out is said; classes of inference are not scores."""

import json
from pathlib import Path

import pytest

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.train.data.batches import Batches, BatchSettings
from gnomon.train.data.source import listed_source, open_source
from gnomon.train.loop import TrainingState
from gnomon.train.prepare import require_answers, require_servable
from support.training_recipes import toy, write_rows


def test_equal_answers_are_spread_over_batches_and_all_are_used() -> None:
    rows = [{"query": f"question {n}", "positive": f"answer {n % 6}"} for n in range(96)]
    batches = Batches([listed_source(rows)], BatchSettings(16))
    count = batches.count(2)
    taken = [batch for epoch in (0, 1) for batch, _ in batches.epoch(epoch)]
    assert len(taken) == count
    assert count > 2 * batches.about
    used = [query for batch in taken for query in batch.queries]
    assert sorted(used) == sorted([row["query"] for row in rows] * 2)


def test_examples_that_no_step_used_are_counted() -> None:
    assert TrainingState(examples=36).unused(96) == 60
    rows = [{"query": f"q {n}", "positive": f"a {n}"} for n in range(10)]
    batches = Batches([listed_source(rows)], BatchSettings(4, drop_short=True))
    states = [(len(batch.queries), after) for batch, after in batches.epoch(0)]
    assert batches.count(1) == 2
    assert TrainingState(examples=sum(n for n, _ in states), stream=states[-1][1]).unused(batches.examples) == 2


def test_one_answer_to_all_questions_is_refused(tmp_path: Path) -> None:
    same = listed_source([{"query": f"q {n}", "positive": "the same"} for n in range(5)])
    with pytest.raises(InvalidInput, match="one answer to all questions"):
        require_answers(toy(tmp_path), [same])
    require_answers(toy(tmp_path), [listed_source([{"query": "q", "positive": p} for p in "ab"])])


def nli(folder: Path, labels: list[object], query: str = "premise", other: str = "hypothesis") -> list[float]:
    rows = [{query: f"p {n}", other: f"h {n}", "label": label} for n, label in enumerate(labels)]
    return [one.labels[0] for one in open_source(str(write_rows(folder / "nli.jsonl", rows)))]


def test_classes_of_inference_are_mapped(tmp_path: Path) -> None:
    assert nli(tmp_path, [0, 1, 2]) == [1, 0, 0]
    assert nli(tmp_path, ["2", "0"]) == [0, 1]
    assert nli(tmp_path, ["entailment", "Neutral", "contradiction"], "sentence1", "sentence2") == [1, 0, 0]
    with pytest.raises(InvalidInput, match="entailment, neutral or contradiction"):
        nli(tmp_path, [0, -1, 2])
    assert nli(tmp_path, [0.2, 0.9]) == [0.2, 0.9]


@pytest.mark.parametrize(("labels", "columns"), [([0, 1], ()), ([0, 1, 2], ("sentence1", "sentence2"))])
def test_numbers_that_may_be_classes_or_scores_are_refused(tmp_path: Path, labels: list[object], columns) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput, match="may be classes") as refused:
        nli(tmp_path, labels, *columns)
    assert "scale" in refused.value.hint


def test_a_backbone_that_cannot_be_served_is_refused_before_the_first_step() -> None:
    from transformers import BertConfig, BertModel, RoFormerConfig, RoFormerModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    require_servable(BertModel(BertConfig(vocab_size=40, **sizes)))
    with pytest.raises(ModelUnsupported, match="'roformer', which gnomon trains and cannot serve"):
        require_servable(RoFormerModel(RoFormerConfig(vocab_size=40, pad_token_id=0, **sizes)))
    with pytest.raises(ModelUnsupported, match="hidden_act"):
        require_servable(BertModel(BertConfig(vocab_size=40, hidden_act="tanh", **sizes)))


def test_a_run_whose_later_stages_fail_writes_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gnomon.train import fit as package_fit
    from gnomon.train.report import report as reports

    module = __import__("sys").modules[package_fit.__module__]
    ends = iter([module._evaluations])

    def evaluations(*given):  # type: ignore[no-untyped-def]
        first = next(ends, None)
        if first is None:
            raise RuntimeError("no memory left")
        return first(*given)

    def pictures(*_):  # type: ignore[no-untyped-def]
        raise RuntimeError("no fonts")

    monkeypatch.setattr(module, "_evaluations", evaluations)
    monkeypatch.setattr(reports, "draw_pictures", pictures)
    done = package_fit(toy(tmp_path))
    assert done.problems == ("evaluating the model: no memory left", "drawing the report: no fonts")
    written = json.loads((Path(done.training) / "report.json").read_text())
    assert (written["end"], written["problems"]) == ("done", ["evaluating the model: no memory left"])
    assert (Path(done.training) / "report.html").is_file()
    assert (Path(done.folder) / "modules.json").is_file()


FORMS = {
    "Tevatron": {
        "query_id": "1",
        "query": "q",
        "positive_passages": [{"docid": "p", "title": "T", "text": "right"}],
        "negative_passages": [{"docid": "n", "title": "", "text": "wrong"}],
    },
    "DPR": {
        "question": "q",
        "answers": ["a"],
        "positive_ctxs": [{"title": "T", "text": "right"}],
        "hard_negative_ctxs": [{"text": "wrong"}],
    },
    "FlagEmbedding": {"query": "q", "pos": ["T\nright"], "neg": ["wrong"], "pos_scores": [0.9], "neg_scores": [0.1]},
}


@pytest.mark.parametrize("row", FORMS.values(), ids=FORMS)
def test_rows_of_other_tools(tmp_path: Path, row: dict[str, object]) -> None:
    (example,) = open_source(str(write_rows(tmp_path / "rows.jsonl", [row])))
    assert (example.query, example.documents, example.labels) == ("q", ("T\nright", "wrong"), (1.0, 0.0))
