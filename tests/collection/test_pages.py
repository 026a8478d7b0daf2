"""Ids of documents page by page, and the chunks of one document."""

from __future__ import annotations

from gnomon.collection import Collection


def pages(kb: Collection, limit: int, where: str | None = None) -> list[tuple[str, ...]]:
    found, after = [], 0
    while True:
        page = kb.page(after, limit=limit, where=where)
        found.append(page.ids)
        if page.end is None:
            return found
        after = page.end


def test_pages_have_each_document_once(kb: Collection) -> None:
    kb.add([{"id": f"d{n}", "text": f"text {n}", "metadata": {"n": n}} for n in range(5)])
    assert [len(page) for page in pages(kb, 4)] == [4, 4, 1]
    assert [key for page in pages(kb, 3) for key in page] == kb.ids()
    assert pages(kb, 2, "n >= 1") == [("d1", "d2"), ("d3", "d4")]
    assert pages(kb, 2, "n > 7") == [()]


def test_a_document_written_in_between_goes_to_the_end(kb: Collection) -> None:
    first = kb.page(limit=2)
    kb.add({"id": first.ids[0], "text": "another text"})
    rest = pages(kb, 100)[0]
    assert rest[-1] == first.ids[0]
    assert kb.page(first.end or 0).ids[-1] == first.ids[0]


def test_the_chunks_of_a_document_cover_its_text(kb: Collection) -> None:
    text = "A gnomon casts the shadow of the sun. " * 40
    kb.add({"id": "long", "text": text})
    chunks = kb.chunks("long")
    assert len(chunks) > 2
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    assert kb.chunks("unknown") == []
