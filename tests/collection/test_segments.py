"""A collection whose vectors lie in segments of codes: nothing of them is kept twice, and damage is mended alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gnomon.collection import Collection
from gnomon.collection.indexes import vector_index
from gnomon.index import ann
from gnomon.index.quantised_search import ScanSettings, chosen_settings

pytestmark = pytest.mark.slow
TEXTS = [f"note {n} about colour {n % 17} and animal {n % 13} in room {n}" for n in range(900)]


@pytest.fixture(autouse=True)
def from_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes from 200 passages on, in segments of 300."""

    def chosen(name: str, **more: Any) -> ScanSettings:
        return replace(chosen_settings(name, **more), exact_below=200)

    monkeypatch.setattr(vector_index, "chosen_settings", chosen)
    monkeypatch.setitem(ann.ANN_METHODS, "scan", replace(ann.SCAN, segment_rows=300))


def found(kb: Collection, numbers: range = range(0, 900, 90)) -> list[str]:
    return [kb.search(TEXTS[n], mode="dense", k=1)[0].text for n in numbers]


def test_a_damaged_segment_is_built_anew_alone(opened: Callable[..., Collection], tmp_path: Path) -> None:
    kb = opened()
    kb.add(TEXTS)
    wanted = [TEXTS[n] for n in range(0, 900, 90)]
    assert found(kb) == wanted
    kb.close()
    (folder,) = (tmp_path / "kb").glob("derived/*/dense-*")
    assert not list(folder.glob("vectors-*"))
    segments = sorted(folder.glob("segment-*"))
    assert len(segments) == 3
    content = bytearray(segments[1].read_bytes())
    content[len(content) // 2] ^= 1
    segments[1].write_bytes(content)
    again = opened()
    assert found(again) == wanted
    again.close()
    last = opened()
    assert found(last) == wanted
    assert segments[0].is_file()
    assert segments[2].is_file()


def test_documents_come_and_go(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add([{"id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)])
    before = {hit.document: hit.score for hit in kb.search(TEXTS[5], mode="dense", k=20)}
    kb.remove([f"d{n}" for n in range(300, 600)])
    hits = kb.search(TEXTS[400], mode="dense", k=20)
    assert not {hit.document for hit in hits} & {f"d{n}" for n in range(300, 600)}
    for hit in kb.search(TEXTS[5], mode="dense", k=20):
        assert hit.score == pytest.approx(before.get(hit.document, hit.score), abs=1e-6)
    kb.add([{"id": "new", "text": TEXTS[400]}])
    assert kb.search(TEXTS[400], mode="dense", k=1)[0].document == "new"
