"""A sparse encoder beside a collection's dense one: a third list, kept up to date and rebuilt like the others."""

import shutil

import numpy as np
import pytest

import gnomon
from gnomon.collection.settings import CollectionSettings, RetrievalSettings
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.doctor import examine
from gnomon.retrieve import FuseSettings, SparseSettings
from gnomon.testing import HashEncoder, SparseHashEncoder

ON_BOTH = True

DOCS = [
    {"id": f"d{n}", "text": f"document {n} about {word} and {word}"} for n, word in enumerate("ab cd ef gh ij".split())
]


def opened(folder, *, sparse=None, **more):
    return gnomon.open(folder, encoder=HashEncoder(), sparse_encoder=sparse or SparseHashEncoder(), **more)


def found(kb, text, mode="sparse", **more):
    return [hit.document for hit in kb.search(text, mode=mode, **more)]


def test_a_third_list_that_follows_the_documents(place, tmp_path):
    with opened(place) as kb:
        kb.add(DOCS)
        assert found(kb, "ef")[0] == "d2"
        assert set(kb.search("ef", mode="hybrid")[0].stages) == {"dense", "lexical", "sparse"}
        kb.add({"id": "new", "text": "ef ef ef"})
        kb.remove("d2")
        assert found(kb, "ef") == ["new"]
        assert found(kb, "about", where="id = 'd3'") == ["d3"]
    with opened(place) as kb:
        assert found(kb, "ef") == ["new"]
        assert [each.name for each in kb.status().derived] == ["dense", "lexical", "sparse"]
        assert {each.state for each in kb.status().derived} == {"current"}


def test_in_the_words_place(place, tmp_path):
    retrieval = {"sparse": SparseSettings("sparse-hash-4096", place="instead")}
    with opened(place, settings=CollectionSettings(retrieval=retrieval)) as kb:
        kb.add(DOCS)
        assert set(kb.search("ef about", mode="hybrid")[0].stages) == {"dense", "sparse"}
        assert found(kb, "ef", mode="lexical") == ["d2"]


@pytest.mark.sqlite
@pytest.mark.parametrize("damage", ["gone", "bytes", "state"])
def test_what_is_derived_is_made_again_without_embedding(damage, place, tmp_path):
    with opened(place) as kb:
        kb.add(DOCS)
        before = found(kb, "gh about")
        kb.versions.build_indexes("v1")
    (folder,) = (tmp_path / "kb" / "derived" / "v0001").glob("sparse-*")
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "state":
        (folder.parent / "state.json").unlink()
    else:
        (segment,) = folder.glob("segment-*.bin")
        segment.write_bytes(bytes(segment.stat().st_size))
    sparse = SparseHashEncoder()
    counted = []
    sparse.encode = lambda texts, role, own=sparse.encode: counted.append(role) or own(texts, role=role)
    with opened(place, sparse=sparse) as kb:
        assert found(kb, "gh about") == before
    assert counted.count("document") == 3, "the canaries alone"


def test_a_version_gets_a_sparse_encoder_later_and_loses_it_again(place, tmp_path):
    with gnomon.open(place, encoder=HashEncoder()) as kb:
        kb.add(DOCS)
        with pytest.raises(InvalidInput, match="v1 has no sparse encoder") as refused:
            kb.search("ef", mode="sparse")
        assert "gnomon migrate KB --set sparse.model" in refused.value.hint
    with opened(place) as kb:
        sparse = SparseSettings("toy", fingerprint=SparseHashEncoder().space.fingerprint)
        added = kb.versions.add(HashEncoder(), retrieval=RetrievalSettings(sparse=sparse))
        assert kb.versions.backfill(added.name).embedding.embedded == 0
        kb.versions.mark_ready(added.name)
        kb.switch(added.name)
        assert found(kb, "ef")[0] == "d2"
        kb.rollback()
        kb.retire(added.name)
        vectors = kb.status().vectors
        assert kb.prune().vectors == len(DOCS)
        assert kb.status().vectors == vectors


def test_the_sparse_vectors_of_a_kept_version_are_not_pruned(place, tmp_path):
    with opened(place) as kb:
        kb.add(DOCS)
        assert kb.prune().vectors == 0
        kb.remove("d1")
        assert kb.prune().vectors == 2


def test_another_encoder_is_refused(place, tmp_path):
    with opened(place) as kb:
        kb.add(DOCS)
    other = SparseHashEncoder(salt="another")
    with opened(place, sparse=other) as kb, pytest.raises(Exception, match="sparse-hash-4096"):
        kb.search("ef", mode="sparse")
    changed = SparseHashEncoder()
    changed._salt = "another under the same fingerprint"
    with opened(place, sparse=changed) as kb, pytest.raises(SpaceMismatch, match="canary"):
        kb.search("ef", mode="sparse")
    with pytest.raises(InvalidInput, match="was made with sparse-hash-4096, not splade"):
        opened(place, settings=CollectionSettings(sparse="splade"))


def test_settings_that_do_not_fit():
    sparse = SparseSettings("m")
    assert RetrievalSettings(sparse=sparse, fuse=FuseSettings(weights=(0.3, 0.3, 0.4))).lists[2] == "sparse"
    with pytest.raises(InvalidInput, match="2 fuse"):
        RetrievalSettings(sparse=sparse, fuse=FuseSettings(weights=(0.5, 0.5)))
    with pytest.raises(InvalidInput, match="without a sparse encoder"):
        RetrievalSettings(mode="sparse")
    with pytest.raises(InvalidInput, match="place 'first'"):
        SparseSettings("m", place="first")
    assert "sparse" not in RetrievalSettings().to_json()
    assert RetrievalSettings.from_json(RetrievalSettings(sparse=sparse).to_json()).sparse == sparse


def test_ranking_is_that_of_brute_force(place, tmp_path):
    encoder = SparseHashEncoder()
    with opened(place, sparse=encoder) as kb:
        kb.add(DOCS)
        scores = encoder.encode(["about ij"], role="query").similarity(
            encoder.encode([doc["text"] for doc in DOCS], role="document")
        )[0]
        hits = kb.search("about ij", mode="sparse")
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1], rtol=1e-5)


@pytest.mark.sqlite
def test_the_doctor_finds_and_mends_what_is_damaged(place, tmp_path):
    with opened(place) as kb:
        kb.add(DOCS)
        assert examine(kb).findings == ()
        (folder,) = (tmp_path / "kb" / "derived" / "v0001").glob("sparse-*")
        with kb.internals.catalog.write() as connection:
            connection.exec_driver_sql("UPDATE vectors SET data = zeroblob(8) WHERE space_id = 2 AND id < 8")
        (segment,) = folder.glob("segment-*.bin")
        segment.write_bytes(bytes(segment.stat().st_size))
        assert {finding.check for finding in examine(kb).findings} == {"no-sparse-vector", "indexes-damaged"}
        examine(kb, fix=True)
        assert examine(kb).findings == ()
        assert found(kb, "gh about")[0] == "d3"
