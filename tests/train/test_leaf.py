"""A small student of a teacher's vectors: trained without judgments, its vectors lie in the teacher's space."""

import json

import numpy as np
import pytest
import torch

import gnomon
from gnomon.core.budget import dollars
from gnomon.core.errors import CostLimitReached, InvalidInput
from gnomon.testing import HashEncoder
from gnomon.train.distillation import ridge
from gnomon.train.fit import fit
from gnomon.train.losses import make_loss
from gnomon.train.recipe.recipe import read_recipe
from gnomon.train.teacher_vectors import TeacherVectors
from support.metered_encoder import MeteredHashEncoder
from support.provider_server import KEY, provider_server
from support.training_recipes import pairs, toy, write_rows


class CountingEncoder(HashEncoder):
    """Writes down the texts of each call."""

    def __init__(self) -> None:
        super().__init__(8)
        self.calls: list[list[str]] = []

    def encode(self, texts, *, role):
        self.calls.append(list(texts))
        return super().encode(texts, role=role)


STATIC = {"kind": "static", "new": {"hidden": 32, "heads": 2}, "dim": 32, "vocabulary": 600}
LEAF = {"name": "embedding_regression"}


def test_the_loss_is_the_squared_distance_of_unit_vectors():
    rng = torch.Generator().manual_seed(0)
    made, wanted = (torch.nn.functional.normalize(torch.randn(5, 7, generator=rng), dim=1) for _ in range(2))
    labels = torch.full((5, 5), torch.nan).fill_diagonal_(1.0)
    found = make_loss("embedding_regression")(made @ wanted.T, labels)
    torch.testing.assert_close(found, (made - wanted).square().sum(1).mean())
    # (1, 0) and (0.6, 0.8) are 0.4^2 + 0.8^2 = 0.8 apart, equal ones 0: 0.4 on average; other cells say nothing.
    cosines = torch.tensor([[0.6, 9.0], [-7.0, 1.0]])
    assert float(make_loss("embedding_regression")(cosines, torch.eye(2))) == pytest.approx(0.4)


def test_ridge_regression_recovers_a_linear_map():
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 6, generator=rng).double()
    weight, bias = torch.randn(4, 6, generator=rng).double(), torch.randn(4, generator=rng).double()
    found, offset = ridge(inputs, inputs @ weight.T + bias, penalty=1e-9)
    torch.testing.assert_close(found, weight)
    torch.testing.assert_close(offset, bias)


def test_vectors_are_made_once_and_a_record_that_was_cut_off_again(tmp_path):
    encoder = CountingEncoder()
    kept = TeacherVectors(encoder, tmp_path)
    texts = [("query", "a whale"), ("document", "a whale"), ("document", "a teapot"), ("document", "a teapot")]
    kept.fill(texts)
    (file,) = tmp_path.glob("*.vectors")
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size - 3)
    again = TeacherVectors(encoder, tmp_path)
    found = again.encode(["a whale", "a teapot"], role="document")
    assert [text for call in encoder.calls for text in call] == ["a whale", "a whale", "a teapot", "a teapot"]
    np.testing.assert_array_equal(found.data, encoder.encode(["a whale", "a teapot"], role="document").data)


def test_a_providers_vectors_cost_once_and_no_more_than_allowed(tmp_path):
    encoder = MeteredHashEncoder()
    texts = [("document", f"text number {n}") for n in range(12)]
    count, cost = TeacherVectors(encoder, tmp_path).cost(texts)
    assert count == 12
    assert cost > 0
    with pytest.raises(CostLimitReached, match="nothing was sent"):
        TeacherVectors(encoder, tmp_path, max_cost=cost / 2).fill(texts)
    assert not encoder.server.sent
    heard = []
    TeacherVectors(encoder, tmp_path, max_cost=cost).fill(texts, progress=heard.append)
    assert heard[0].message == f"hash-64: vectors of 12 texts for about {dollars(cost)}"
    again = TeacherVectors(encoder, tmp_path, max_cost=0)
    again.fill(texts)
    assert len(encoder.server.sent) == 12
    assert again.cost(texts) == (0, 0.0)


def test_what_was_answered_before_a_provider_failed_is_kept(tmp_path):
    def fails_late(number):
        if number == 3:
            raise ConnectionError("gone")

    texts = [("document", f"text number {n}") for n in range(16)]
    broken = MeteredHashEncoder(before=fails_late, in_flight=1)
    with pytest.raises(ConnectionError):
        TeacherVectors(broken, tmp_path).fill(texts)
    answered = len(broken.server.sent)
    encoder = MeteredHashEncoder()
    TeacherVectors(encoder, tmp_path).fill(texts)
    assert 0 < answered < 16
    assert len(encoder.server.sent) == 16 - answered


def test_the_loss_wants_a_teacher_and_others_names_lead_to_it():
    with pytest.raises(InvalidInput, match="without a teacher"):
        read_recipe({"data": {"sources": [{"path": "a.jsonl"}]}, "objective": LEAF})
    with pytest.raises(InvalidInput) as caught:
        read_recipe({"data": {"sources": [{"path": "a.jsonl"}]}, "objective": {"name": "leaf"}})
    assert "embedding_regression" in str(caught.value.hint)


@pytest.mark.slow
def test_a_student_of_other_dimensions_comes_near_its_teacher(tmp_path):
    teacher = fit(toy(tmp_path / "teacher", model=STATIC, optim={"epochs": 6, "lr": 0.03}))
    held = [row["query"] for row in pairs(60, seed=8)]
    wanted = gnomon.load_encoder(teacher.folder).encode(held, role="query").data
    nearness = []
    for epochs in (1, 30):
        folder = tmp_path / f"student-{epochs}"
        student = {**STATIC, "dim": 16, "teacher": teacher.folder, "teacher_vectors": str(tmp_path / "vectors")}
        train = write_rows(tmp_path / "many.jsonl", pairs(400, seed=4))
        recipe = toy(
            folder,
            model=student,
            data={"sources": [{"path": str(train)}], "dev": []},
            objective=LEAF,
            optim={"epochs": epochs, "lr": 0.02},
        )
        report = fit(recipe)
        assert report.end == "done"
        made = gnomon.load_encoder(report.folder)
        assert made.space.dim == 32
        nearness.append(float((made.encode(held, role="query").data * wanted).sum(1).mean()))
    assert nearness[1] > nearness[0] + 0.05
    assert nearness[1] > 0.5
    assert report.data["teacher"] == teacher.space["fingerprint"]
    assert len(list((tmp_path / "vectors").iterdir())) == 1


@pytest.mark.slow
def test_a_run_that_stopped_ends_as_one_that_did_not(tmp_path):
    teacher = fit(toy(tmp_path / "teacher", model=STATIC, optim={"epochs": 2, "lr": 0.03}))
    model = {"teacher": teacher.folder, "teacher_vectors": str(tmp_path / "vectors")}
    whole = fit(toy(tmp_path / "whole", model=model, objective=LEAF))
    recipe, seen = toy(tmp_path / "cut", model=model, objective=LEAF), []
    cut = fit(recipe, stop=lambda: seen.append(1) or len(seen) >= 5)
    assert cut.end == "interrupted"
    assert fit(recipe).end == "done"
    texts = [row["query"] for row in pairs(10, seed=8)]
    one, other = (gnomon.load_encoder(folder).encode(texts, role="query").data for folder in (whole.folder, cut.folder))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_provider_as_the_teacher_is_asked_once_for_each_text(tmp_path, monkeypatch):
    with provider_server(dim=24) as server:
        monkeypatch.setenv("GNOMON_SERVER_KEY", KEY)
        model = {**STATIC, "dim": 16, "teacher": f"{server.url()}#toy", "teacher_vectors": str(tmp_path / "vectors")}
        optim = {"epochs": 1, "lr": 0.02}
        first = fit(toy(tmp_path / "first", model=model, objective=LEAF, optim=optim))
        assert first.end == "done"
        sent = sum(server.embedded.values())
        fit(toy(tmp_path / "second", model=model, objective=LEAF, optim=optim))
        own = [text for text, times in server.embedded.items() if times > 1 and text in json.dumps(pairs(96))]
        assert not own
        assert sum(server.embedded.values()) - sent < sent / 4
        assert not server.faults_seen
    assert gnomon.load_encoder(first.folder).space.dim == 24
