"""The map of a collection: kept on disk, stale, damaged, rebuilt; later chunks and queries placed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.map import CollectionMap, colour_bytes, points_bytes
from gnomon.map.fits import PrincipalFit, Stamp, UmapFit, fit_path, load_fit, save_fit
from gnomon.testing.toys import HashEncoder, LateHashEncoder

TOPICS = (
    "amber birch cedar delta ember fjord".split(),
    "grove heron inlet jetty kelp larch".split(),
    "mossy north otter pebble quartz reed".split(),
)


def documents(count: int, first: int = 0) -> list[dict[str, object]]:
    random = np.random.default_rng(first)
    return [
        {
            "id": f"d{number}",
            "text": " ".join(random.choice(TOPICS[number % 3], 6)),
            "metadata": {"topic": f"t{number % 3}", "year": 2000 + number, "day": f"2020-01-{number % 28 + 1:02d}"},
        }
        for number in range(first, first + count)
    ]


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as opened:
        opened.add(documents(60))
        yield opened


def derived(kb: Collection) -> Path:
    return kb.internals.folder / "derived" / "v0001"


def with_umap(kb: Collection) -> CollectionMap:
    """A map whose UMAP, here a circle, is on disk: the real one takes most of a minute to compile."""
    drawn = CollectionMap(kb)
    points = drawn.points()
    turn = np.linspace(0, 2 * np.pi, len(points))
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)
    fit = load_fit(derived(kb), PrincipalFit)
    assert fit is not None
    save_fit(derived(kb), UmapFit(fit.stamp, points.ids, circle))
    return drawn


def test_clusters_are_topics_with_their_words(tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        kb.add(documents(600))  # enough for three clusters
        state = CollectionMap(kb).state()
        assert [each.size for each in state.clusters] == [200, 200, 200]
        found = sorted(sorted(each.words) for each in state.clusters)
        assert found == sorted(map(sorted, TOPICS))


def test_another_process_reads_the_fit_and_an_equal_one_is_made_without_it(kb: Collection) -> None:
    points, file = CollectionMap(kb).points(), fit_path(derived(kb), PrincipalFit)
    written = file.stat().st_mtime_ns
    assert np.array_equal(CollectionMap(kb).points().positions, points.positions)
    assert file.stat().st_mtime_ns == written
    file.unlink()
    again = CollectionMap(kb).points()
    assert np.array_equal(again.positions, points.positions)
    assert np.array_equal(again.clusters, points.clusters)


@pytest.mark.parametrize("damage", ["cut", "noise", "shapes", "space", "history"])
def test_a_fit_that_cannot_be_used_is_made_anew(kb: Collection, damage: str) -> None:
    before = CollectionMap(kb).points()
    file = fit_path(derived(kb), PrincipalFit)
    fit = load_fit(derived(kb), PrincipalFit)
    assert fit is not None
    values = {name: getattr(fit, name) for name in fit.__dataclass_fields__}
    stamp = {name: getattr(fit.stamp, name) for name in fit.stamp.__dataclass_fields__}
    other = {"space": {"space": "another"}, "history": {"nonce": stamp["nonce"] + 1}}.get(damage)
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "noise":
        file.write_bytes(b"\xff" * 500)
    elif other is not None:
        save_fit(
            derived(kb),
            PrincipalFit(**{**values, "stamp": Stamp(**{**stamp, **other}), "positions": fit.positions + 1}),
        )
    else:
        save_fit(derived(kb), PrincipalFit(**{**values, "clusters": fit.clusters[:-1]}))
    assert np.array_equal(CollectionMap(kb).points().positions, before.positions)


def test_later_chunks_are_placed_and_many_make_a_new_fit(kb: Collection) -> None:
    drawn = with_umap(kb)
    kb.add({"id": "twin", "text": kb.text("d0")})
    kb.remove("d1")
    for projection in ("pca", "umap"):
        points = drawn.points(projection)
        assert len(points) == 60
        assert points.placed == 1
        assert np.allclose(points.positions[-1], points.positions[0], atol=1e-4)  # where its equal stands
        assert points.clusters[-1] == points.clusters[0]
    kb.add(documents(40, first=100))
    assert drawn.state().projections[0].placed == 0
    assert drawn.state().projections[1].placed == 41


def test_a_query_stands_where_an_equal_document_does(kb: Collection) -> None:
    drawn = with_umap(kb)
    texts = [kb.text(f"d{number}") or "" for number in range(60)]
    alone = next(
        at for at, own in enumerate(texts) if kb.search(own, mode="dense", k=2, collapse=False)[1].score < 0.99
    )
    text = texts[alone]
    for projection in ("pca", "umap"):
        placed, points = drawn.place(text, projection, k=3), drawn.points(projection)
        assert placed.hits[0].document == f"d{alone}"
        assert len(placed.hits) == 3
        assert np.allclose(placed.position, points.positions[alone], atol=1e-3)
        assert np.array_equal(placed.positions[0], points.positions[alone])


def test_a_projection_that_is_not_there_is_refused(kb: Collection) -> None:
    drawn = CollectionMap(kb)
    with pytest.raises(InvalidInput, match="not there yet"):
        drawn.points("umap")
    with pytest.raises(InvalidInput, match="'tsne'"):
        drawn.points("tsne")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="an empty query"):
        drawn.place(" ")


def test_an_empty_collection_has_an_empty_map(tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:
        drawn = CollectionMap(kb)
        state = drawn.state()
        assert (state.points, state.clusters, state.projections[1].state) == (0, (), "unavailable")
        assert len(points_bytes(drawn.points())) < 400
        kb.add(documents(1))
        assert drawn.state().points == 1


def test_late_interaction_is_drawn_by_the_means_of_its_vectors(tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=LateHashEncoder(32)) as kb:
        kb.add(documents(60))
        drawn = with_umap(kb)
        for projection in ("pca", "umap"):
            placed = drawn.place(str(kb.text("d7")), projection, k=3)
            assert [int(hit.document[1:]) % 3 for hit in placed.hits] == [1, 1, 1]  # of the same topic
            assert np.isfinite(placed.position).all()
        nearest = drawn.neighbours(3)[0]
        assert (nearest % 3 == np.arange(60)[:, None] % 3).mean() > 0.9


def test_neighbours_are_the_nearest_others(kb: Collection) -> None:
    drawn = CollectionMap(kb)
    nearest, distances = drawn.neighbours(4)
    table = kb.to_arrow("chunks", vectors=True)
    rows = np.stack(table.column("vector").to_numpy())
    true = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(true, np.inf)
    assert not (nearest == np.arange(60)[:, None]).any()
    assert np.allclose(distances, np.sort(true, axis=1)[:, :4], atol=1e-3)


def test_the_bytes_of_points_say_where_and_what_they_are(kb: Collection) -> None:
    points = CollectionMap(kb).points()
    header, columns = unpacked(points_bytes(points))
    assert header["points"] == 60
    assert np.array_equal(columns["ids"], points.ids)
    assert np.array_equal(columns["clusters"], points.clusters)
    at = columns["positions"].reshape(-1, 2) * header["scale"] + [header["left"], header["bottom"]]
    assert np.abs(at - points.positions).max() <= header["scale"] / 2 * 1.01


def test_colours_are_numbers_days_or_the_most_frequent_categories(kb: Collection) -> None:
    kb.add([{"id": "none", "text": "amber"}, {"id": "list", "text": "kelp", "metadata": {"topic": ["t2", "t0"]}}])
    drawn = CollectionMap(kb)
    assert [each.name for each in drawn.colour_fields()] == ["day", "topic", "year", "media_type"]
    topics, points = drawn.colours("topic")
    assert topics.categories == ("t2", "t0", "t1")
    assert topics.values[-2:].tolist() == [255, 0]
    header, columns = unpacked(colour_bytes(topics, points))
    assert header["categories"] == ["t2", "t0", "t1"]
    assert np.array_equal(columns["values"], topics.values)
    years, days = drawn.colours("year")[0], drawn.colours("day")[0]
    assert (years.kind, years.values[3], np.isnan(years.values[-1])) == ("number", 2003, True)
    assert (days.kind, days.values[1]) == ("date", 18263)
    kb.add([{"id": f"c{n}", "text": "reed", "metadata": {"topic": f"c{n:02d}"}} for n in range(25)])
    many = drawn.colours("topic")[0]
    assert len(many.categories) == 20
    assert many.categories[-1] == "(others)"
    assert int(many.values[-1]) == 19
    with pytest.raises(InvalidInput, match="the field 'nothing'"):
        drawn.colours("nothing")


def test_texts_of_points_are_short_and_in_order(kb: Collection) -> None:
    kb.add({"id": "long", "title": "Long", "text": "incomprehensibilities " * 14})
    ids = CollectionMap(kb).points().ids.tolist()
    found = CollectionMap(kb).texts([ids[-1], ids[0], 10**9])
    assert [each.document for each in found] == ["long", "d0"]
    assert found[0].title == "Long"
    assert len(found[0].snippet) <= 241
    assert found[0].snippet.endswith("ties…")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_umap_is_fitted_by_another_process(kb: Collection) -> None:
    import time

    drawn = CollectionMap(kb)
    assert drawn.state().projections[1].state == "missing"
    assert drawn.start_umap()
    assert not drawn.start_umap()
    assert CollectionMap(kb).state().projections[1].state in ("computing", "missing")
    for _ in range(10_000):
        if (umap := drawn.state().projections[1]).state != "computing":
            break
        time.sleep(0.1)
    assert umap.state == "ready", umap.reason
    points = drawn.points("umap")
    near = np.linalg.norm(points.positions[:, None] - points.positions[None], axis=2)
    np.fill_diagonal(near, np.inf)
    assert (near.argmin(axis=1) % 3 == np.arange(60) % 3).mean() > 0.9  # of the same topic


def unpacked(data: bytes) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    import json

    length = int.from_bytes(data[:4], "little")
    header, body = json.loads(data[4 : 4 + length]), data[4 + length :]
    columns = {}
    for each in header["columns"]:
        count = header["points"] * each["width"]
        columns[each["name"]] = np.frombuffer(body, each["type"], count, each["offset"])
    return header, columns
