"""Embedding adapters: fitted, chosen, measured, refused, saved and loaded."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, SpaceMismatch, StorageError
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.kernels.geometry import recall
from gnomon.migrate.adapter.files import load_adapter, save_adapter
from gnomon.migrate.adapter.fit import AdapterRefused, AdapterSettings, EmbeddingAdapter, fit_adapter
from gnomon.migrate.adapter.maps import (
    MAP_KINDS,
    MapTrainingSettings,
    VectorPairs,
    adapted_scores,
    add_hidden_layer,
    apply_map,
    fit_map,
    gradients,
    map_queries,
    train_ranked_map,
)
from support.adapter_spaces import NEW, OLD, OTHER, world

PAIRS = world(1500)
FEW = MapTrainingSettings(epochs=10, batch_size=128, learning_rate=3e-4)
SETTINGS = AdapterSettings(training=FEW, min_pairs=200)


@pytest.fixture(scope="module")
def adapter() -> EmbeddingAdapter:
    return fit_adapter(PAIRS.old, PAIRS.new, settings=SETTINGS)


@pytest.fixture(scope="module")
def old_index() -> ExactIndex:
    index = ExactIndex(OLD)
    index.add(np.arange(1500), PAIRS.old)
    return index


def test_recall_on_unseen_passages_is_as_measured(adapter: EmbeddingAdapter) -> None:
    """Among passages that it was not fitted on, as many as it was measured with."""
    asked, unseen = world(100, seed=5), world(300, seed=6)
    truth = asked.new.data @ unseen.new.data.T
    found = adapted_scores(adapter.arrays, asked.new.data, unseen.old)
    share = recall(found, truth, 10).mean()
    assert share > 0.6
    # What it said of itself holds for texts that it has not seen.
    assert adapter.quality.low - 0.05 < share < adapter.quality.high + 0.05
    assert adapter.quality.recall > adapter.quality.old_model
    assert adapter.quality.of_passages
    assert (adapter.quality.passages, adapter.quality.pairs) == (300, 1500)
    assert set(adapter.quality.tried) == set(MAP_KINDS)


def test_quality_is_measured_on_held_out_passages() -> None:
    """Hardly more pairs than dimensions: what was fitted comes out well, all else badly."""
    few = PAIRS.take(np.arange(250))
    found = fit_adapter(few.old, few.new, settings=replace(SETTINGS, kinds=("scores",), min_recall=0))
    asked = world(200, seed=5).new.data
    seen = recall(adapted_scores(found.arrays, asked, few.old), asked @ few.new.data.T, 10).mean()
    unseen = world(50, seed=6)
    true = recall(adapted_scores(found.arrays, asked, unseen.old), asked @ unseen.new.data.T, 10).mean()
    assert found.quality.passages == 50
    assert abs(found.quality.recall - true) < 0.08
    assert seen > 0


def test_the_map_with_the_highest_recall_is_chosen(adapter: EmbeddingAdapter) -> None:
    assert adapter.kind == max(adapter.quality.tried, key=lambda kind: adapter.quality.tried[kind])
    alone = fit_adapter(PAIRS.old, PAIRS.new, settings=replace(SETTINGS, kinds=("rotation",), min_recall=0))
    assert alone.kind == "rotation"
    assert set(alone.arrays) == {"weights", "offset", "mean"}


def test_scores_are_calibrated_to_the_new_model(adapter: EmbeddingAdapter, old_index: ExactIndex) -> None:
    asked = world(100, seed=6)
    truth = asked.new.data @ PAIRS.new.data.T
    found = adapter.search(old_index, asked.new, k=20)
    off = [ranking.scores - truth[row, ranking.ids] for row, ranking in enumerate(found)]
    assert abs(np.mean(off)) < 0.02
    assert np.abs(off).mean() < 0.05


def test_given_queries_choose_and_measure_the_map() -> None:
    asked = world(60, seed=8)
    found = fit_adapter(PAIRS.old, PAIRS.new, queries=asked, settings=SETTINGS)
    assert not found.quality.of_passages
    assert found.quality.queries == 30
    assert found.quality.pairs == 1500


def test_fitting_is_deterministic(adapter: EmbeddingAdapter) -> None:
    again = fit_adapter(PAIRS.old, PAIRS.new, settings=SETTINGS)
    assert again.quality == adapter.quality
    assert again.calibration == adapter.calibration
    for name, array in adapter.arrays.items():
        assert np.array_equal(array, again.arrays[name])


def test_pairs_of_different_texts_are_refused() -> None:
    mixed = PAIRS.new.take(np.random.default_rng(0).permutation(1500))
    with pytest.raises(AdapterRefused) as caught:
        fit_adapter(PAIRS.old, mixed, settings=SETTINGS)
    said = str(caught.value)
    assert "of what re-embedding finds" in said
    assert "1500 pairs" in said
    assert "the old model finds" in said
    assert "at least 50.0%, and more than the old model" in said
    assert "fit it on more pairs" in said


def test_an_adapter_below_the_required_recall_is_refused() -> None:
    with pytest.raises(AdapterRefused, match=r"at least 100\.0%"):
        fit_adapter(PAIRS.old, PAIRS.new, settings=replace(SETTINGS, min_recall=1.0))


def test_an_adapter_no_better_than_the_old_model_is_refused() -> None:
    # The new model is the old one under another name, with a map that can only lose.
    same = Vectors(PAIRS.old.data, OTHER)
    with pytest.raises(AdapterRefused, match=r"the old model finds 100\.0% of it"):
        fit_adapter(PAIRS.old, same, settings=replace(SETTINGS, min_recall=0.1))


@pytest.mark.parametrize(
    ("old", "new", "queries", "said"),
    [
        (PAIRS.old.take(range(100)), PAIRS.new.take(range(100)), None, "100 pairs of passages"),
        (PAIRS.old, PAIRS.new.take(range(1400)), None, "1500 old and 1400 new vectors"),
        (PAIRS.old, PAIRS.old, None, "both sides are of old"),
        (PAIRS.old, PAIRS.new, PAIRS.take(np.arange(5)), "5 queries"),
    ],
)
def test_unusable_pairs_and_queries_are_refused(
    old: Vectors, new: Vectors, queries: VectorPairs | None, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        fit_adapter(old, new, queries=queries, settings=SETTINGS)
    assert caught.value.expected


def test_euclidean_spaces_are_refused() -> None:
    flat = Space("d" * 64, 48, "euclidean", "float", "flat")
    with pytest.raises(InvalidInput, match="euclidean of flat"):
        fit_adapter(Vectors(PAIRS.old.data, flat), PAIRS.new, settings=SETTINGS)


def test_dot_product_spaces_are_supported() -> None:
    dot = Space("e" * 64, 48, "dot", "float", "dot")
    old = Vectors(PAIRS.old.data * np.linspace(0.9, 1.1, 1500)[:, None], dot)
    found = fit_adapter(old, PAIRS.new, settings=replace(SETTINGS, kinds=("scores",), min_recall=0.3))
    index = ExactIndex(dot)
    index.add(np.arange(1500), old)
    asked = world(50, seed=9)
    expected = adapted_scores(found.arrays, asked.new.data, old)
    for row, ranking in enumerate(found.search(index, asked.new, k=5)):
        assert ranking.ids.tolist() == np.argsort(-expected[row])[:5].tolist()
        assert (np.diff(ranking.scores) <= 0).all()


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InvalidInput, match="held_out_share 0, min_recall"):
        AdapterSettings(held_out_share=0)


def test_search_requires_the_old_index_and_new_queries(adapter: EmbeddingAdapter, old_index: ExactIndex) -> None:
    with pytest.raises(SpaceMismatch):
        adapter.search(old_index, PAIRS.old.take([0]), k=3)
    other = ExactIndex(OTHER)
    other.add(np.arange(10), Vectors(PAIRS.old.data[:10], OTHER))
    with pytest.raises(SpaceMismatch):
        adapter.search(other, PAIRS.new.take([0]), k=3)


def test_a_query_that_maps_to_zero_still_finds_passages(adapter: EmbeddingAdapter, old_index: ExactIndex) -> None:
    empty = replace(adapter, arrays={**{n: np.zeros_like(a) for n, a in adapter.arrays.items()}})
    found = empty.search(old_index, PAIRS.new.take([0]), k=3)
    assert len(found[0]) == 3
    assert np.isfinite(found[0].scores).all()


@pytest.mark.parametrize("hidden", [{}, {"into": (64, 5), "bias": 5, "out": (5, 48)}])
def test_gradients_match_finite_differences(hidden: dict[str, Any]) -> None:
    draws = np.random.default_rng(0)
    new, old = PAIRS.new.data[:40].astype(np.float64), PAIRS.old.data[:40].astype(np.float64)
    sizes = {"weights": (64, 48), "offset": 48, **hidden}
    values = {name: 0.3 * draws.normal(size=size) for name, size in sizes.items()}

    def loss() -> float:
        made = new @ values["weights"] + values["offset"]
        if hidden:
            made = made + np.maximum(new @ values["into"] + values["bias"], 0) @ values["out"]
        goal, found = new @ new.T / 0.1, made @ old.T / 0.1
        logs = []
        for scores in (goal, found):
            np.fill_diagonal(scores, -1e9)
            top = scores - scores.max(1, keepdims=True)
            logs.append(top - np.log(np.exp(top).sum(1, keepdims=True)))
        return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum() / len(new))

    found = gradients(values, new, old, temperature=0.1)
    for name, value in values.items():
        at = tuple(draws.integers(0, size) for size in value.shape)
        before = value[at]
        value[at] = before + 1e-5
        above = loss()
        value[at] = before - 1e-5
        below = loss()
        value[at] = before
        assert found[name][at] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-8), name


def test_training_improves_on_the_rotation() -> None:
    unseen, asked = world(300, seed=6), world(100, seed=5).new.data
    truth = asked @ unseen.new.data.T
    shares = {
        kind: recall(adapted_scores(fit_map(kind, PAIRS, FEW), asked, unseen.old), truth, 10).mean()
        for kind in ("rotation", "ranked", "residual")
    }
    assert shares["ranked"] > shares["rotation"] + 0.02
    assert shares["residual"] > shares["rotation"] + 0.02


def test_a_hidden_layer_starts_at_zero_and_learns_a_nonlinear_map() -> None:
    # Half the angle: no matrix takes one to the other.
    angles = np.random.default_rng(3).uniform(0.3, 2.8, 1200)[:, None]
    new, old = (np.hstack([np.cos(each), np.sin(each)]).astype(np.float32) for each in (2 * angles, angles))
    start = {"weights": np.eye(2), "offset": np.zeros(2)}
    settings = MapTrainingSettings(epochs=20, learning_rate=1e-2, temperature=0.1, hidden=32)
    plain = train_ranked_map(new[:1000], old[:1000], start, settings=settings)
    begun = add_hidden_layer(plain, settings)
    np.testing.assert_array_equal(apply_map(begun, new), apply_map(plain, new))
    learnt = train_ranked_map(new[:1000], old[:1000], begun, settings=settings)
    truth = new[1000:] @ new[1000:].T
    shares = [recall(apply_map(one, new[1000:]) @ old[1000:].T, truth, 10).mean() for one in (plain, learnt)]
    assert shares[1] > shares[0] + 0.05, shares


def test_a_residual_adapter_is_saved_and_loaded(tmp_path: Path) -> None:
    settings = AdapterSettings(kinds=("residual",), training=FEW, min_recall=0, min_pairs=100)
    made = fit_adapter(PAIRS.old, PAIRS.new, settings=settings)
    save_adapter(made, tmp_path / "adapter")
    again = load_adapter(tmp_path / "adapter")
    assert (again.kind, set(again.arrays)) == ("residual", set(made.arrays))


def test_the_scores_map_correlates_with_true_scores() -> None:
    arrays = fit_map("scores", PAIRS, FEW)
    asked = world(30, seed=4).new.data
    guessed = map_queries(arrays, asked) @ PAIRS.old.data.T
    true = asked @ PAIRS.new.data.T
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(guessed, true, strict=True)]
    assert min(correlations) > 0.8


def test_an_adapter_is_saved_and_loaded(adapter: EmbeddingAdapter, old_index: ExactIndex, tmp_path: Path) -> None:
    path = tmp_path / "to-new.adapter"
    save_adapter(adapter, path)
    again = load_adapter(path)
    assert (again.old, again.new, again.kind, again.calibration) == (OLD, NEW, adapter.kind, adapter.calibration)
    assert again.quality == adapter.quality
    asked = PAIRS.new.take([3, 4])
    for a, b in zip(adapter.search(old_index, asked, k=9), again.search(old_index, asked, k=9), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        assert a.scores.tolist() == b.scores.tolist()
    assert [one.name for one in tmp_path.iterdir()] == ["to-new.adapter"]


def test_damaged_and_foreign_files_are_refused(adapter: EmbeddingAdapter, tmp_path: Path) -> None:
    path = tmp_path / "adapter"
    with pytest.raises(StorageError, match="cannot be read"):
        load_adapter(path)
    save_adapter(adapter, path)
    whole = path.read_bytes()
    for broken in (b"", b"text", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(InvalidInput, match="is no embedding adapter"):
            load_adapter(path)
    for changed in ({"weights": np.zeros((2, 2))}, {"offset": np.full(48, np.nan)}, {"evil": np.zeros(1)}):
        _written(path, adapter, changed)
        with pytest.raises(InvalidInput, match="is no embedding adapter"):
            load_adapter(path)
    _written(path, adapter, {"weights": np.array([object()])})  # a pickle is not opened
    with pytest.raises(InvalidInput, match="is no embedding adapter"):
        load_adapter(path)


def _written(path: Path, adapter: EmbeddingAdapter, changed: dict[str, np.ndarray]) -> None:
    save_adapter(adapter, path)
    with np.load(path) as kept:
        arrays = {name: kept[name] for name in kept.files}
    assert json.loads(str(arrays["about"]))["format"] == "gnomon-adapter-2"
    buffer = io.BytesIO()
    np.savez(buffer, **{**arrays, **changed})
    path.write_bytes(buffer.getvalue())


def test_saving_to_a_missing_folder_is_a_storage_error(adapter: EmbeddingAdapter, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        save_adapter(adapter, tmp_path / "none" / "adapter")
