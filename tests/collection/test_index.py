"""Indexing touches what changed and nothing else."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings, IndexOptions
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress
from gnomon.testing.toys import HashEncoder

ON_BOTH = True

encoder = partial(HashEncoder, 64, max_tokens=48)


def found(kb: Collection, query: str, **options: object) -> list[str]:
    return [hit.document for hit in kb.search(query, **options)]  # type: ignore[arg-type]


def test_a_folder_is_indexed_and_found(kb: Collection) -> None:
    assert found(kb, "gnomon sundial shadow", k=1) == ["docs/sundial.md"]
    assert found(kb, "black tea", k=1) == ["docs/deep/tea.txt"]
    status = kb.status()
    assert (status.sources, status.documents, status.chunks) == (4, 4, 4)
    assert {item.state for item in status.derived} == {"current"}


def test_indexing_again_reads_nothing(kb: Collection, docs: Path) -> None:
    report = kb.index([docs])
    assert (report.files, report.unchanged, report.indexed) == (4, 4, 0)
    assert (report.chunks_added, report.embedded, report.cached) == (0, 0, 0)


def test_a_touched_file_is_not_written_again(kb: Collection, docs: Path) -> None:
    before = kb.status().position
    os.utime(docs / "whales.txt", ns=(1, 1))
    report = kb.index([docs])
    assert (report.unchanged, report.indexed, report.embedded) == (4, 0, 0)
    assert kb.status().position == before
    assert kb.index([docs]).unchanged == 4


def test_a_changed_file_replaces_its_document(kb: Collection, docs: Path) -> None:
    (docs / "whales.txt").write_text("The kakapo is a parrot that cannot fly.\n")
    report = kb.index([docs])
    assert (report.unchanged, report.indexed, report.documents) == (3, 1, 1)
    assert (report.chunks_added, report.chunks_removed) == (1, 1)
    assert found(kb, "kakapo parrot", k=1) == ["docs/whales.txt"]
    assert "docs/whales.txt" not in found(kb, "largest animal lived", mode="lexical")


def test_a_changed_file_of_the_same_size_and_time_is_the_price_of_a_stat(kb: Collection, docs: Path) -> None:
    path = docs / "whales.txt"
    facts = path.stat()
    path.write_text(path.read_text().replace("blue", "grey"))
    assert kb.index([docs]).indexed == 1
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert kb.index([docs]).unchanged == 4


def test_a_deleted_file_goes(kb: Collection, docs: Path) -> None:
    (docs / "deep/tea.txt").unlink()
    report = kb.index([docs])
    assert (report.removed, report.chunks_removed) == (1, 1)
    assert "docs/deep/tea.txt" not in found(kb, "black tea")
    assert kb.status().documents == 3


def test_a_deleted_file_outside_the_given_path_stays(kb: Collection, docs: Path) -> None:
    (docs / "whales.txt").unlink()
    assert kb.index([docs / "deep"]).removed == 0
    assert kb.status().documents == 4


def test_a_file_that_comes_back_costs_no_embedding(kb: Collection, docs: Path) -> None:
    text = (docs / "whales.txt").read_text()
    (docs / "whales.txt").unlink()
    kb.index([docs])
    (docs / "whales.txt").write_text(text)
    report = kb.index([docs])
    assert (report.embedded, report.cached, report.chunks_added) == (0, 1, 1)
    assert found(kb, "largest animal", k=1) == ["docs/whales.txt"]


@pytest.mark.sqlite
def test_two_folders_of_one_name_keep_apart(kb: Collection, tmp_path: Path) -> None:
    other = tmp_path / "other" / "docs"
    other.mkdir(parents=True)
    (other / "whales.txt").write_text("Another whale altogether, a minke.\n")
    kb.index([other])
    assert len(set(found(kb, "whale"))) == len(found(kb, "whale"))
    assert kb.status().documents == 5
    assert kb.index([other]).unchanged == 1
    assert kb.index([kb.internals.folder.parent / "docs"]).unchanged == 4


def test_problems_do_not_stop_the_rest(opened, docs: Path) -> None:
    (docs / "empty.txt").write_bytes(b"")
    (docs / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    (docs / "latin.txt").write_bytes("café crème brûlée für größere Gäste".encode("latin-1"))
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff\x00\x01")
    (docs / "junk.txt").write_bytes(bytes(range(256)) * 40)
    report = opened().index([docs])
    by_name = {Path(problem.path).name: problem for problem in report.problems}
    assert set(by_name) == {"empty.txt", "broken.pdf", "photo.jpg", "junk.txt", "latin.txt"}
    assert all(problem.reason for problem in report.problems)
    assert [name for name, problem in by_name.items() if not problem.skipped] == ["latin.txt"]
    assert "a guess" in by_name["latin.txt"].reason
    assert report.indexed == 5
    assert report.failed == 4


def test_an_empty_folder_is_no_error(opened, tmp_path: Path) -> None:
    (tmp_path / "void").mkdir()
    kb = opened()
    report = kb.index([tmp_path / "void"])
    assert (report.files, report.indexed, report.problems) == (0, 0, ())
    assert kb.search("anything") == []


def test_a_wrong_path_is_refused_before_anything_is_done(kb: Collection, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such file or folder"):
        kb.index([tmp_path / "nowhere"])


def test_a_large_file_is_refused_or_read_by_setting(opened, docs: Path) -> None:
    (docs / "large.txt").write_text("word salad " * 200_000)
    kb = opened(settings=CollectionSettings(chunk_tokens=48, chunk_overlap=0))
    report = kb.index([docs], options=IndexOptions(max_file_mb=1))
    (problem,) = report.problems
    assert "2.2 MB" in problem.reason
    assert "max_file_mb" in problem.hint
    assert kb.index([docs], options=IndexOptions(max_file_mb=5)).indexed == 1


def test_progress_counts_up_to_the_end(opened, docs: Path) -> None:
    seen: list[Progress] = []
    opened().index([docs], progress=seen.append)
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert (seen[-1].total, seen[-1].done, seen[-1].metrics["chunks"]) == (4, 4, 4)


def test_ctrl_c_keeps_what_is_committed_and_the_next_run_carries_on(opened, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:03d}.txt").write_text(f"Item {number} of the long list, number {number}.")
    kb = opened()

    def press(progress: Progress) -> None:
        if progress.done > 0:
            raise KeyboardInterrupt

    report = kb.index([folder], progress=press)
    assert report.interrupted
    assert 0 < kb.status().documents < 600
    report = kb.index([folder])
    assert not report.interrupted
    assert report.unchanged + report.indexed == 600
    assert kb.status().documents == 600
    assert len(kb.search("item list", k=700, mode="dense")) == 600


def test_documents_come_in_by_hand(kb: Collection) -> None:
    report = kb.add(
        ["The moon is made of rock.", {"id": "m", "text": "Mars is red.", "metadata": {"year": 1976}},
         Document(id="v", text="Venus is hot.", title="Venus")]
    )  # fmt: skip
    assert (report.documents, report.chunks_added) == (3, 3)
    assert found(kb, "mars red", k=1) == ["m"]
    assert kb.search("mars red", k=1)[0].metadata == {"year": 1976}
    kb.add({"id": "m", "text": "Mercury is small."})
    assert "m" not in found(kb, "mars red", mode="lexical")
    assert kb.text("m") == "Mercury is small."
    assert kb.remove(["m", "unknown"]) == 1
    assert kb.text("m") is None


def test_a_document_of_unknown_fields_is_refused(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="fields") as caught:
        kb.add([{"content": "no text field"}])
    assert "text" in caught.value.expected


def test_rows_of_a_table_are_documents_of_one_file(opened, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name,job\nAda,engine programmer\nGrace,compiler builder\nMary,fossil hunter\n")
    kb = opened()
    assert kb.index([path]).documents == 3
    path.write_text("name,job\nAda,engine programmer\nGrace,rear admiral\n")
    report = kb.index([path])
    assert (report.documents, report.embedded, report.chunks_removed) == (1, 1, 2)
    assert kb.status().documents == 2


def test_two_writers_queue(opened, docs: Path, place: str) -> None:
    opened()
    reports = []

    def work() -> None:
        with gnomon.open(place, encoder=encoder()) as other:
            reports.append(other.index([docs]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.indexed for report in reports) == [0, 0, 0, 4]
    assert opened().status().chunks == 4


def test_a_file_with_many_documents_is_written_in_parts(opened, tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    rows = [f'{{"_id": "d{n}", "title": "", "text": "passage number {n} about topic {n % 7}"}}' for n in range(1500)]
    path.write_text("\n".join(rows))
    kb = opened()
    counts: list[int] = []

    def watch(progress: Progress) -> None:
        counts.append(kb.status().documents)

    report = kb.index([path], progress=watch)
    assert report.documents == 1500
    assert any(0 < count < 1500 for count in counts)
    path.write_text("\n".join(rows[:1000]))
    assert kb.index([path]).chunks_removed == 500
    assert kb.status().documents == 1000


def test_a_file_that_vanishes_meanwhile_is_reported_and_the_rest_goes_on(opened, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02d}.txt").write_text(f"Note {number} of the pile.")

    def lose_the_last(progress: Progress) -> None:
        (folder / "39.txt").unlink(missing_ok=True)

    kb = opened()
    report = kb.index([folder], progress=lose_the_last)
    assert report.indexed + report.failed == 40
    assert all("gone now" in problem.reason for problem in report.problems)
    assert kb.index([folder]).unchanged == 39
    assert kb.status().documents == 39


def test_two_corpora_of_the_same_ids_keep_apart(opened, tmp_path: Path) -> None:
    kb = opened()
    kb.add([{"id": "d1", "text": "By hand, about lemons."}])
    for name, fruit in (("one", "apples"), ("two", "plums")):
        folder = tmp_path / name
        folder.mkdir()
        rows = [f'{{"_id": "d{n}", "title": "", "text": "{fruit} number {n}"}}' for n in range(3)]
        (folder / "corpus.jsonl").write_text("\n".join(rows))
        assert kb.index([folder]).documents == 3
        assert kb.index([folder]).unchanged == 1
    assert len(kb.ids()) == 7
    assert len(kb.search("plums number", k=9, mode="lexical")) == 6
    assert {"d0", "d1", "d2"} < set(kb.ids())


def test_an_empty_path_is_refused(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="an empty path"):
        kb.index([""])
