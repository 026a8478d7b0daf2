"""What is found under a path, and under which id."""

from __future__ import annotations

import json
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.text.discover import discover, label_roots
from gnomon.text.file_types import KIND_BY_EXTENSION, built_in, kind_of
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings
from support.plugins import installed_plugins


def write(root: Path, *names: str, text: str = "some text") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def ids(*paths: Path, **chosen: object) -> list[str]:
    return [found.id for found in discover(paths, settings=ReadSettings(**chosen)) if not found.skipped]


def skipped(*paths: Path) -> dict[str, str]:
    return {f.id: f.skipped for f in discover(paths, settings=ReadSettings()) if f.skipped}


def test_folders_are_walked_in_order_and_noise_is_left_out(tmp_path):
    docs = tmp_path / "docs"
    write(docs, "b.md", "a.txt", "sub/deep/c.rst", "sub/README", "Makefile", "z.PY", "sub2/x.html")
    write(docs, ".hidden.md", ".git/x.md", "__pycache__/x.py", "node_modules/a/x.js", ".venv/x.py")
    write(docs, "env/pyvenv.cfg", "env/lib/x.py", "kb/collection.db", "kb/notes.md")
    found = list(discover([docs], settings=ReadSettings()))
    assert [f.id for f in found] == [
        "docs/Makefile",
        "docs/a.txt",
        "docs/b.md",
        "docs/z.PY",
        "docs/sub/README",
        "docs/sub/deep/c.rst",
        "docs/sub2/x.html",
    ]
    assert [f.kind for f in found] == ["code", "text", "markdown", "code", "text", "rst", "html"]
    assert found[1].path == docs / "a.txt"
    assert (found[1].size, found[1].mtime_ns) == (9, (docs / "a.txt").stat().st_mtime_ns)


def test_ids_do_not_depend_on_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path, "docs/guide/a.md")
    wanted = ids(tmp_path / "docs")
    assert wanted == ["docs/guide/a.md"]
    monkeypatch.chdir(tmp_path)
    assert ids(Path("docs")) == wanted
    monkeypatch.chdir(tmp_path / "docs")
    assert ids(Path()) == ids(Path("guide/..")) == wanted
    assert ids(Path("guide/a.md")) == ["a.md"]


def test_two_folders_of_one_name_get_different_ids_whatever_the_order(tmp_path):
    write(tmp_path, "one/docs/a.md", "two/docs/a.md")
    roots = tmp_path / "one/docs", tmp_path / "two/docs"
    assert ids(*roots) == ["docs/a.md", "two/docs/a.md"]
    assert sorted(ids(*reversed(roots))) == ["docs/a.md", "two/docs/a.md"]


def test_a_file_keeps_its_id_when_it_is_given_in_another_way(tmp_path):
    write(tmp_path, "docs/guide/a.md", "docs/b.md")
    labels = label_roots([tmp_path / "docs"])
    assert labels == {str(tmp_path / "docs"): "docs"}
    assert ids(tmp_path / "docs/guide", labels=labels) == ["docs/guide/a.md"]
    assert ids(tmp_path / "docs/guide/a.md", labels=labels) == ["docs/guide/a.md"]
    # The inner folder came first, under its own name; the outer one, later, leaves its ids alone.
    inner = label_roots([tmp_path / "docs/guide"])
    assert ids(tmp_path / "docs", labels=inner) == ["docs/b.md", "guide/a.md"]
    # Each file once, though given twice.
    assert ids(tmp_path / "docs", tmp_path / "docs/guide", tmp_path / "docs/b.md") == [
        "docs/b.md",
        "docs/guide/a.md",
    ]


def test_labels_of_one_run_never_meet_those_of_another(tmp_path):
    write(tmp_path, "x/docs/a.md", "y/docs/a.md", "z/x/docs/b.md")
    known = label_roots([tmp_path / "x/docs"])
    known = label_roots([tmp_path / "y/docs"], known)
    known = label_roots([tmp_path / "z/x/docs"], known)
    assert list(known.values()) == ["docs", "y/docs", "x/docs"]
    assert label_roots([tmp_path / "x/docs"], known) == known


def test_exclude_patterns(tmp_path):
    write(tmp_path, "d/a.md", "d/a.txt", "d/old/b.md", "d/new/old/c.md", "d/new/d.md")
    assert ids(tmp_path / "d", exclude=("*.txt", "old")) == ["d/a.md", "d/new/d.md"]
    assert ids(tmp_path / "d", exclude=("old/*", "new/old/")) == ["d/a.md", "d/a.txt", "d/new/d.md"]
    assert ids(tmp_path / "d", exclude=("*",)) == []
    with pytest.raises(InvalidInput, match=r"(?s)the string '\*.md'.*exclude=\('\*.md',\)"):
        ReadSettings(exclude="*.md")


def test_links_are_followed_to_files_and_never_to_folders(tmp_path):
    write(tmp_path, "d/a.md", "elsewhere/b.md", "elsewhere/in/c.md")
    (tmp_path / "d/loop").symlink_to(tmp_path / "d")
    (tmp_path / "d/out").symlink_to(tmp_path / "elsewhere/in")
    (tmp_path / "d/b.md").symlink_to(tmp_path / "elsewhere/b.md")
    (tmp_path / "d/gone.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "d/self.md").symlink_to(tmp_path / "d/self.md")
    assert ids(tmp_path / "d") == ["d/a.md", "d/b.md"]
    reasons = skipped(tmp_path / "d")
    assert set(reasons) == {"d/loop", "d/out", "d/gone.md", "d/self.md"}
    assert reasons["d/loop"] == "a link to a folder; name that folder itself to index it"
    assert reasons["d/gone.md"] == "cannot be opened: No such file or directory"
    assert ids(tmp_path / "d/loop") == ["loop/a.md", "loop/b.md"]
    assert ids(tmp_path / "d/loop", labels=label_roots([tmp_path / "d"])) == ["d/a.md", "d/b.md"]


def test_what_no_reader_takes_is_skipped_with_its_reason(tmp_path):
    write(tmp_path, "d/a.xyz", "d/notes")
    (tmp_path / "d/photo.PNG").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "d/junk").write_bytes(bytes(range(256)) * 9)
    os.mkfifo(tmp_path / "d/pipe.txt")
    assert ids(tmp_path / "d") == ["d/notes"]
    assert skipped(tmp_path / "d") == {
        "d/a.xyz": "no reader for .xyz files",
        "d/photo.PNG": "no reader for .png files",
        "d/junk": "no text, by its first bytes",
        "d/pipe.txt": "no regular file",
    }
    # What the caller names is taken if it looks like text at all.
    assert ids(tmp_path / "d/a.xyz") == ["a.xyz"]
    assert skipped(tmp_path / "d/photo.PNG") == {"photo.PNG": "no reader for .png files"}
    found = next(discover([tmp_path / "d/junk"], settings=ReadSettings()))
    with pytest.raises(InvalidInput, match=r"(?s)was skipped: no text.*did not skip"):
        list(read(found, settings=ReadSettings()))


def test_paths_that_do_not_exist_are_all_named_at_once(tmp_path):
    write(tmp_path, "a.md")
    with pytest.raises(InvalidInput, match=r"(?s)no such file or folder: .*b\.md, .*c.*typing error"):
        discover([tmp_path / "a.md", tmp_path / "b.md", tmp_path / "c"], settings=ReadSettings())
    with pytest.raises(InvalidInput, match="one path"):
        discover(tmp_path, settings=ReadSettings())
    with pytest.raises(InvalidInput, match="no such file or folder"):
        discover([Path("a\x00b")], settings=ReadSettings())
    write(tmp_path, "kb/collection.db")
    with pytest.raises(InvalidInput, match=r"(?s)is a gnomon collection.*holds your documents"):
        discover([tmp_path / "kb"], settings=ReadSettings())
    assert ids() == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_skipped(tmp_path):
    write(tmp_path, "d/a.md", "d/locked/b.md")
    (tmp_path / "d/locked").chmod(0)
    assert ids(tmp_path / "d") == ["d/a.md"]
    assert skipped(tmp_path / "d") == {"d/locked": "the folder cannot be listed: Permission denied"}
    (tmp_path / "d/locked").chmod(0o700)


def test_a_beir_folder_is_its_corpus(tmp_path):
    row = json.dumps({"_id": "MED-10", "title": "T", "text": "words"})
    write(tmp_path, "set/corpus.jsonl", "set/queries.jsonl", text=row)
    write(tmp_path, "set/qrels/test.tsv", "plain/corpus.jsonl", text='{"body": "no BEIR"}')
    found = list(discover([tmp_path], settings=ReadSettings()))
    assert [(f.path.relative_to(tmp_path).as_posix(), f.kind) for f in found] == [
        ("plain/corpus.jsonl", "jsonl"),
        ("set/corpus.jsonl", "beir"),
    ]
    assert [document.id for document in read(found[1], settings=ReadSettings())] == ["MED-10"]


def test_names_that_are_no_unicode_get_an_id_all_the_same(tmp_path):
    (tmp_path / "d").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/d/caf\xe9.txt")).write_text("text")
    (found,) = discover([tmp_path / "d"], settings=ReadSettings())
    assert found.id == "d/caf\\xe9.txt"
    (document,) = read(found, settings=ReadSettings())
    assert document.source.encode()


def test_every_extension_has_a_reader():
    for kind in {*KIND_BY_EXTENSION.values(), "beir"}:
        assert callable(built_in(kind))
    with pytest.raises(InvalidInput, match=r"(?s)kind of file 'midi'.*one of text, code"):
        built_in("midi")


def test_another_package_can_bring_a_reader(tmp_path):
    with installed_plugins(EntryPoint("Midi", f"{__name__}:read_epub", "gnomon.readers")):
        write(tmp_path, "song.midi")
        (found,) = discover([tmp_path], settings=ReadSettings())
        assert found.kind == "plugin:.midi"
        documents = list(read(found, settings=ReadSettings()))
        assert [document.id for document in documents] == [f"{found.id}#1", f"{found.id}#2"]
        assert documents[0].source == str(tmp_path / "song.midi")
    assert kind_of(tmp_path / "song.midi") == ""
    with pytest.raises(InvalidInput, match=r"(?s)no plug-in '.midi' is installed.*gnomon.readers"):
        list(read(found, settings=ReadSettings()))


def read_epub(path: Path):
    yield Document("1", path.read_text(), metadata={"n": float("nan")})
    yield Document("2", "more")
