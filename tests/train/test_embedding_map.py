"""The embedding map of a run: its tracked texts, their vectors stage by stage, pictures, two seeds."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.vectors import Vectors
from gnomon.encode import load_encoder
from gnomon.kernels.geometry import alignment, neighbour_overlap, principal_plane, uniformity
from gnomon.train.data.source import listed_source
from gnomon.train.evaluation import DevSet
from gnomon.train.fit import fit
from gnomon.train.prepare import prepare
from gnomon.train.recipe.recipe import Recipe, read_recipe
from gnomon.train.report.embedding_map import (
    MAP_FILE,
    EmbeddingMap,
    MapRecorder,
    TrackedTexts,
    choose_texts,
    is_recorded,
    read_map,
)
from gnomon.train.report.map_plot import EmbeddingPlane, draw_animation, draw_curve, draw_map
from support.tiny_backbones import TEXTS, tiny
from support.training_recipes import NEW, WORDS, pairs, write_rows


def source(count: int = 60) -> Any:
    return listed_source([(TEXTS[at], TEXTS[at + 1]) for at in range(0, 2 * count, 2)])


def tracked() -> TrackedTexts:
    found = choose_texts([], [source()], anchors=3)
    assert found is not None
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 5))
def test_alignment_and_uniformity_beside_loops(seed: int, count: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(2, count, dim))
    one, other = ([row / np.sqrt((row**2).sum()) for row in rows] for rows in (left, right))
    squares = [((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)]
    assert alignment(left, right) == pytest.approx(sum(squares) / count)
    apart = [np.exp(-2 * ((one[i] - one[j]) ** 2).sum()) for i in range(count) for j in range(i)]
    assert uniformity(left) == pytest.approx(np.log(sum(apart) / len(apart)), abs=1e-9)


def test_a_turned_space_has_the_same_neighbours_and_plane_up_to_signs() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert neighbour_overlap(rows, rows @ turn) == 1.0
    assert neighbour_overlap(rows, rng.normal(size=(40, 6))) < 0.5
    points, share = principal_plane(rows)
    again, same = principal_plane(rows @ turn)
    np.testing.assert_allclose(np.abs(points), np.abs(again), atol=1e-9)
    assert share == pytest.approx(same)
    assert share == pytest.approx(points.var(axis=0).sum() / rows.var(axis=0).sum())


def test_the_stages_of_a_run() -> None:
    assert [step for step in range(4) if is_recorded(step, 3)] == [0, 1, 2, 3]
    for steps in (8, 9, 100, 1237):
        seen = [step for step in range(steps + 1) if is_recorded(step, steps)]
        assert (len(seen), seen[0], seen[-1]) == (9, 0, steps)


def test_the_texts_tracked_of_a_dev_set() -> None:
    dev = DevSet(
        "dev",
        {"q1": "red apple pie", "q2": "blue whale song", "none": "green tea"},
        {"d1": "an apple", "d2": "a red car", "d3": "whales sing", "d4": "blue paint", "d5": "red apple pie"},
        {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 2}, "none": {"d4": 0}},
    )
    found = choose_texts([dev], [source()], anchors=5)
    assert found is not None
    assert found.queries == ("red apple pie", "blue whale song")
    texts = [
        ([found.documents[d] for d in a.positives], {found.documents[d] for d in a.negatives}) for a in found.anchors
    ]
    # d5 is the first query itself: no negative of it, though BM25 finds it first.
    assert texts == [(["an apple"], {"a red car"}), (["whales sing"], {"blue paint"})]
    assert [(found.queries[q], found.documents[d]) for q, d in found.pairs] == [
        ("red apple pie", "an apple"),
        ("blue whale song", "whales sing"),
    ]


def test_pairs_with_scores_belong_together_where_they_score_high() -> None:
    dev = DevSet(
        "sts",
        {"q0": "a cat sleeps", "q1": "a man runs", "q2": "rain falls"},
        {"d0": "the cat is asleep", "d1": "a man cooks", "d2": "it is raining"},
        pairs=(("q0", "d0"), ("q1", "d1"), ("q2", "d2")),
        scores=(4.8, 1.0, 4.0),
    )
    found = choose_texts([dev], [], anchors=2)
    assert found is not None
    assert found.queries == ("a cat sleeps",)
    assert found.anchors[0].positives == (0,)


def test_nothing_to_follow() -> None:
    assert choose_texts([], [source()], anchors=0) is None
    assert choose_texts([DevSet("empty", {"q": "what"}, {"d": " "}, {"q": {"d": 1}})], [], anchors=3) is None


@pytest.mark.parametrize("kind", ["bi", "dual", "late", "static"])
def test_looking_draws_no_random_number_and_leaves_the_model(kind: Any, tmp_path: Path) -> None:
    model = tiny(kind, **({} if kind == "bi" else {"dim": 16})).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    recorder = MapRecorder(tracked(), tmp_path / MAP_FILE)
    other = {name: torch.zeros_like(t) + 0.1 for name, t in before.items()} if kind == "static" else {}
    recorder.record(model, 0, of=8, weights={})
    recorder.record(model, 1, of=8, weights=other)
    assert torch.rand(1) == expected
    assert model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    seen = read_map(tmp_path / MAP_FILE)
    assert seen is not None
    assert seen.steps == (0, 1)
    np.testing.assert_allclose(np.linalg.norm(seen.documents, axis=2), 1, atol=1e-5)
    assert np.array_equal(seen.documents[0], seen.documents[1]) == (not other)


def moving(stages: int = 5) -> EmbeddingMap:
    """Random vectors that walk to their anchors."""
    what = tracked()
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(len(what.queries), 12))
    documents = rng.normal(size=(len(what.documents), 12))
    found = []
    for stage in range(stages):
        now = documents.copy()
        for query, document in what.pairs:
            now[document] += stage * queries[query]
        found.append(now / np.linalg.norm(now, axis=1, keepdims=True))
    asked = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return EmbeddingMap(what, tuple(range(stages)), np.stack([asked] * stages), np.stack(found))


def test_the_curve_and_the_cosines_say_what_happened() -> None:
    seen = moving()
    aligned = [value for _, value, _ in seen.curve()]
    assert aligned == sorted(aligned, reverse=True)
    assert aligned[-1] < 0.5 * aligned[0]
    assert seen.cosines(4)[0] > 0.9 > 0.5 > seen.cosines(0)[0]
    pairs = np.array(seen.tracked.pairs)
    assert aligned[0] == pytest.approx(alignment(seen.queries[0][pairs[:, 0]], seen.documents[0][pairs[:, 1]]))


def test_one_plane_for_all_stages() -> None:
    seen = moving()
    plane = EmbeddingPlane.of(seen)
    assert 0 < plane.share < 1
    shown = {d for a in seen.tracked.anchors for d in (*a.positives, *a.negatives)}
    hidden = [d for d in range(len(seen.tracked.documents)) if d not in shown]
    assert np.isnan(plane.documents[:, hidden]).all()
    assert np.isfinite(plane.documents[:, sorted(shown)]).all()
    # Texts that did not move stay where they are.
    asked = [a.query for a in seen.tracked.anchors]
    np.testing.assert_allclose(plane.queries[0][asked], plane.queries[-1][asked], atol=1e-9)


def test_pictures(tmp_path: Path) -> None:
    from PIL import Image

    seen = moving()
    first = replace(seen.tracked, queries=("costs $5\nor $6_a, Ωmega 漢字", *seen.tracked.queries[1:]))
    seen = replace(seen, tracked=first, ended=True)
    for draw, name, limit in ((draw_map, "m.png", 200_000), (draw_curve, "c.png", 200_000)):
        path = draw(seen, tmp_path / name)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < limit
    with Image.open(draw_animation(seen, tmp_path / "m.gif")) as moved:
        assert moved.n_frames == 4 * 3 + 1  # type: ignore[attr-defined]
    assert (tmp_path / "m.gif").stat().st_size < 500_000
    one = replace(seen, steps=(0,), queries=seen.queries[:1], documents=seen.documents[:1], ended=False)
    assert draw_map(one, tmp_path / "one.png").is_file()
    assert draw_animation(one, tmp_path / "one.gif").is_file()


def test_a_damaged_file_is_no_file(tmp_path: Path) -> None:
    assert read_map(tmp_path / MAP_FILE) is None
    (tmp_path / MAP_FILE).write_bytes(b"PK\x03\x04 cut off")
    assert read_map(tmp_path / MAP_FILE) is None


def recipe(folder: Path, name: str, *, seed: int = 0, **tables: Any) -> Recipe:
    rows = folder / "pairs.jsonl"
    if not rows.is_file():
        write_rows(rows, pairs(160))
    plain: dict[str, dict[str, Any]] = {
        "model": {"kind": "bi", "new": {**NEW, "seed": seed}, "vocabulary": 300, "seed": seed},
        "data": {"sources": [{"path": str(rows)}]},
        "optim": {"batch_size": 16, "steps": 12, "epochs": 2, "lr": 3e-3, "seed": seed},
        "output": {"folder": str(folder / name), "checkpoint_every": 4},
    }
    for table, more in tables.items():
        plain[table] = {**plain.get(table, {}), **more}
    return read_recipe(plain)


@pytest.mark.slow
def test_a_resumed_run_has_seen_the_same(tmp_path: Path) -> None:
    fit(recipe(tmp_path, "whole"))
    asked = iter([False] * 6 + [True])
    assert fit(recipe(tmp_path, "cut"), stop=lambda: next(asked)).end == "interrupted"
    assert not (tmp_path / "cut.training" / "embedding-map.png").exists()
    fit(recipe(tmp_path, "cut"))
    whole, cut = (read_map(tmp_path / f"{name}.training" / MAP_FILE) for name in ("whole", "cut"))
    assert whole is not None
    assert cut is not None
    assert whole.steps == cut.steps == (0, 2, 3, 5, 6, 8, 9, 11, 12, 12)
    assert whole.ended
    assert np.array_equal(whole.queries, cut.queries)
    assert np.array_equal(whole.documents, cut.documents)
    aligned = [value for _, value, _ in whole.curve()]
    assert aligned[-1] < aligned[0]
    page = (tmp_path / "cut.training" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 3
    assert "What training did to a few texts" in page
    for name in ("embedding-map.png", "embedding-map.gif", "alignment.png"):
        assert (tmp_path / "cut.training" / name).is_file()


@pytest.mark.parametrize("tables", [{"dev": {"map": 0}}, {"model": {"kind": "cross"}}])
def test_runs_of_which_nothing_is_seen(tables: Any, tmp_path: Path) -> None:
    (tmp_path / "model.training").mkdir()
    (tmp_path / "model.training" / MAP_FILE).write_bytes(b"of a run before")
    fit(recipe(tmp_path, "model", **tables), resume=False)
    assert not (tmp_path / "model.training" / MAP_FILE).exists()
    page = (tmp_path / "model.training" / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 1


def test_map_is_a_small_number() -> None:
    with pytest.raises(InvalidInput, match=r"map = 9[\s\S]*0 to 8 queries"):
        read_recipe({"data": {"sources": [{"path": "x.jsonl"}]}, "dev": {"map": 9}})


def by_topic(count: int, seed: int) -> list[str]:
    """Texts of four words each, of one of ten topics in turn; topics share no word."""
    rng = random.Random(seed)
    topics = [WORDS[at : at + 12] for at in range(0, 120, 12)]
    return [" ".join(rng.choices(topics[number % 10], k=4)) for number in range(count)]


def test_two_seeds_agree_on_neighbours_and_on_no_coordinate(tmp_path: Path) -> None:
    """Meaning is in the distances, not in the axes: hence a space's fingerprint, and SpaceMismatch."""
    rows = zip(by_topic(200, 1), by_topic(200, 2), strict=True)
    write_rows(tmp_path / "pairs.jsonl", [{"query": q, "positive": d} for q, d in rows])
    texts = by_topic(100, 3)
    starts, ends = [], []
    for seed in (1, 2):
        table = {"kind": "static", "dim": 16, "new": {"seed": seed}}
        optim = {"lr": 0.1, "steps": 100, "epochs": 10}
        wanted = recipe(tmp_path, f"seed{seed}", seed=seed, model=table, optim=optim, dev={"map": 0})
        prepare(wanted).model.save(tmp_path / f"start{seed}")
        folders = tmp_path / f"start{seed}", Path(fit(wanted).folder)
        for folder, found in zip(folders, (starts, ends), strict=True):
            found.append(load_encoder(folder).encode(texts, role="document"))
    before, after = (neighbour_overlap(one.data, other.data) for one, other in (starts, ends))
    assert after > before + 0.1
    assert after > 0.6
    assert abs(float((ends[0].data * ends[1].data).sum(axis=1).mean())) < 0.3
    with pytest.raises(SpaceMismatch, match="same dimensions, which says nothing"):
        Vectors.concatenate(ends)
