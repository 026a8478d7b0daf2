import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.evaluate.tasks import TaskFigure, TaskReport, TokenEncoder, run_task
from gnomon.evaluate.tasks.report import with_interval
from gnomon.testing.toys import HashEncoder

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
PLANE = Space("f" * 64, 2, "cosine", "float", "plane")
TOY = HashEncoder(64)


class Given:
    """An encoder of words whose vectors are given; words that it was not given it does not know."""

    def __init__(self, rows: dict[str, Sequence[float]], space: Space = PLANE) -> None:
        self._rows, self.space = rows, space
        self.max_tokens, self.tokenizer_json = 8, None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return [int(text in self._rows) for text in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return Vectors(np.array([self._rows[text] for text in texts], dtype=np.float32), self.space)


def turned(degrees: float, length: float = 1.0) -> tuple[float, float]:
    radians = np.radians(degrees)
    return float(length * np.cos(radians)), float(length * np.sin(radians))


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


ANGLES = (5, 80, 20, 65, 50, 30, 88, 12)
SCORES = (4.9, 0.5, 4.0, 2.0, 2.0, 3.9, 0.1, 3.0)
FAN = Given({"east": turned(0, 3.0), **{f"at{angle}": turned(angle, 0.1 + angle) for angle in ANGLES}})


def scored(path: Path) -> Path:
    rows = [{"a": "east", "b": f"at{angle}", "score": score} for angle, score in zip(ANGLES, SCORES, strict=True)]
    return write(path, *rows)


def test_sts_is_spearman_and_pearson_of_cosines(tmp_path: Path) -> None:
    report = run_task("sts", FAN, scored(tmp_path / "sts.jsonl"))
    cosines = np.cos(np.radians(ANGLES))
    assert report.figure("Spearman").value == pytest.approx(stats.spearmanr(cosines, SCORES).statistic)
    # Cosines are of float32 vectors.
    assert report.figure("Pearson").value == pytest.approx(stats.pearsonr(cosines, SCORES).statistic, abs=1e-6)
    assert (report.task, report.model, report.n, report.covered) == ("sts", "plane", 8, 8)
    for figure in report.figures:
        assert figure.low is not None
        assert figure.high is not None
        assert -1 <= figure.low < figure.value < figure.high <= 1
    again = run_task("sts", FAN, tmp_path / "sts.jsonl")
    assert again == report
    assert json.loads(json.dumps(report.to_json()))["figures"][0]["name"] == "Spearman"


@pytest.mark.parametrize(
    "lines",
    [
        ["sentence1\tsentence2\tscore", "east\tat5\t4.9", "east\tat80\t0.5", "east\tat20\t4.0"],
        ["# a comment", "east\tat5\t4.9", "east\tat80\t0.5", "east\tat20\t4.0"],
        ["score,Sentence 2,other,Sentence 1", "4.9,at5,x,east", '0.5,at80,"x, y",east', "4.0,at20,,east"],
        ["east,at5,4.9", "east,at80,0.5", "east,at20,4.0"],
        [
            '{"text1": "east", "text2": "at5", "similarity": 4.9, "src": "x"}',
            '{"text1": "east", "text2": "at80", "similarity": 0.5}',
            '{"text1": "east", "text2": "at20", "similarity": "4.0"}',
        ],
    ],
)
def test_tables_and_json_lines_give_the_same(tmp_path: Path, lines: list[str]) -> None:
    plain, packed = write(tmp_path / "plain", *lines), tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        report = run_task("sts", FAN, path)
        assert report.n == 3
        assert report.figure("Spearman").value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['{"a": "x", "b": "y", "pos": 1}'], r"(?s)line 1: a, b, pos.*score \(or similarity"),
        (["east\tat5\t4.9", "east\tat80"], "line 2: east, at80"),
        (["east\tat5\t4.9", "east\tat80\thigh"], r"plain:2: score is 'high'"),
        (["east\tat5\tnan", "east\tat80\t1"], r"plain:1: score is 'nan'"),
        (['{"a": " ", "b": "y", "score": 1}'], "a is ' '"),
        (['{"a": 3, "b": "y", "score": 1}'], "a is 3"),
        (["east\tat5\t2", "east\tat80\t2"], "every score is 2"),
        (["# only a comment"], "holds no rows"),
        (["east\tat5\t2"], "1 of 1 items that plane knows"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        run_task("sts", FAN, write(tmp_path / "plain", *lines))
    assert refused.value.expected


def test_word_similarity_says_what_it_covers(tmp_path: Path) -> None:
    path = scored(tmp_path / "words.jsonl")
    with path.open("a") as file:
        file.write('{"word1": "east", "word2": "unheard", "score": 9}\n')
    report = run_task("similarity", FAN, path)
    assert (report.n, report.covered) == (9, 8)
    assert report.notes == ("1 pairs with words unknown to the model left out",)
    assert report.figure("Spearman").value == run_task("sts", FAN, scored(path)).figure("Spearman").value


def labelled(path: Path, labels: Sequence[Any], angles: Sequence[int] = ANGLES) -> Path:
    pairs = zip(angles, labels, strict=True)
    return write(path, *({"a": "east", "b": f"at{angle}", "label": label} for angle, label in pairs))


def test_pairs_take_the_threshold_from_other_data(tmp_path: Path) -> None:
    labels = [1, 0, 1, 0, 1, 0, 0, 1]  # 5 80 20 65 50 30 88 12
    path = labelled(tmp_path / "test.jsonl", labels)
    fit = labelled(tmp_path / "train.jsonl", [1, 1, 0, 0], (12, 20, 30, 88))
    report = run_task("pairs", FAN, path, fit=fit)
    near = np.cos(np.radians(ANGLES))
    order = np.argsort(-near)
    hits = np.array(labels)[order]
    precision = hits.cumsum() / np.arange(1, 9)
    assert report.figure("average precision").value == pytest.approx((precision * hits).sum() / hits.sum())
    above = stats.mannwhitneyu(near[np.array(labels) == 1], near[np.array(labels) == 0]).statistic
    assert report.figure("ROC AUC").value == pytest.approx(above / 16)
    cut = (np.cos(np.radians(20)) + np.cos(np.radians(30))) / 2
    assert report.figure("threshold").value == pytest.approx(cut, abs=1e-6)
    # Above the cut lie 5, 20 and 12, all positive; of the five below, 50 is positive too.
    assert report.figure("accuracy").value == pytest.approx(7 / 8)
    assert report.notes == ("positive is '1': 4 of 8 pairs",)


def test_without_other_data_the_best_accuracy_is_called_an_upper_bound(tmp_path: Path) -> None:
    report = run_task("pairs", FAN, labelled(tmp_path / "test.jsonl", [1, 0, 1, 0, 1, 0, 0, 1]))
    names = [figure.name for figure in report.figures]
    assert names == [
        "average precision",
        "ROC AUC",
        "best accuracy (threshold from the same data: an upper bound)",
    ]
    assert "--fit" in report.notes[-1]


def test_equal_scores_make_up_no_order(tmp_path: Path) -> None:
    rows = Given({"x": (1, 0), "y": (0, 1)})
    path = write(tmp_path / "p.tsv", *(f"x\ty\t{label}" for label in (1, 0, 0, 1)))
    report = run_task("pairs", rows, path)
    assert report.figure("average precision").value == 0.5
    assert report.figure("ROC AUC").value == 0.5


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["entailment", "neutral", "contradiction"], "'entailment': 1"),
        (["True", "False", "False"], "'true': 1"),
        ([True, False, True], "'1': 2"),
        ([1.0, 0.0, 0.0], "'1': 1"),
    ],
)
def test_labels_by_their_usual_names(tmp_path: Path, labels: list[Any], positive: str) -> None:
    report = run_task("pairs", FAN, labelled(tmp_path / "p.jsonl", labels, ANGLES[:3]))
    assert report.notes[0] == f"positive is {positive} of 3 pairs"


@pytest.mark.parametrize("labels", [["good", "bad", "bad"], [1, 1, 1], ["yes", "1", "no"]])
def test_labels_that_cannot_be_told_apart_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    with pytest.raises(InvalidInput, match="the labels") as refused:
        run_task("pairs", FAN, labelled(tmp_path / "p.jsonl", labels, ANGLES[:3]))
    assert "exactly one of" in refused.value.expected


GRID = Given(
    {
        # b - a + c points to "d" for the first question and to "far" for the second, whose answer is "e".
        "a": (1, 0, 0),
        "b": (0, 1, 0),
        "c": (1, 0, 1),
        "d": (0.1, 1, 1),
        "e": (0, 0, -1),
        "far": (0.9, 0.9, 0.1),
    },
    Space("e" * 64, 3, "cosine", "float", "grid"),
)


def test_analogies_by_both_rules_with_sections_and_coverage(tmp_path: Path) -> None:
    path = write(tmp_path / "q.txt", ": first", "a b c d", ": second", "a b c e", "a b c nowhere")
    report = run_task("analogy", GRID, path)
    values = {figure.name: figure.value for figure in report.figures}
    assert values["3CosAdd"] == values["3CosMul"] == 0.5
    assert (values["3CosAdd, first"], values["3CosAdd, second"]) == (1.0, 0.0)
    assert (report.n, report.covered) == (3, 2)
    assert report.notes == ("answers among 5 words: those of the questions",)


def test_the_two_rules_agree_with_their_slow_twins(tmp_path: Path) -> None:
    words = [f"w{i}" for i in range(12)]
    random_state = np.random.default_rng(3)
    rows = dict(zip(words, random_state.standard_normal((12, 3)), strict=True))

    def near(x: str, y: str) -> float:
        return float(rows[x] @ rows[y] / np.linalg.norm(rows[x]) / np.linalg.norm(rows[y]))

    questions, right, differed = [], np.zeros(2), 0
    for number in range(300):
        a, b, c = random_state.choice(words, 3, replace=False)
        others = [word for word in words if word not in (a, b, c)]
        add = [near(w, b) - near(w, a) + near(w, c) for w in others]
        mul = [(1 + near(w, b)) / 2 * (1 + near(w, c)) / 2 / ((1 + near(w, a)) / 2 + 0.001) for w in others]
        answers = [others[int(np.argmax(add))], others[int(np.argmax(mul))], others[0]]
        questions.append(f"{a} {b} {c} {answers[number % 3]}")
        differed += answers[0] != answers[1]
        right += [answers[0] == answers[number % 3], answers[1] == answers[number % 3]]
    report = run_task("analogy", Given(rows, GRID.space), write(tmp_path / "q.txt", *questions))
    assert [report.figure("3CosAdd").value, report.figure("3CosMul").value] == pytest.approx(right / 300)
    assert differed > 10


def test_a_vocabulary_widens_or_narrows_where_answers_are_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "q.txt", "a b c d")
    wide = run_task("analogy", GRID, path, vocabulary=write(tmp_path / "wide", "a", "b", "c", "d", "far"))
    assert wide.notes == ("answers among 5 words",)
    with pytest.raises(InvalidInput, match="none of 1 questions"):
        run_task("analogy", GRID, path, vocabulary=write(tmp_path / "narrow", "a", "b", "c"))


def test_wrong_questions_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"(?s)line 2: 'a b c'.*four words"):
        run_task("analogy", GRID, write(tmp_path / "q.txt", "a b c d", "a b c"))
    with pytest.raises(InvalidInput, match="holds no questions"):
        run_task("analogy", GRID, write(tmp_path / "q.txt", ": empty"))


@dataclass(frozen=True, eq=False)
class Tokens:
    vectors: Any
    offsets: Any


class Contextual(HashEncoder):
    """A token a word; the target "bank" is turned by the word before it, every other word points north."""

    def tokens(self, texts: Sequence[str], *, role: Role = "document") -> list[Tokens]:
        found = []
        for text in texts:
            words, rows, offsets, at = text.split(), [], [], 0
            for number, word in enumerate(words):
                before = words[number - 1] if number else ""
                rows.append(turned({"river": 0, "money": 60, "sand": 20}.get(before, 90)))
                offsets.append((at, at + len(word)))
                at += len(word) + 1
            found.append(Tokens(np.array(rows[:4]), np.array(offsets[:4])))
        return found


def uses(path: Path, *rows: tuple[str, str, str]) -> Path:
    found = []
    for a, b, label in rows:
        spans = {f"start{n}": t.index("bank") for n, t in ((1, a), (2, b))}
        found.append({"a": a, "b": b, **spans, **{f"end{k[-1]}": v + 4 for k, v in spans.items()}, "label": label})
    return write(path, *found)


def test_context_compares_the_word_within_its_sentences(tmp_path: Path) -> None:
    river, money, sand = "the river bank", "a money bank here", "sand bank"
    fit = uses(tmp_path / "fit", (river, sand, "1"), (river, money, "0"), (sand, money, "0"))
    path = uses(tmp_path / "t", (river, river, "1"), (money, river, "0"), (sand, sand, "1"), (sand, money, "1"))
    report = run_task("context", Contextual(), path, fit=fit)
    assert report.figure("threshold").value == pytest.approx((np.cos(np.radians(20)) + np.cos(np.radians(40))) / 2)
    assert report.figure("accuracy").value == 0.75
    assert report.figure("ROC AUC").value == 1.0


def test_context_leaves_out_words_that_the_model_does_not_reach(tmp_path: Path) -> None:
    rows = [("river bank", "river bank", "1"), ("river bank", "money bank", "0")]
    path = uses(tmp_path / "t", *rows, ("river bank", "one two three four bank", "1"))
    report = run_task("context", Contextual(), path)
    assert (report.n, report.covered) == (3, 2)
    assert "1 pairs left out, whose word is beyond max_tokens" in report.notes[0]


def test_context_refuses_models_without_token_vectors_and_wrong_spans(tmp_path: Path) -> None:
    path = uses(tmp_path / "t", ("river bank", "money bank", "1"), ("river bank", "sand bank", "0"))
    with pytest.raises(InvalidInput, match="HashEncoder, which gives no token vectors"):
        run_task("context", TOY, path)
    assert not isinstance(TOY, TokenEncoder)
    assert isinstance(Contextual(), TokenEncoder)
    row = {"a": "x bank", "b": "y bank", "start1": 2, "end1": 60, "start2": 2, "end2": 6, "label": "1"}
    with pytest.raises(InvalidInput, match="characters 2 to 60 of a text of 6"):
        run_task("context", Contextual(), write(tmp_path / "w", row, {**row, "label": "0"}))


def test_arguments_that_a_task_has_no_use_for_are_refused(tmp_path: Path) -> None:
    path = scored(tmp_path / "sts.jsonl")
    with pytest.raises(InvalidInput, match=r"(?s)task 'nli'.*sts, pairs, analogy, similarity, context"):
        run_task("nli", FAN, path)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="fit for the task 'sts'"):
        run_task("sts", FAN, path, fit=path)
    with pytest.raises(InvalidInput, match="vocabulary for the task 'pairs'"):
        run_task("pairs", FAN, path, vocabulary=path)
    with pytest.raises(InvalidInput, match="the file that is measured"):
        run_task("pairs", FAN, path, fit=path)


def test_models_with_several_vectors_a_text_are_refused(tmp_path: Path) -> None:
    late = Given({"east": (1, 0)}, Space("d" * 64, 2, "maxsim", "float", "late"))
    with pytest.raises(InvalidInput, match="several vectors a text"):
        run_task("sts", late, scored(tmp_path / "sts.jsonl"))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    random_state = np.random.default_rng(11)
    held = 0
    for _ in range(100):
        sample = random_state.standard_normal(80)
        figure = with_interval("mean", lambda x: float(x.mean()), sample)
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 0 <= figure.high
    assert 88 <= held <= 99


def test_reports_say_what_they_have() -> None:
    report = TaskReport("sts", "m", (TaskFigure("Spearman", 0.5, 0.4, 0.6), TaskFigure("threshold", 0.25)), 4, 4)
    assert [str(figure) for figure in report.figures] == [
        "Spearman 0.5000 [0.4000, 0.6000]",
        "threshold 0.2500",
    ]
    with pytest.raises(KeyError):
        report.figure("Pearson")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "file", "name", "value"),
    [
        ("sts", "sts/stsb.test.jsonl.gz", "Spearman", 0.820),  # sentence-transformers 6.2, fp32: 0.8203
        ("similarity", "words/wordsim353.tsv", "Spearman", 0.728),
    ],
)
def test_minilm_on_public_sets(minilm_folder: Path, task: Any, file: str, name: str, value: float) -> None:
    from gnomon.encode import load_encoder

    if not (SHARED / file).is_file():
        pytest.skip(f"the public data set {file} is not there")
    report = run_task(task, load_encoder(str(minilm_folder)), SHARED / file)
    assert report.covered == report.n
    assert report.figure(name).value == pytest.approx(value, abs=0.003)


def test_the_old_name_of_a_tasks_figure_still_works() -> None:
    from gnomon.evaluate import tasks

    with pytest.warns(DeprecationWarning, match="TaskFigure"):
        assert tasks.Figure is tasks.TaskFigure
