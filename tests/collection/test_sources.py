"""Files that were moved, renamed, excluded, or are reached another way leave no ghost and cost no embedding."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest

from gnomon.collection import Collection, IndexOptions
from gnomon.core.errors import InvalidInput
from gnomon.doctor import examine

ON_BOTH = True


def write(root: Path, **texts: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / f"{name}.txt").write_text(text)
    return root


def test_a_tree_that_moved_keeps_ids_and_vectors(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "old/docs", wifi="The password is on the fridge.", car="Parking is behind the house.")
    write(docs / "in", tea="Green tea at seventy degrees.", oil="Oil is changed in May.")
    kb = opened()
    kb.index([docs])
    before = kb.ids()
    (tmp_path / "old").rename(tmp_path / "new")
    write(tmp_path / "new/docs", wifi="The password is under the sofa.")
    report = kb.index([tmp_path / "new/docs"])
    assert (report.files, report.moved, report.indexed, report.removed, report.embedded) == (4, 3, 1, 0, 1)
    assert sorted(kb.ids()) == sorted(before)
    assert kb.search("car parking house", k=1)[0].source == str(tmp_path / "new/docs/car.txt")
    assert kb.ids(where=f"source like '{tmp_path}/old/%'") == []
    assert kb.index([tmp_path / "new/docs"]).unchanged == 4


@pytest.mark.parametrize("given", ["new", "new/project", "new/project/docs/in"])
def test_a_tree_that_moved_is_known_from_above_and_from_below(opened, tmp_path: Path, given: str) -> None:
    docs = write(tmp_path / "old/project/docs", a="Sundials.", b="Whales.")
    write(docs / "in", c="Kettles.")
    kb = opened()
    kb.index([docs])
    before = sorted(kb.ids())
    (tmp_path / "old").rename(tmp_path / "new")
    report = kb.index([tmp_path / given])
    assert (report.moved, report.embedded, report.removed) == (report.files, 0, 0)
    assert sorted(kb.ids()) == before


def test_a_copy_and_another_tree_are_no_moves(opened, tmp_path: Path) -> None:
    kb = opened()
    one = write(tmp_path / "one/docs", a="Alpha.", b="Beta.", c="Gamma.")
    kb.index([one])
    shutil.copytree(one, tmp_path / "two/docs")
    assert kb.index([tmp_path / "two/docs"]).moved == 0
    assert len(kb) == 6
    shutil.rmtree(tmp_path / "one")
    other = write(tmp_path / "three/docs", a="Alpha.", x="Another.", y="Yet another.")
    assert kb.index([other]).moved == 0
    assert len(kb) == 9  # what is not there any more was not asked about


def test_files_that_were_named_one_by_one(opened, tmp_path: Path) -> None:
    notes = write(tmp_path / "notes", door="The code is 4711.", boiler="Serviced in May.", plumber="Mr Ivanov.")
    away = write(tmp_path / "away", far="Far away.")
    kb = opened()
    kb.index([*sorted(notes.glob("*.txt")), away / "far.txt"])
    (notes / "door.txt").unlink()
    (notes / "plumber.txt").rename(notes / "plumbing.txt")
    (away / "far.txt").unlink()
    report = kb.index(sorted(notes.glob("*.txt")))
    assert (report.moved, report.removed, report.embedded) == (1, 1, 0)
    assert sorted(kb.ids()) == ["boiler.txt", "far.txt", "plumbing.txt"]
    notes.rename(tmp_path / "elsewhere")
    report = kb.index(sorted((tmp_path / "elsewhere").glob("*.txt")))
    assert (report.moved, report.embedded) == (2, 0)
    assert sorted(kb.ids()) == ["boiler.txt", "far.txt", "plumbing.txt"]


def test_a_renamed_corpus_keeps_its_ids(opened, tmp_path: Path) -> None:
    rows = [json.dumps({"_id": f"d{n}", "title": "", "text": f"Passage {n}."}) for n in range(3)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a/corpus.jsonl").write_text("\n".join(rows))
    kb = opened()
    kb.index([tmp_path])
    (tmp_path / "a").rename(tmp_path / "b")
    report = kb.index([tmp_path])
    assert (report.moved, report.chunks_added, report.chunks_removed) == (1, 0, 0)
    (tmp_path / "b").rename(tmp_path / "c")
    (tmp_path / "c/corpus.jsonl").write_text("\n".join(rows[:2]))
    kb.index([tmp_path])
    assert sorted(kb.ids()) == ["d0", "d1"]
    assert kb.search("passage", k=1)[0].source == str(tmp_path / "c/corpus.jsonl")


def test_what_is_excluded_or_hidden_now_goes_and_nothing_else(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", car="Parking.")
    write(docs / "private", wifi="Swordfish.")
    write(docs / "drafts", idea="A kite.")
    kb = opened()
    kb.index([docs])
    assert kb.index([docs / "drafts"], options=IndexOptions(exclude=("private",))).removed == 0
    assert kb.index([docs], options=IndexOptions(exclude=("private",))).removed == 1
    (docs / "drafts").rename(docs / ".drafts")
    assert kb.index([docs], options=IndexOptions(exclude=("private",))).removed == 1
    assert kb.ids() == ["docs/car.txt"]


def test_a_hidden_file_that_was_named_itself_stays(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", car="Parking.")
    (docs / ".secret.txt").write_text("Named.")
    write(docs / "deep", x="Deep.")
    kb = opened()
    kb.index([docs / ".secret.txt"])
    kb.index([docs])
    assert sorted(kb.ids()) == [".secret.txt", "docs/car.txt", "docs/deep/x.txt"]
    kb.index([docs], options=IndexOptions(exclude=(".secret.txt",)))
    assert sorted(kb.ids()) == ["docs/car.txt", "docs/deep/x.txt"]


def test_ignore_files_hold_and_take_out(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", keep="Kept.", log="Noise.")
    kb = opened()
    kb.index([docs])
    (docs / ".gitignore").write_text("log.txt\n")
    report = kb.index([docs])
    assert (report.removed, report.ignored, report.problems) == (1, 1, ())
    assert kb.ids() == ["docs/keep.txt"]
    assert kb.index([docs], options=IndexOptions(ignore_files=False)).indexed == 1


def test_an_empty_folder_in_the_place_of_a_full_one_takes_nothing_out(opened, tmp_path: Path) -> None:
    mount = write(tmp_path / "mount", a="Alpha.", b="Beta.")
    kb = opened()
    kb.index([mount])
    shutil.rmtree(mount)
    mount.mkdir()
    report = kb.index([mount])
    (problem,) = report.problems
    assert (report.removed, problem.kind) == (0, "kept")
    assert "the folder is empty; 2 files indexed from it before are kept" in problem.reason
    assert problem.hint.endswith(f"--source {mount}")
    mount.rmdir()
    with pytest.raises(InvalidInput, match="is not there any more; 2 files indexed from it are kept") as caught:
        kb.index([mount])
    assert caught.value.hint.endswith(f"gnomon remove COLLECTION --source {mount}")
    with pytest.raises(InvalidInput, match="no such file or folder"):
        kb.index([tmp_path / "nowhere"])
    assert len(kb) == 2


def test_one_folder_by_several_links_is_one(opened, tmp_path: Path) -> None:
    releases = write(tmp_path / "releases/1", a="Version one.", b="Common.").parent
    current = tmp_path / "current"
    current.symlink_to(releases / "1")
    kb = opened()
    kb.index([current])
    assert sorted(kb.ids()) == ["current/a.txt", "current/b.txt"]
    other = tmp_path / "other"
    other.symlink_to(releases / "1")
    for given in (releases / "1", other, tmp_path / "releases/../other"):
        assert kb.index([given]).unchanged == 2
    write(releases / "2", a="Version two.", b="Common.")
    current.unlink()
    current.symlink_to(releases / "2")
    assert kb.index([current]).removed == 0
    assert (sorted(kb.ids()), kb.text("current/a.txt")) == (["current/a.txt", "current/b.txt"], "Version two.")


def test_one_file_by_several_names_is_one(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", z="The file itself.")
    kb = opened()
    (docs / "a-link.txt").symlink_to(docs / "z.txt")
    kb.index([docs / "a-link.txt"])
    os.link(docs / "z.txt", docs / "zz-hard.txt")
    kb.index([docs])
    assert [each for each in kb.ids() if each.startswith("docs/")] == ["docs/z.txt"]


@pytest.mark.sqlite
@pytest.mark.parametrize("verify", [False, True])
def test_size_and_time_may_lie(opened, tmp_path: Path, verify: bool) -> None:
    docs = write(tmp_path / "docs", support="Open until 18:00.", other="Other.")
    path = docs / "support.txt"
    os.utime(path, (1, 1))
    kb = opened()
    kb.index([docs])
    path.write_text("Open until 21:00.")
    os.utime(path, (1, 1))
    if verify:  # the catalog believes that nothing changed at all
        with kb.internals.catalog.write() as connection:
            connection.exec_driver_sql("UPDATE sources SET ctime_ns = ?", (path.stat().st_ctime_ns,))
    (finding,) = [each for each in examine(kb).findings if each.check == "files-changed"]
    assert finding.examples == (str(path),)
    report = kb.index([docs], options=IndexOptions(verify=verify))
    assert (report.indexed, report.unchanged) == (1, 1)
    assert kb.text("docs/support.txt") == "Open until 21:00."
    assert not [each for each in examine(kb).findings if each.check.startswith("files")]


def test_a_touched_file_has_not_changed_for_the_doctor(kb: Collection, docs: Path) -> None:
    os.utime(docs / "whales.txt", (1, 1))
    (docs / "sundial.md").unlink()
    assert [each.check for each in examine(kb).findings] == ["files-gone"]


def test_names_that_are_no_utf8_and_names_in_two_forms(opened, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    texts = ("Soup and bread.", "Whales sing.", "Oil is changed in May.", "Clocks are made here.")
    names = (b"caf\xe9.txt", b"caf\xe8.txt", rb"caf\xe9.txt", unicodedata.normalize("NFD", "Über.md").encode())
    for name, text in zip(names, texts, strict=True):
        (docs / os.fsdecode(name)).write_text(text)
    kb = opened()
    report = kb.index([docs])
    assert (report.indexed, report.problems) == (4, ())
    assert len(kb) == 4
    assert kb.ids(where="id like 'docs/Über%'") == ["docs/Über.md"]
    assert kb.index([docs]).unchanged == 4
    assert not examine(kb).findings
    (docs / os.fsdecode(b"caf\xe9.txt")).unlink()
    assert kb.index([docs]).removed == 1
    kb.index([docs / os.fsdecode(b"caf\xe8.txt")])
    assert len(kb) == 3


def test_a_file_that_fails_now_keeps_what_was_indexed(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", grows="Small.", other="Other.")
    kb = opened()
    kb.index([docs])
    (docs / "grows.txt").write_text("word " * 300_000)
    (problem,) = kb.index([docs], options=IndexOptions(max_file_mb=1)).problems
    assert "1.5 MB; what was indexed of it before stays" in problem.reason
    assert kb.text("docs/grows.txt") == "Small."


def test_removal_by_source_and_condition(opened, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="Alpha.", b="Beta.")
    write(docs / "old", c="Gamma.", d="Delta.")
    write(tmp_path / "docs2", e="Epsilon.")
    kb = opened()
    kb.index([docs, tmp_path / "docs2"])
    kb.add([{"id": "x", "text": "By hand.", "source": "https://example.org/x", "metadata": {"year": 1990}}])
    (tmp_path / "link").symlink_to(docs)
    assert kb.ids(source=tmp_path / "link/old") == ["docs/old/c.txt", "docs/old/d.txt"]
    assert kb.ids("id like '%c.txt'", source=docs) == ["docs/old/c.txt"]
    assert kb.remove(source="https://example.org/x") == 1
    assert kb.remove(where="id = 'docs/a.txt'") == 1
    shutil.rmtree(docs)
    assert kb.remove(source=docs) == 3
    assert kb.ids() == ["docs2/e.txt"]
    write(tmp_path / "other/docs", z="Zeta.")
    kb.index([tmp_path / "other/docs"])
    assert kb.ids(source=tmp_path / "other") == ["docs/z.txt"]  # the label is free again
    for wrong in ({}, {"ids": "a", "where": "id = 'a'"}):
        with pytest.raises(InvalidInput, match="to remove"):
            kb.remove(**wrong)
