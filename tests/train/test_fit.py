"""What a run promises beside its resuming: the weights that are kept, the rates, kinds and objectives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gnomon
from gnomon.core.errors import InvalidInput
from gnomon.encode.load import load_scorer
from gnomon.train import fit, load_model
from gnomon.train.checkpoint import read_checkpoint
from gnomon.train.loop import read_log
from gnomon.train.optim import LearningRateSchedule
from gnomon.train.step import TrainingDiverged
from support.training_recipes import judged, pairs, parallel, scored, toy, triplets, write_rows

WITHOUT_LOOKS = {"dev": []}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def after(steps):
    left = iter(range(steps - 1))
    return lambda: next(left, None) is None


def saved(report):
    return load_file(Path(report.folder) / "model.safetensors")


def kept(report, part):
    """A part of the last checkpoint, by the names that the model's folder has."""
    found = read_checkpoint(Path(report.training) / "checkpoints")
    return {name.removeprefix("tower.backbone.network."): t for name, t in found.part(part).items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def test_the_best_looks_weights_are_kept_and_patience_ends_the_run(tmp_path):
    # A rate that makes it better at first and spoils it soon.
    report = fit(toy(tmp_path, optim={"lr": 0.02, "epochs": 20}, dev={"every": 2, "patience": 3}))
    values = dict(report.evaluations)
    assert report.end == "early"
    assert report.steps == report.evaluations[-1][0] < 120
    assert values[report.best] == max(values.values())
    assert [step for step, _ in report.evaluations if step > report.best] == [report.best + 2 * n for n in (1, 2, 3)]
    assert report.gains[0].end == pytest.approx(values[report.best])
    own = saved(report)
    assert same(own, kept(report, "best"))
    assert not same(own, kept(report, "model"))


def test_the_mean_of_weights_is_what_is_looked_at_and_saved(tmp_path):
    report = fit(toy(tmp_path, data=WITHOUT_LOOKS, optim={"ema": 0.9}))
    own = saved(report)
    assert same(own, kept(report, "ema"))
    assert not same(own, kept(report, "model"))
    assert report.best == -1
    assert report.gains == ()


def test_between_the_start_and_the_end(tmp_path):
    report = fit(toy(tmp_path, data=WITHOUT_LOOKS, optim={"average": 0.25}))
    own, start, end = saved(report), kept(report, "start"), kept(report, "model")
    for name, tensor in own.items():
        torch.testing.assert_close(tensor, start[name] + 0.25 * (end[name] - start[name]))
    assert not same(own, start)


@pytest.mark.parametrize("shape", ["linear", "cosine", "constant"])
def test_rates_as_logged(shape, tmp_path):
    report = fit(toy(tmp_path, data=WITHOUT_LOOKS, optim={"epochs": 1, "steps": 5, "warmup": 0.4, "schedule": shape}))
    plan = LearningRateSchedule(5, 2, shape)
    rates = [row["lr"] for row in read_log(Path(report.training) / "log.jsonl")]
    # No step has a rate of 0: neither the first of the warm-up nor the last.
    assert rates == [1e-3 * plan.share(at) for at in (1, 2, 2, 3, 4)]
    assert min(rates) > 0


KINDS = {
    "bi": {},
    "dual": {"dim": 16},
    "late": {"dim": 16, "late": {"query_tokens": 8}},
    "static": {"dim": 16},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_from_random_weights_is_served(kind, tmp_path):
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer

    recipe = toy(tmp_path, model={"kind": kind, **KINDS[kind]}, optim={"epochs": 4, "lr": 5e-3})
    report = fit(recipe)
    served = gnomon.load_encoder(report.folder)
    assert report.kind == kind
    assert report.space["fingerprint"] == served.space.fingerprint
    (gain,) = report.gains
    assert gain.end == pytest.approx(
        report.evaluations[-1][1] if report.best < 0 else dict(report.evaluations)[report.best]
    )
    assert gain.verdict["metric"] == "nDCG@10"
    texts = [row["query"] for row in pairs(3, seed=1)]
    other = (MultiVectorEncoder if kind == "late" else SentenceTransformer)(report.folder, device="cpu")
    theirs = other.encode_query(texts)
    ours = served.encode(texts, role="query").data
    stacked = np.concatenate([np.asarray(rows) for rows in theirs]) if kind == "late" else theirs
    np.testing.assert_allclose(ours, stacked, atol=0.02)
    losses = [row["loss"] for row in read_log(Path(report.training) / "log.jsonl") if "loss" in row]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


@pytest.mark.parametrize("head", [None, "maxsim"])
def test_a_cross_encoder_is_served(head, tmp_path):
    from sentence_transformers import CrossEncoder

    path = write_rows(tmp_path / "triplets.jsonl", triplets(48))
    data = {"sources": [{"path": str(path)}]}
    objective = {"name": "triplet", "in_batch": False}
    model = {"kind": "cross"} if head is None else {"kind": "cross", "head": head}
    report = fit(toy(tmp_path, model=model, data=data, objective=objective))
    assert report.space is None
    rows = pairs(4, seed=1)
    other = CrossEncoder(report.folder, device="cpu", trust_remote_code=head is not None)
    scorer = load_scorer(report.folder)
    texts = [row["positive"] for row in rows]
    ours = scorer.score(rows[0]["query"], texts)
    np.testing.assert_allclose(ours, other.predict([(rows[0]["query"], t) for t in texts]), atol=0.02)


OBJECTIVES = {
    "cosent": (scored, {"name": "cosent"}),
    "cosine": (scored, {"name": "cosine"}),
    "contrastive": (triplets, {"name": "contrastive"}),
    "triplet": (triplets, {"name": "triplet"}),
    "triplets, infonce": (triplets, {"name": "infonce", "direction": "both", "hardness": 0.5}),
    "margin_mse": (judged, {"name": "margin_mse"}),
    "listwise_kl": (judged, {"name": "listwise_kl"}),
    "matryoshka": (pairs, {"name": "infonce", "matryoshka": {"dims": [0, 16, 8]}}),
    "layer_wise": (pairs, {"name": "infonce", "layer_wise": {"layers": [-1, -2], "dims": [0, 8]}}),
    "masked": (pairs, {"name": "infonce", "mask_false_negatives": {"threshold": 0.0, "against": "margin"}}),
}


@pytest.mark.parametrize(
    "objective", [{"name": "cosent"}, {"name": "contrastive"}, {"name": "infonce", "in_batch": False}]
)
def test_pairs_that_are_all_right_teach_nothing_and_are_refused(objective, tmp_path):
    with pytest.raises(InvalidInput, match=r"(?s)on pairs alone \(train\).*in_batch = true.*gnomon mine"):
        fit(toy(tmp_path, data=WITHOUT_LOOKS, objective=objective))
    fit(toy(tmp_path, data=WITHOUT_LOOKS, objective={**objective, "in_batch": True}, optim={"steps": 1}))


@pytest.mark.slow
@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_objective_by_recipe(name, tmp_path):
    rows, objective = OBJECTIVES[name]
    path = write_rows(tmp_path / "rows.jsonl", rows(64))
    data = {"sources": [{"path": str(path)}], "dev": []}
    report = fit(toy(tmp_path, data=data, objective=objective, model={"dropout": 0.0}, optim={"lr": 3e-3, "epochs": 5}))
    losses = [row["loss"] for row in read_log(Path(report.training) / "log.jsonl")]
    assert report.steps == len(losses) == 20
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


@pytest.mark.slow
def test_scored_pairs_are_looked_at_by_their_order(tmp_path):
    train = write_rows(tmp_path / "scored.jsonl", scored(80))
    dev = write_rows(tmp_path / "held.jsonl", scored(30, seed=8))
    data = {"sources": [{"path": str(train)}], "dev": [], "test": [{"path": str(dev)}]}
    report = fit(toy(tmp_path, data=data, objective={"name": "cosent"}, optim={"lr": 3e-3, "epochs": 6}))
    (gain,) = report.gains
    assert (gain.name, gain.split, gain.metric) == ("held", "test", "spearman")
    assert gain.low < gain.end - gain.start < gain.high
    assert report.evaluations == ()


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path):
    with pytest.raises(TrainingDiverged) as caught:
        fit(toy(tmp_path, optim={"lr": 1e30, "clip": 0.0, "warmup": 0.0}, output={"checkpoint_every": 1}))
    assert "train.jsonl:" in caught.value.message
    assert "lower learning rate" in caught.value.hint
    # The checkpoint whose weights made it is gone; the one before is good, and goes on with another rate.
    found = read_checkpoint(tmp_path / "model.training" / "checkpoints")
    assert found.step == 0
    assert all(torch.isfinite(t).all() for t in found.part("model").values())
    with pytest.raises(InvalidInput):
        fit(toy(tmp_path, optim={"epochs": 3}))
    assert fit(toy(tmp_path, optim={"lr": 1e-3}, output={"checkpoint_every": 1})).end == "done"


@pytest.mark.slow
def test_sentences_of_another_language_learn_a_teachers_vectors(tmp_path):
    static = {"kind": "static", "new": {"hidden": 32, "heads": 2}, "dim": 32, "vocabulary": 600}
    teacher = fit(toy(tmp_path / "teacher", model=static, optim={"epochs": 12, "lr": 0.03}))
    train = write_rows(tmp_path / "parallel.jsonl", parallel(400))
    dev = write_rows(tmp_path / "held.jsonl", parallel(30, seed=6))
    recipe = toy(
        tmp_path,
        model={**static, "teacher": teacher.folder},
        data={"sources": [{"path": str(train)}], "dev": [{"path": str(dev)}]},
        objective={"name": "cosine"},
        optim={"lr": 0.05, "epochs": 12, "batch_size": 32},
    )
    report = fit(recipe)
    # 400 rows are 800 examples: each sentence, and each translation.
    assert report.examples == pytest.approx(12 * 800, rel=0.05)
    assert report.data["teacher"] == teacher.space["fingerprint"]
    (gain,) = report.gains
    assert gain.end > gain.start + 0.3
    student, master = gnomon.load_encoder(report.folder), gnomon.load_encoder(teacher.folder)
    rows = parallel(30, seed=6)
    wanted = master.encode([row["source"] for row in rows], role="document").data
    for side in ("source", "translation"):
        made = student.encode([row[side] for row in rows], role="query").data
        assert np.mean(np.sum(made * wanted, axis=1)) > 0.6


@pytest.mark.slow
def test_a_teacher_wants_a_student_of_its_dimensions_where_cosines_are_learned(tmp_path):
    fit(toy(tmp_path / "teacher", optim={"steps": 1}, data=WITHOUT_LOOKS))
    folder = str(tmp_path / "teacher" / "model")
    with pytest.raises(InvalidInput) as caught:
        fit(toy(tmp_path / "other", model={"teacher": folder, "dim": 8}))
    assert caught.value.message == "a teacher of 32 dimensions, and a student of 8"
    assert caught.value.hint == "set dim = 32 in [model]"


def test_prompts_of_sources_alone_do_not_hinder_the_end(tmp_path):
    path = write_rows(tmp_path / "asked.jsonl", pairs(32))
    data = {"sources": [{"path": str(path), "prompts": {"query": "bar: "}}], "dev": []}
    report = fit(toy(tmp_path, data=data, optim={"steps": 2}))
    assert report.space is not None
    assert load_model(report.folder).prompts.texts == {"asked/query": "bar: "}


@pytest.mark.parametrize(
    ("kind", "objective", "came"),
    [
        ("bi", {"matryoshka": {"dims": [0, 64]}}, "dims = [64] for a model of 32 dimensions"),
        ("bi", {"layer_wise": {"layers": [-1, -5]}}, "layer -5 of a backbone of 2"),
        ("cross", {"matryoshka": {"dims": [0, 8]}}, "matryoshka or layer_wise, with a cross-encoder"),
    ],
)
def test_views_that_the_model_does_not_have_are_refused_at_once(kind, objective, came, tmp_path):
    heard = []
    with pytest.raises(InvalidInput) as caught:
        fit(toy(tmp_path, model={"kind": kind}, objective=objective), progress=heard.append)
    assert caught.value.message == came
    assert [now.stage for now in heard] == ["checking"]
