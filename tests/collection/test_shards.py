"""Shard files, the order in which they are passed on, and whose texts are whose: without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.collection.ingest.distributed.reader import ShardOrder
from gnomon.collection.ingest.distributed.shards import Manifest, Shard, ShardCounts, ShardStore
from gnomon.collection.ingest.distributed.tasks import Claims, ShardPlace, keys_of
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import IndexDamaged, UnreadableFile
from gnomon.core.file_stores import FileStore
from gnomon.core.locations import LINES, Location
from gnomon.testing.toys import HashEncoder, LateHashEncoder
from gnomon.text.parts import ChunkedDocument, FailedFile, FilePart, SourceFile
from gnomon.text.quality import QualityRemark


def part(*texts: str, path: str = "/docs/a.txt") -> FilePart:
    document = Document("a", "\n".join(texts), metadata={"year": 2020, "tags": ["x", None]}, locations=LINES)
    location = Location("line", 1, 2)
    chunks = [Chunk("a", n, 0, len(text), text, text, 3, ("h",), location) for n, text in enumerate(texts)]
    quality = (QualityRemark("mojibake", "odd"),)
    chunked = (ChunkedDocument(document, tuple(chunks)),)
    return FilePart(SourceFile(path, 9, 8, "ab", 7), chunked, remarks=("said",), quality=quality)


def shard(encoder: HashEncoder | LateHashEncoder, *texts: str) -> Shard:
    whole = part(*texts)
    hashes = tuple(chunk.text_hash for chunk in whole.documents[0].chunks)
    rows = encoder.encode(texts, role="document")
    vectors = rows.data if rows.starts is None else np.split(rows.data, rows.starts[1:])
    failed = FailedFile("/docs/b.pdf", UnreadableFile("broken", expected="a file", hint="mend it"))
    counts = ShardCounts(len(texts), 1, 12, 0.5)
    return Shard(encoder.space.fingerprint, (whole, failed), hashes, tuple(vectors), counts)


@pytest.mark.parametrize("encoder", [HashEncoder(16), LateHashEncoder(16)])
def test_a_shard_comes_back_and_no_changed_one_does(encoder: HashEncoder | LateHashEncoder, tmp_path: Path) -> None:
    store, made = ShardStore(FileStore(tmp_path / "new" / "folder")), shard(encoder, "one text", "word")
    assert store.names() == []
    store.write("a.shard", made)
    read = store.read("a.shard", encoder.space)
    assert (read.items[0], read.hashes, read.counts, read.space) == (
        made.items[0],
        made.hashes,
        made.counts,
        made.space,
    )
    assert isinstance(read.items[1], FailedFile)
    assert str(read.items[1].error) == str(made.items[1].error)  # type: ignore[union-attr]
    assert all(np.array_equal(one, other) for one, other in zip(read.vectors, made.vectors, strict=True))
    data = (tmp_path / "new" / "folder" / "a.shard").read_bytes()
    random = np.random.default_rng(0)
    for at in [0, len(data) - 1, *random.integers(len(data), size=20).tolist()]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(random.integers(8))
        for damaged in (bytes(flipped), data[:at]):
            with pytest.raises(IndexDamaged, match=r"the shard a\.shard was cut short or changed"):
                Shard.from_bytes(damaged, name="a.shard", space=encoder.space)


def test_a_manifest_names_the_shards_that_wait(tmp_path: Path) -> None:
    files, encoder = FileStore(tmp_path), HashEncoder(16)
    manifest = Manifest(files, {"model": "m"})
    assert manifest.earlier() == []
    for name in ("a.shard", "b.shard"):
        manifest.add(name, shard(encoder, name))
    manifest.remove(["a.shard"])
    assert Manifest(files, {}).earlier() == ["b.shard"]
    (tmp_path / "manifest.json").write_text("{")
    assert Manifest(files, {}).earlier() == []


def test_a_text_is_claimed_by_one_shard() -> None:
    hashes = [bytes([n]) * 32 for n in range(6)]
    claims = Claims()
    claims.add(keys_of(hashes[:2]))
    assert claims.claim("a", keys_of(hashes[:4])).tolist() == [False, False, True, True]
    assert claims.claim("b", keys_of(hashes[2:])).tolist() == [False, False, True, True]
    assert claims.claim("a", keys_of(hashes[:4])).tolist() == [False, False, True, True]  # tried again
    assert Claims().claim("c", keys_of(hashes)).all()
    assert [claims.claim("b", keys_of(hashes)) is None for _ in range(6)] == [False] * 4 + [True] * 2


@given(st.data())
def test_shards_are_passed_on_once_in_order_and_when_their_texts_are_known(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    places = [ShardPlace(g, i, i == size - 1, f"{g}.{i}") for g, size in enumerate(sizes) for i in range(size)]
    texts = {place: f"text {place.name}" for place in places}
    others = {place: data.draw(st.sampled_from(places)) for place in places}
    known: set[bytes] = set()
    order = ShardOrder(lambda hashes: not known.issuperset(hashes))
    passed: list[ShardPlace] = []

    def ready() -> Sequence[ShardPlace]:
        found = list(order.ready())
        for place in found:
            assert place.index == sum(one.group == place.group for one in passed)
            passed.append(place)
        return found

    encoder = HashEncoder(8)
    for place in data.draw(st.permutations(places)):
        assert not order.is_waiting(place)
        both = part(texts[place], texts[others[place]])
        own = both.documents[0].chunks[0].text_hash
        known.add(own)
        order.add(place, Shard(encoder.space.fingerprint, (both,), (own,)))
        for one in ready():
            needed = part(texts[one], texts[others[one]]).documents[0].chunks
            assert known.issuperset(chunk.text_hash for chunk in needed)
    assert sorted(passed, key=lambda place: place.name) == sorted(places, key=lambda place: place.name)
    assert all(order.is_complete(group) for group in range(len(sizes)))
    assert all(order.is_passed_on(place) for place in places)
