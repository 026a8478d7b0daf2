"""Several spaces in one collection: vectors of each by itself, rankings fused, spaces added and removed as versions."""

import shutil

import numpy as np
import pytest

import gnomon
from gnomon.collection.settings import CollectionSettings, RetrievalSettings
from gnomon.core.errors import InvalidInput, SpaceMismatch, TruncatedText
from gnomon.doctor import examine
from gnomon.retrieve import FuseSettings, SpaceSettings
from gnomon.testing import HashEncoder

ON_BOTH = True
DOCS = [
    {"id": f"d{n}", "text": f"document {n} about {word} and {word}"} for n, word in enumerate("ab cd ef gh ij".split())
]
FIRST, OTHER = HashEncoder(), HashEncoder(48, salt="other")
NAME = f"dense:{OTHER.space.name}"
TWO = CollectionSettings(spaces=(OTHER.space.name,))


def opened(place, *, other=OTHER, **more):
    return gnomon.open(place, encoder=[FIRST, other], **more)


def found(kb, text, **more):
    return [hit.document for hit in kb.search(text, **more)]


def counting(encoder):
    """The same encoder, and the texts that it embeds as documents."""
    again, texts = HashEncoder(48, salt="other"), []

    def encode(given, role, own=again.encode):
        texts.extend(text for text in given if role == "document" and " and " in text)  # no canary has it
        return own(given, role=role)

    again.encode = encode
    return again, texts


def versions_with(kb, *spaces, **settings):
    """Make a version with these further spaces live."""
    added = kb.versions.add(FIRST, retrieval=RetrievalSettings(spaces=spaces, **settings))
    kb.versions.backfill(added.name)
    kb.versions.mark_ready(added.name)
    kb.switch(added.name)
    return added.name


def test_one_more_list_that_follows_the_documents(place, tmp_path):
    with opened(place, settings=TWO) as kb:
        kb.add(DOCS)
        (first, *_) = kb.search("ef about")
        assert first.document == "d2"
        assert set(first.stages) == {"dense", "lexical", NAME}
        np.testing.assert_allclose(sorted(first.shares.values()), [0.3, 0.3, 0.4], rtol=1e-6)
        kb.add({"id": "new", "text": "ef ef ef"})
        kb.remove("d2")
        assert found(kb, "ef")[0] == "new"
        assert "d2" not in found(kb, "ef about")
        assert found(kb, "about", where="id = 'd3'") == ["d3"]
        assert set(kb.search("ef", mode="dense")[0].stages) == {"dense"}
    with opened(place) as kb:
        assert found(kb, "ef")[0] == "new"
        status = kb.status()
        assert [each.name for each in status.derived] == ["dense", "lexical", NAME]
        assert {each.state for each in status.derived} == {"current"}
        assert [(each.model, each.vectors) for each in status.spaces] == [(OTHER.space.name, 6)]


def test_each_list_is_that_of_its_model_alone(place, tmp_path):
    with opened(place, settings=TWO) as kb:
        kb.add(DOCS)
        hits = kb.search("ef gh", k=5)
        texts = [doc["text"] for doc in DOCS]
        for name, encoder in (("dense", FIRST), (NAME, OTHER)):
            own = encoder.encode(["ef gh"], role="query").similarity(encoder.encode(texts, role="document"))[0]
            for hit in hits:
                np.testing.assert_allclose(hit.stages[name], own[int(hit.document[1:])], atol=2e-3)


def test_a_space_of_weight_zero_changes_no_ranking(place, tmp_path):
    fuse = FuseSettings(weights=(0.5, 0.5))
    with opened(place, settings=CollectionSettings(retrieval={"fuse": fuse})) as kb:
        kb.add(DOCS)
        without = [(hit.document, hit.score) for query in ("ef", "about gh", "nothing") for hit in kb.search(query)]
        versions_with(kb, SpaceSettings(OTHER.space.name), fuse=FuseSettings(weights=(0.5, 0.5, 0.0)))
        assert without == [
            (hit.document, hit.score) for query in ("ef", "about gh", "nothing") for hit in kb.search(query)
        ]


def test_added_and_removed_without_embedding_the_first_again(place, tmp_path):
    other, texts = counting(OTHER)
    with opened(place, other=other) as kb:
        kb.add(DOCS)
        before = kb.status().vectors
        name = versions_with(kb, SpaceSettings(other.space.name))
        assert set(texts) >= {doc["text"] for doc in DOCS}
        assert kb.status().vectors == before
        kb.add({"id": "new", "text": "kl and kl"})
        assert found(kb, "kl")[0] == "new"
        kb.rollback()
        assert set(kb.search("kl")[0].stages) <= {"dense", "lexical"}
        assert kb.prune().vectors == 0, "vectors of kept versions"
        kb.retire(name)
        assert kb.prune().vectors == len(DOCS) + 1
        assert kb.status().vectors == before + 1


def test_a_run_cut_off_between_two_spaces_goes_on(place, tmp_path):
    other, texts = counting(OTHER)
    with opened(place, other=other) as kb:
        kb.add(DOCS)
        added = kb.versions.add(FIRST, retrieval=RetrievalSettings(spaces=(SpaceSettings(other.space.name),)))
        own, other.encode = other.encode, lambda given, role: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            kb.versions.backfill(added.name)
        assert kb.versions.list()[-1].behind == len(DOCS)
        other.encode = own
        assert kb.versions.backfill(added.name).embedding.further == len(DOCS)
        assert kb.versions.list()[-1].behind == 0
    with opened(place, other=other) as kb:
        texts.clear()
        assert kb.versions.backfill(added.name).embedding.further == 0
        assert not texts


@pytest.mark.sqlite
@pytest.mark.parametrize("damage", ["gone", "bytes", "state"])
def test_a_damaged_index_is_made_again_alone(damage, place, tmp_path, monkeypatch):
    from gnomon.index.quantised_search import ScanSettings

    monkeypatch.setattr(ScanSettings, "__init__", _small_scan(ScanSettings.__init__))
    with opened(place, settings=TWO) as kb:
        kb.add(DOCS)
        before = found(kb, "gh about")
        kb.versions.build_indexes("v1")
    root = tmp_path / "kb" / "derived" / "v0001"
    (folder,), (dense,) = root.glob("space-*"), root.glob("dense-*")
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "state":
        (root / "state.json").unlink()
    else:
        for file in folder.iterdir():
            file.write_bytes(bytes(file.stat().st_size))
    other, texts = counting(OTHER)
    with opened(place, other=other) as kb:
        assert found(kb, "gh about") == before
        kb.versions.build_indexes("v1")
    assert not texts, "nothing is embedded again"
    (now,) = root.glob("dense-*")
    assert (now.name == dense.name) == (damage != "state")


def _small_scan(own):
    def init(self, *given, **more):
        own(self, *given, **{"exact_below": 2, **more})

    return init


def test_a_second_stage_makes_its_vectors_when_they_are_needed(place, tmp_path):
    other, texts = counting(OTHER)
    settings = CollectionSettings(spaces=(SpaceSettings(other.space.name, "second-stage", depth=3),))
    with opened(place, other=other, settings=settings) as kb:
        kb.add(DOCS)
        hits = kb.search("ef about")
        assert len(texts) == 3
        assert sum(NAME in hit.stages for hit in hits) == 3
        assert len(hits) == 5, "no candidate is lost"
        again = [(hit.document, round(hit.score, 3)) for hit in kb.search("ef about")]
        assert again == [(hit.document, round(hit.score, 3)) for hit in hits]
        assert len(texts) == 3, "kept in the cache"
        assert kb.prune().vectors == 0
        assert set(kb.search("ef", mode="dense")[0].stages) == {"dense"}


@pytest.mark.sqlite
def test_a_second_stage_where_nothing_can_be_written(place, tmp_path, monkeypatch):
    settings = CollectionSettings(spaces=(SpaceSettings(OTHER.space.name, "second-stage"),))
    with opened(place, settings=settings) as kb:
        kb.add(DOCS)
        kb.search("ef")
        kb.add({"id": "new", "text": "kl and kl"})
    other, texts = counting(OTHER)
    with opened(place, other=other) as kb:
        monkeypatch.setattr(type(kb.internals.catalog), "is_read_only", property(lambda _: True))
        assert found(kb, "kl")[0] == "new"
        assert texts.count("kl and kl") == 1
        found(kb, "kl")
        assert texts.count("kl and kl") == 1


def test_another_model_under_its_name_is_refused(place, tmp_path):
    with opened(place, settings=TWO) as kb:
        kb.add(DOCS)
    changed = HashEncoder(48, salt="other")
    changed._salt = "changed under the same fingerprint"
    with opened(place, other=changed) as kb, pytest.raises(SpaceMismatch, match="canary"):
        kb.search("ef")


def test_settings_that_do_not_fit(place, tmp_path):
    two = (SpaceSettings("m"),)
    assert RetrievalSettings(spaces=["m"]).spaces == two
    assert RetrievalSettings(spaces=two).fusion.weights == (0.3, 0.4, 0.3)
    assert RetrievalSettings(spaces=("a", "b")).fusion.weights == pytest.approx((0.2, 0.4, 0.2, 0.2))
    assert RetrievalSettings(spaces=(SpaceSettings("m", "second-stage"),)).lists == ("dense", "lexical")
    assert RetrievalSettings.from_json(RetrievalSettings(spaces=two).to_json()).spaces == two
    assert "spaces" not in RetrievalSettings().to_json()
    with pytest.raises(InvalidInput, match="2 fuse"):
        RetrievalSettings(spaces=two, fuse=FuseSettings(weights=(0.5, 0.5)))
    with pytest.raises(InvalidInput, match="m twice"):
        RetrievalSettings(spaces=("m", "m"))
    with pytest.raises(InvalidInput, match="spaces = 5"):
        RetrievalSettings(spaces=5)
    with pytest.raises(InvalidInput, match="place 'first'"):
        SpaceSettings("m", place="first")
    with pytest.raises(InvalidInput, match="twice"):
        opened(place, settings=CollectionSettings(spaces=(FIRST.space.name,)))
    with pytest.raises(gnomon.GnomonError, match="no-such-model"):
        opened(place, settings=CollectionSettings(spaces=("no-such-model",)))
    with opened(place, settings=TWO) as kb:
        kb.add(DOCS)
    with pytest.raises(InvalidInput, match="not with third") as refused:
        opened(place, settings=CollectionSettings(spaces=("third",)))
    assert refused.value.hint.endswith("gnomon migrate KB --add-model third")


def test_passages_longer_than_a_further_model_reads(place, tmp_path):
    short = HashEncoder(16, salt="short", max_tokens=8)
    settings = CollectionSettings(spaces=(short.space.name,))
    with pytest.warns(TruncatedText, match="reads the first 8"):
        opened(place, other=short, settings=settings).close()


@pytest.mark.sqlite
def test_the_doctor_looks_at_each_space(place, tmp_path):
    late = HashEncoder(24, salt="late")
    spaces = (OTHER.space.name, SpaceSettings(late.space.name, "second-stage"))
    with gnomon.open(place, encoder=[FIRST, OTHER, late], settings=CollectionSettings(spaces=spaces)) as kb:
        kb.add(DOCS)
        kb.search("ef")
        kb.add({"id": "new", "text": "kl and kl"})
        report = examine(kb)
        assert report.findings == (), "a second stage lacks no vectors"
        assert [space.versions for space in report.spaces] == [("v1",)] * 3
        with kb.internals.catalog.write() as connection:
            connection.exec_driver_sql("DELETE FROM vectors WHERE space_id = 2 AND role = 'document'")
        assert [each.check for each in examine(kb).findings] == ["no-vector"]
        assert examine(kb, fix=True).findings == ()
        assert kb.status().spaces[0].vectors == 6
