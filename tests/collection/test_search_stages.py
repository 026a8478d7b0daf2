"""What a search tells an observer: the stages in their order, and what its caches did."""

from gnomon.collection import Collection
from gnomon.core.instrumentation import observed_by
from support.observing import Recorder


def test_a_hybrid_search_has_its_stages(kb: Collection) -> None:
    observer = Recorder()
    with observed_by(observer):
        kb.search("the shadow of a sundial", where="id like '%md'")
    assert sorted(observer.stages) == sorted(
        ["indexes", "indexes", "filter", "filter", "encode", "dense", "lexical", "fuse", "hits"]
    )
    assert observer.stages.index("encode") < observer.stages.index("dense") < observer.stages.index("fuse")


def test_caches_count_their_hits(kb: Collection) -> None:
    observer = Recorder()
    with observed_by(observer):
        kb.chunk_ids("id like '%md'")
        kb.chunk_ids("id like '%md'")
        kb.add([{"id": "new", "text": "A text that is there once."}])
        kb.add([{"id": "again", "text": "A text that is there once."}])
    assert observer.counts["filter cache", "hits"] == 1
    assert observer.counts["filter cache", "misses"] == 1
    assert (observer.counts["vector cache", "hits"], observer.counts["vector cache", "misses"]) == (1, 1)
