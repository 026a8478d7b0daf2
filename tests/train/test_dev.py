"""Looks at a model: what is ranked, what is scored, and that they leave the model alone."""

import pytest
import torch
from scipy.stats import spearmanr

from gnomon.core.errors import InvalidInput
from gnomon.train import fit
from gnomon.train.data.source import DataSourceSettings
from gnomon.train.evaluation import (
    DevSet,
    bm25_candidates,
    embed_texts,
    evaluate_set,
    mean_metric,
    open_dev_set,
)
from support.tiny_backbones import TEXTS, shared
from support.training_recipes import parallel, scored, toy, triplets, write_rows

DOCUMENTS = {f"d{n}": text for n, text in enumerate(dict.fromkeys(TEXTS[:60]))}
QUERIES = {f"q{n}": " ".join(text.split()[:3]) for n, text in enumerate(TEXTS[:12])}
RANKED = DevSet("toy", QUERIES, DOCUMENTS, {q: {f"d{n}": 1} for n, q in enumerate(QUERIES)})


def written(folder, rows, **more):
    return open_dev_set(DataSourceSettings(str(write_rows(folder / "held.jsonl", rows)), **more))


def test_triplets_are_ranked_among_all_documents(tmp_path):
    rows = triplets(10)
    rows.append({**rows[0], "positive": rows[1]["positive"]})
    found = written(tmp_path, rows)
    assert not found.is_scored
    assert list(found.queries.values()) == [row["query"] for row in rows[:10]]
    assert set(found.documents.values()) == {row[key] for row in rows for key in ("positive", "negative")}
    right = {found.documents[d] for d in found.relevant["q0"]}
    assert right == {rows[0]["positive"], rows[1]["positive"]}


def test_scored_pairs_and_translations(tmp_path):
    rows = scored(9)
    found = written(tmp_path, rows, limit=7)
    assert found.scores == tuple(row["score"] for row in rows[:7])
    q, d = found.pairs[3]
    assert (found.queries[q], found.documents[d]) == (rows[3]["sentence1"], rows[3]["sentence2"])
    rows = parallel(5)
    found = written(tmp_path, rows)
    assert list(found.queries.values()) == [row["source"] for row in rows]
    assert list(found.documents.values()) == [row["translation"] for row in rows]


def test_of_a_beir_folder_the_whole_corpus_is_ranked(tmp_path):
    corpus = [{"_id": f"c{n}", "title": "", "text": text} for n, text in enumerate(TEXTS[:30])]
    write_rows(tmp_path / "corpus.jsonl", corpus)
    write_rows(tmp_path / "queries.jsonl", [{"_id": f"a{n}", "text": TEXTS[n]} for n in range(5)])
    (tmp_path / "qrels").mkdir()
    lines = "".join(f"a{n}\tc{n}\t{int(n != 1)}\n" for n in range(5))
    (tmp_path / "qrels" / "dev.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    found = open_dev_set(DataSourceSettings(str(tmp_path), split="dev", limit=3))
    assert len(found.documents) == 30
    # The second has no right answer.
    assert list(found.queries) == list(found.relevant) == ["a0", "a2", "a3"]


def test_a_smaller_set_keeps_what_is_judged():
    found = RANKED.smaller(20)
    assert len(found.documents) == 20
    assert {d for grades in RANKED.relevant.values() for d in grades} <= found.documents.keys()
    assert found.queries == RANKED.queries
    assert RANKED.smaller(0) is RANKED
    assert RANKED.smaller(1000) is RANKED


@pytest.mark.parametrize("kind", ["bi", "dual", "static"])
def test_what_embeds_ranks_all_by_its_scores(kind):
    model = shared(kind)
    found = evaluate_set(model, RANKED, "MRR@10")
    queries = embed_texts(model, list(QUERIES.values()), "query", precision="float32")
    documents = embed_texts(model, list(DOCUMENTS.values()), "document", precision="float32")
    with torch.inference_mode():
        scores = model.score(queries, documents)
    best = scores.argsort(dim=1, descending=True)
    reciprocal = []
    for row, query in enumerate(QUERIES):
        place = best[row].tolist().index(row)
        reciprocal.append(1 / (place + 1) if place < 10 else 0.0)
        assert set(found.run.results[query]) <= set(DOCUMENTS)
    assert found.value == pytest.approx(sum(reciprocal) / len(reciprocal), abs=1e-6)
    assert found.value == pytest.approx(mean_metric(found.run, RANKED.relevant, "MRR@10"))


@pytest.mark.parametrize("kind", ["late", "cross"])
def test_what_costs_more_ranks_what_words_find(kind):
    model = shared(kind)
    found = evaluate_set(model, RANKED, "nDCG@10")
    first = bm25_candidates(RANKED)
    for query, documents in first.items():
        assert found.run.results[query].keys() == set(documents)
    query, documents = next(iter(first.items()))
    texts = [DOCUMENTS[d] for d in documents]
    with torch.inference_mode():
        if kind == "cross":
            scores = model.judge(model.pairs([QUERIES[query]] * len(texts), texts))
        else:
            own = embed_texts(model, [QUERIES[query]], "query", precision="float32")
            scores = model.score(own, embed_texts(model, texts, "document", precision="float32"))[0]
    expected = dict(zip(documents, scores.tolist(), strict=True))
    assert found.run.results[query] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("kind", ["bi", "late", "cross"])
def test_a_look_draws_no_random_number_and_leaves_training_on(kind):
    model = shared(kind)
    pairs = DevSet("pairs", QUERIES, DOCUMENTS, {}, (("q0", "d1"), ("q1", "d2"), ("q2", "d0")), (0.1, 0.9, 0.4))
    model.train()
    before = torch.get_rng_state()
    try:
        found = evaluate_set(model, pairs, "nDCG@10")
        evaluate_set(model, RANKED, "nDCG@10")
        assert model.training
    finally:
        model.eval()
    assert torch.equal(torch.get_rng_state(), before)
    assert found.metric == "spearman"
    assert found.value == pytest.approx(spearmanr(found.predicted, pairs.scores).statistic)


def test_a_metric_that_there_is_not():
    with pytest.raises(InvalidInput):
        evaluate_set(shared("static"), RANKED, "nDGC@10")


def test_the_metric_is_known_to_be_none_before_anything_is_done(tmp_path):
    heard = []
    with pytest.raises(InvalidInput) as caught:
        fit(toy(tmp_path, dev={"metric": "nDGC@10"}), progress=heard.append)
    assert "nDGC@10" in caught.value.message
    assert heard == []
    assert not (tmp_path / "model.training").exists()
