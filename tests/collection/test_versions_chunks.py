"""Chunks of versions: cut by a tokenizer that outlives its model, embedded by others from their rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from gnomon.collection import CollectionSettings
from gnomon.collection.catalog import queries
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.ingest.backfill import Backfill
from gnomon.core.contracts import Role
from gnomon.core.documents import Document
from gnomon.core.errors import CollectionDamaged
from gnomon.testing.toys import HashEncoder
from gnomon.text.chunk import Chunker, ChunkSettings
from support.version_collections import built, check_sound, documents, opened, rows, served, text, two

ON_BOTH = True

SMALL = CollectionSettings(chunk_tokens=20, chunk_overlap=0)
TEXTS = {str(number): text(number) for number in range(30)}


class Pieces(HashEncoder):
    """Cuts by a real tokenizer, of words or of pieces of them: `tokenizer_json` says which."""

    def __init__(self, longest: int, **more: object) -> None:
        super().__init__(16, max_tokens=64, **more)  # type: ignore[arg-type]
        tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = Split(Regex(f"\\w{{1,{longest}}}"), behavior="removed", invert=True)
        self.tokenizer, self._json = tokenizer, tokenizer.to_str()

    @property
    def tokenizer_json(self) -> str | None:
        return self._json

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return [len(self.tokenizer.encode(each).ids) + 1 for each in texts]


def test_a_chunking_outlives_the_model_that_it_came_from(place: str, tmp_path: Path) -> None:
    fine, coarse = Pieces(2, salt="fine"), Pieces(40, salt="coarse")
    with opened(tmp_path / "twin", encoder=fine, settings=SMALL) as twin:
        twin.add(documents(TEXTS))
        expected = [chunk.text for chunk in twin.chunk_texts()]
    with opened(place, encoder=fine, settings=SMALL) as kb:
        kb.add(documents({key: TEXTS[key] for key in list(TEXTS)[:20]}))
        kb.switch(built(kb, coarse))
        kb.retire("v1")
        kb.prune()
    with opened(place, encoder=coarse) as kb:
        kb.add(documents({key: TEXTS[key] for key in list(TEXTS)[20:]}))
        assert [chunk.text for chunk in kb.chunk_texts()] == expected
        counts = rows(kb, "SELECT max(tokens) FROM chunks")
        assert counts[0][0] <= 20  # by the tokenizer that cuts; by its own the model reads fewer
        assert coarse.count_tokens(expected, role="document") < fine.count_tokens(expected, role="document")
        name = built(kb, coarse, chunking=ChunkSettings(max_tokens=20, overlap=0))
        kb.switch(name)
        assert kb.status().chunks < len(expected)
        kb.retire("v2")
        assert kb.prune().tokenizers == 1
        assert served(kb).keys() == TEXTS.keys()
    check_sound(place)


@pytest.mark.parametrize("title", ["", "A long title of several words for this document", "One"])
def test_what_was_embedded_is_found_again_from_a_chunks_row(place: str, title: str) -> None:
    body = "\n\n".join(
        f"{'#' * (1 + at % 4)} Heading {at} {'with many more words ' * (at % 3)}\n\n{text(at)}" for at in range(12)
    )
    given = [Document(f"{title}{kind}", body, title=title, media_type=kind) for kind in ("text/markdown", "text/plain")]
    encoder = Pieces(40)
    with opened(place, encoder=encoder, settings=SMALL) as kb:
        kb.add(given)
        with kb.internals.catalog.read() as connection:
            ids = queries.all_ids(connection, kb.version.chunking_id).tolist()
            again = chunks_of(connection, ids)
            hashes = [row[0] for row in rows(kb, "SELECT text_hash FROM chunks ORDER BY id")]
    cut = Chunker(
        ChunkSettings(max_tokens=20),
        tokenizer_json=encoder.tokenizer_json,
        count=lambda texts: encoder.count_tokens(texts, role="document"),
    )
    assert again == [chunk for each in given for chunk in cut.chunk(each)]
    assert [chunk.text_hash for chunk in again] == hashes
    prefixes = {chunk.embed_text.split("\n")[0] for chunk in again if chunk.embed_text != chunk.text}
    assert "Heading 2 with many" in prefixes  # cut to a quarter of the room


def test_a_chunk_whose_text_is_not_what_was_embedded_is_said(place: str) -> None:
    with opened(place, settings=SMALL) as kb:
        kb.add(documents(TEXTS))
        with kb.internals.catalog.write() as connection:
            connection.exec_driver_sql("UPDATE chunks SET text = 'other' WHERE id = 3")
        kb.versions.add(two())
        with pytest.raises(CollectionDamaged, match="chunk 3 of '0'") as caught:
            kb.versions.backfill("v2")
    assert "--chunk-tokens" in caught.value.hint


@pytest.mark.sqlite
def test_a_step_puts_back_what_was_cleared_from_the_cache_meanwhile(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(place, settings=SMALL) as kb:
        kb.add(documents(TEXTS))
        kb.versions.add(two())
        write, cleared = Backfill._write, []

        def late(self: Backfill, *given: object) -> bool:
            if not cleared:
                with kb.internals.catalog.write() as connection:
                    gone = connection.exec_driver_sql("DELETE FROM vectors WHERE space_id = 2 AND id % 3 = 0")
                    cleared.append(gone.rowcount)
            return write(self, *given)  # type: ignore[arg-type]

        monkeypatch.setattr(Backfill, "_write", late)
        kb.versions.backfill("v2")
        assert cleared[0] > 10
        kb.versions.mark_ready("v2")
        kb.switch("v2")
        assert served(kb).keys() == TEXTS.keys()
    check_sound(place)
