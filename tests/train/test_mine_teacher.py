"""Rows that distil a teacher: what they hold, which teachers are refused, and runs that were cut off."""

import json
import random

import numpy as np
import pytest

from gnomon.cli.main import run
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, UnfitTeacher
from gnomon.core.progress import no_progress
from gnomon.evaluate.pseudo import ChunkText
from gnomon.testing import HashEncoder
from gnomon.testing.toys import LateHashEncoder
from gnomon.train.data import open_source
from gnomon.train.mining.queries import QuerySettings, TaughtQuery, WrittenQueries, extracted_queries, written_queries
from gnomon.train.mining.teach import OpenedTeacher, mine_with_teacher
from gnomon.train.mining.teacher_rows import TeacherSettings
from gnomon.train.mining.teachers import (
    EncoderTeacher,
    FusedTeacher,
    LateTeacher,
    ScorerTeacher,
    check_teacher,
    standardised,
    warn_of_language,
)
from gnomon.train.teacher_vectors import TeacherVectors
from support.endpoint_server import endpoint_server, replies
from support.metered_encoder import MeteredHashEncoder

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in ("r", "st", "ng")]
SMALL = TeacherSettings(depth=40, nearest=6)


def passages(count=80, seed=0):
    """Passages of drawn words, each with a word of its own."""
    rng = random.Random(seed)
    return [f"The {' '.join(rng.sample(WORDS, 9))} of topic{n} is near." for n in range(count)]


def queries(texts):
    """Three words of each passage, which answers the query."""
    return [TaughtQuery(" ".join(text.split()[1:4]), (at,)) for at, text in enumerate(texts)]


class WordScorer:
    """Scores by the share of the query's words; `noise` is a scorer that knows nothing. Counts its calls."""

    name = fingerprint = "toy scorer"

    def __init__(self, *, noise=False, fails_at=0):
        self.calls, self.noise, self.fails_at = 0, noise, fails_at

    def score(self, query, texts):
        self.calls += 1
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        if self.noise:
            return np.random.default_rng(self.calls).standard_normal(len(texts))
        words = set(query.split())
        return np.array([len(words & set(text.split())) for text in texts], dtype=float)


def opened(scorer):
    return OpenedTeacher("toy", scorer=ScorerTeacher("toy", scorer))


def test_a_row_has_the_answer_near_ones_and_far_ones_with_the_teachers_scores(tmp_path):
    texts, out = passages(), tmp_path / "rows.jsonl"
    vectors = TeacherVectors(HashEncoder(64), tmp_path / "vectors")
    teachers = [OpenedTeacher("hash", vectors=vectors), OpenedTeacher("bm25", 0.5)]
    report = mine_with_teacher(queries(texts), texts, teachers, settings=SMALL).write(out)
    assert (report.queries, report.rows, report.passages, report.kinds) == (80, 80, 80, {"given": 80})
    assert report.teacher == "hash + 0.5 bm25"
    assert report.first > 70
    assert report.check.auc > 0.95
    source = open_source(out)
    assert source.form == "scored"
    for at, example in enumerate(source):
        assert example.documents[0] == texts[at]
        assert len(set(example.documents)) == 5
        assert max(example.labels[1:3]) >= max(example.labels[3:])
    # The answer counts one standard deviation more than the teacher says.
    plain = TeacherSettings(depth=40, nearest=6, bonus=0.0)
    mine_with_teacher(queries(texts), texts, teachers, settings=plain).write(out)
    lower = open_source(out)
    assert source[3].labels[0] == pytest.approx(lower[3].labels[0] + 1)
    assert source[3].labels[1:] == lower[3].labels[1:]


def test_a_fusion_is_the_weighted_mean_of_standardised_scores():
    class Fixed:
        def __init__(self, name, values):
            self.name, self.fingerprint, self.values = name, name, np.array(values)

        def prepare(self, *_):
            pass

        def scores(self, _, numbers):
            return self.values[list(numbers)]

    one, other = Fixed("one", [1.0, 3.0, 8.0]), Fixed("other", [500.0, 100.0, 300.0])
    found = FusedTeacher([(one, 1.0), (other, 0.5)]).scores("q", [0, 1, 2])
    wanted = (standardised(one.values) + 0.5 * standardised(other.values)) / 1.5
    np.testing.assert_allclose(found, wanted)
    assert standardised(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
    with pytest.raises(InvalidInput, match="weights"):
        FusedTeacher([(one, 0.0)])


def test_a_teacher_that_knows_nothing_is_refused_with_its_figures(tmp_path):
    texts = passages()
    with pytest.raises(InvalidInput) as caught:
        mine_with_teacher(queries(texts), texts, [opened(WordScorer(noise=True))], settings=SMALL)
    assert "the teacher toy puts a known answer before a random passage in" in caught.value.message
    assert "language" in caught.value.hint
    # One that knows nothing is refused in a fusion too.
    teachers = [OpenedTeacher("bm25"), opened(WordScorer(noise=True))]
    with pytest.raises(InvalidInput, match="the teacher toy"):
        mine_with_teacher(queries(texts), texts, teachers, settings=SMALL)
    assert check_teacher(FusedTeacher([(ScorerTeacher("toy", WordScorer(noise=True)), 1.0)]), [("q", 0)], 80) is None


def test_a_weak_teacher_and_one_of_another_language_are_warned_of(tmp_path):
    class Forgetful(WordScorer):
        def score(self, query, texts):
            found = super().score(query, texts)
            return np.zeros(len(texts)) if self.calls % 10 < 3 else found

    texts = passages()
    teacher = FusedTeacher([(ScorerTeacher("toy", Forgetful()), 1.0)])
    teacher.prepare([], texts, no_progress)
    known = [(one.text, one.answers[0]) for one in queries(texts)]
    with pytest.warns(UnfitTeacher, match="a weak teacher"):
        check_teacher(teacher, known, len(texts))
    with pytest.warns(
        UnfitTeacher, match=r"the documents are in German, and the teacher all-MiniLM-L6-v2 was made for"
    ):
        warn_of_language("all-MiniLM-L6-v2", "de")
    warn_of_language("all-MiniLM-L6-v2", "en")


def test_too_few_passages_are_refused():
    texts = passages(20)
    with pytest.raises(InvalidInput, match="20 passages, of which a teacher has next to nothing to teach"):
        mine_with_teacher(queries(texts), texts, [OpenedTeacher("bm25")], settings=SMALL)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_rows(tmp_path):
    texts = passages()
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    mine_with_teacher(queries(texts), texts, [opened(WordScorer())], settings=SMALL).write(whole)
    checked = 80  # known answers, all of them
    with pytest.raises(KeyboardInterrupt):
        mine_with_teacher(queries(texts), texts, [opened(WordScorer(fails_at=checked + 33))], settings=SMALL).write(cut)
    assert not cut.exists()
    part = tmp_path / "cut.jsonl.part"
    part.write_bytes(part.read_bytes()[:-7])
    scorer = WordScorer()
    mine_with_teacher(queries(texts), texts, [opened(scorer)], settings=SMALL).write(cut)
    assert cut.read_bytes() == whole.read_bytes()
    assert scorer.calls == checked + 80 - 31
    assert not part.exists()


def test_a_part_of_another_run_is_refused_unless_it_begins_anew(tmp_path):
    texts, out = passages(), tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        mine_with_teacher(queries(texts), texts, [opened(WordScorer(fails_at=90))], settings=SMALL).write(out)
    other = mine_with_teacher(queries(texts), texts, [OpenedTeacher("bm25")], settings=SMALL)
    with pytest.raises(InvalidInput, match="other queries, passages, teachers or settings"):
        other.write(out)
    assert other.write(out, fresh=True).rows == 80


def chunks(count=120):
    rng = random.Random(3)
    topics = ["whales", "glaciers", "violins"]
    made = []
    for n in range(count):
        topic, words = topics[n % 3], " ".join(rng.sample(WORDS, 6))
        text = (
            f"The study of {topic} in place{n} began with {words}. "
            f"A second finding of item{n} is that {topic} have {words}. "
            f"Why do {topic} of place{n} have it? They are found there with {words} and more."
        )
        made.append(ChunkText(f"c{n}", f"d{n}", text, title=f"On {topic} number{n} " + words.split()[0]))
    return made


def test_queries_of_all_kinds_are_extracted_spread_over_clusters(tmp_path):
    vectors = TeacherVectors(HashEncoder(64), tmp_path)
    found = extracted_queries(chunks(), QuerySettings(per_kind=9), vectors=vectors)
    kinds = [one.kind for one in found]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"question": 9, "claim": 9, "keywords": 9, "title": 9}
    assert len({one.text for one in found}) == len(found)
    for one in found:
        assert len(one.answers) == 1
        if one.kind == "question":
            assert one.text.endswith("?")
    # Every topic is asked about, though a draw of nine can miss one.
    titles = [one.text for one in found if one.kind == "title"]
    assert all(any(topic in title for title in titles) for topic in ("whales", "glaciers", "violins"))
    assert found == extracted_queries(chunks(), QuerySettings(per_kind=9), vectors=vectors)


def test_a_language_model_writes_each_query_once_in_the_documents_language(tmp_path):
    asked, path = [], tmp_path / "written.queries"

    def write(prompt):
        asked.append(prompt)
        if "claim" in prompt:
            return "Der Wal ist nicht ein Fisch und das ist auch die Meinung von dem Autor."  # another language
        return f'"What is it that begins in answer {len(asked)}?"\n'

    settings = QuerySettings(("question", "claim"), per_kind=5)
    written = WrittenQueries(path, write, "en")
    found = written_queries(chunks(), settings, written)
    assert [one.kind for one in found] == ["question"] * 5
    assert written.dropped == 5
    assert all("Write in English" in prompt for prompt in asked)
    assert "<passage>\nThe study of" in asked[0]
    assert found[0].text == "What is it that begins in answer 1?"
    # What is written is not asked for again, but for the line that was cut off.
    path.write_text(path.read_text()[:-9])
    again = WrittenQueries(path, write, "en")
    assert written_queries(chunks(), settings, again) == found
    assert len(asked) == 11


def test_a_language_model_that_copies_is_not_believed(tmp_path):
    written = WrittenQueries(tmp_path / "q", lambda _: "the study of whales in place0", "en")
    assert written.query(chunks()[0].text, "claim") is None


@pytest.mark.slow
def test_the_command_mines_documents_by_a_language_model_and_says_what_it_did(tmp_path, capsys):
    folder, out = tmp_path / "docs", tmp_path / "rows.jsonl"
    folder.mkdir()
    for chunk in chunks(60):
        (folder / f"{chunk.chunk_id}.md").write_text(f"# {chunk.title}\n\n{chunk.text}\n")
    given = ["mine", str(folder), "--teacher", "bm25", "--out", str(out), "--kinds", "question", "--per-kind", "30"]

    def answer(asked):
        topic = asked.prompt.partition("The study of ")[2].split(" began")[0]
        return f"Where did the study of {topic} begin?"

    with endpoint_server(replies(answer)) as server:
        assert run([*given, "--llm", server.url, "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["rows"], said["kinds"]) == (30, {"question": 30})
        assert said["check"]["auc"] > 0.9
        assert len(server.requests) == 30
        assert run([*given, "--llm", server.url]) == 0
        assert len(server.requests) == 30
        shown = capsys.readouterr().out
    assert "30 rows to" in shown
    assert "an answer before a random passage in" in shown
    assert "Where did the study of" in open_source(out)[0].query


def test_the_command_refuses_options_of_the_other_way(tmp_path, capsys):
    rows = tmp_path / "pairs.jsonl"
    rows.write_text(json.dumps({"query": "a b", "positive": "c d"}) + "\n")
    assert run(["mine", str(rows), "--out", str(tmp_path / "o"), "--teacher", "bm25", "--scorer", "x"]) != 0
    assert "--scorer with --teacher" in capsys.readouterr().err
    assert run(["mine", str(rows), "--out", str(tmp_path / "o"), "--teacher", "bm25", "--ranks", "1:9"]) != 0
    assert "--ranks with --teacher" in capsys.readouterr().err
    assert run(["mine", str(rows), "--out", str(tmp_path / "o"), "--kinds", "title"]) != 0
    assert "--kinds without --teacher" in capsys.readouterr().err
    assert run(["mine", str(rows), "--out", str(tmp_path / "o"), "--teacher", "bm25", "--kinds", "title"]) != 0
    assert "which has queries of its own" in capsys.readouterr().err


def test_a_metered_teacher_that_failed_goes_on_without_paying_twice(tmp_path):
    def fails_late(number):
        if number == 9:
            raise ConnectionError("gone")

    texts = passages(48)
    broken = MeteredHashEncoder(before=fails_late, in_flight=1)
    with pytest.raises(ConnectionError):
        mine_with_teacher(queries(texts), texts, [_metered(broken, tmp_path)], settings=SMALL)
    paid, encoder = list(broken.server.sent), MeteredHashEncoder()
    rows = mine_with_teacher(queries(texts), texts, [_metered(encoder, tmp_path)], settings=SMALL)
    assert rows.write(tmp_path / "rows.jsonl").rows == 48
    assert paid
    assert not set(paid) & set(encoder.server.sent)
    assert len(paid) + len(encoder.server.sent) == 96


def _metered(encoder, folder):
    return OpenedTeacher("metered", vectors=TeacherVectors(encoder, folder / "vectors"))


def test_an_encoders_teacher_scores_by_its_own_roles(tmp_path):
    class Roles(HashEncoder):
        def encode(self, texts, *, role: Role):
            return super().encode([f"{role} {text}" for text in texts], role=role)

    teacher = EncoderTeacher("roles", TeacherVectors(Roles(64), tmp_path))
    teacher.prepare(["whale"], ["whale", "teapot"], no_progress)
    encoder = Roles(64)
    wanted = encoder.encode(["whale"], role="query").data @ encoder.encode(["whale", "teapot"], role="document").data.T
    np.testing.assert_allclose(teacher.scores("whale", [0, 1]), wanted[0], atol=1e-6)


def test_late_interaction_teaches_by_its_best_matches():
    teacher, encoder = LateTeacher("late", LateHashEncoder(16)), LateHashEncoder(16)
    texts = ["a whale sings", "a teapot", "whales and teapots sing"]
    teacher.prepare([], texts, no_progress)
    own, of = encoder.encode(["whale sings"], role="query"), encoder.encode(texts, role="document")
    np.testing.assert_allclose(teacher.scores("whale sings", [2, 0]), own.similarity(of)[0, [2, 0]], atol=1e-5)


def test_the_command_takes_pairs_with_a_corpus(tmp_path, capsys):
    texts, out = passages(), tmp_path / "rows.jsonl"
    rows, corpus = tmp_path / "pairs.jsonl", tmp_path / "corpus.jsonl"
    given = [{"query": one.text, "positive": texts[at]} for at, one in enumerate(queries(texts)[:30])]
    rows.write_text("".join(json.dumps(row) + "\n" for row in given))
    corpus.write_text("".join(json.dumps({"_id": f"d{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    command = ["mine", str(rows), "--corpus", str(corpus), "--teacher", "bm25", "--draws", "2", "--limit", "25"]
    assert run([*command, "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["queries"], report["rows"], report["passages"]) == (25, 50, 80)
    assert report["kinds"] == {"given": 25}
    assert [example.documents[0] for example in open_source(out)][:4] == [texts[0]] * 2 + [texts[1]] * 2
