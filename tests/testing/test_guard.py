"""The guard finds stores that mix, and gnomon is none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

import gnomon
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.testing import HashEncoder
from gnomon.testing.guard import check_guard, try_to_mix

FIRST, SECOND = HashEncoder(64), HashEncoder(64, salt="other")


class Careless:
    """A store of bare arrays, as most are: it knows no model, only lengths. `keyed`: its cache by text."""

    kept: ClassVar[dict[Path, dict[str, Any]]] = {}

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._rows, self._encoder = self.kept.setdefault(folder, {}), encoder

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        for name, text in zip(ids, texts, strict=True):
            self._rows[name] = self._encoder.encode([text], role="document").data[0]

    def query(self, text: str, k: int) -> list[str]:
        vector = self._encoder.encode([text], role="query").data[0]
        return sorted(self._rows, key=lambda name: -float(self._rows[name] @ vector))[:k]

    def close(self) -> None:
        return None


class Cached(Careless):
    """What it has a vector of by its text, it does not embed again."""

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        new = [(name, text) for name, text in zip(ids, texts, strict=True) if name not in self._rows]
        super().add([name for name, _ in new], [text for _, text in new])


class Stubborn(Careless):
    """Refuses without a word."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        super().__init__(folder, encoder)
        if self.kept.setdefault(folder / "owner", {"owner": encoder})["owner"] is not encoder:
            raise RuntimeError


class Gnomon:
    """A collection, asked by meaning alone: words would find the texts whatever the vectors are."""

    def __init__(self, folder: Path, encoder: Encoder) -> None:
        self._kb = gnomon.open(folder / "kb", encoder=encoder)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        self._kb.add([{"id": name, "text": text} for name, text in zip(ids, texts, strict=True)])

    def query(self, text: str, k: int) -> list[str]:
        return [hit.document for hit in self._kb.search(text, k=k, mode="dense")]

    def close(self) -> None:
        self._kb.close()


def test_gnomon_refuses_each_way_and_says_why(tmp_path: Path) -> None:
    found = try_to_mix(Gnomon, tmp_path, FIRST, SECOND)
    assert [attempt.outcome for attempt in found] == ["refused"] * 3
    assert all("hash-64-other" in attempt.words and "hash-64 " in attempt.words for attempt in found)
    check_guard(Gnomon, tmp_path / "again", FIRST, SECOND)


def test_a_store_of_bare_arrays_mixes_by_add_and_by_query(tmp_path: Path) -> None:
    found = {attempt.way: attempt for attempt in try_to_mix(Careless, tmp_path, FIRST, SECOND)}
    assert found["add"].outcome == found["query"].outcome == "mixed"
    assert found["query"].lost > 6
    assert found["cache"].outcome == "kept apart"  # each text was embedded again
    with pytest.raises(AssertionError, match="add: mixed"):
        check_guard(Careless, tmp_path / "again", FIRST, SECOND)


def test_a_cache_by_text_alone_mixes(tmp_path: Path) -> None:
    found = {attempt.way: attempt for attempt in try_to_mix(Cached, tmp_path, FIRST, SECOND)}
    assert found["cache"].outcome == "mixed"


def test_a_refusal_needs_words(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="add: refused without a message"):
        check_guard(Stubborn, tmp_path, FIRST, SECOND)


@pytest.mark.parametrize("other", [HashEncoder(32, salt="other"), FIRST])
def test_models_that_cannot_be_mistaken_say_nothing(tmp_path: Path, other: Encoder) -> None:
    with pytest.raises(InvalidInput, match="two models of one dimension"):
        try_to_mix(Careless, tmp_path, FIRST, second=other)
