"""Documents behind a URL are indexed as those of a folder are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, StorageError
from gnomon.core.paths import path_of, path_text
from gnomon.testing.toys import HashEncoder
from support.s3_server import KEY, SECRET, Bucket, s3_bucket

pytestmark = pytest.mark.slow  # pyarrow's S3 client takes a second to start
URL = "s3://docs/manual"
TEXTS = {
    "manual/sundial.md": "# Sundials\n\nA gnomon is the part of a sundial that casts the shadow.\n",
    "manual/deep/tea.txt": "Green tea is brewed at seventy degrees; black tea takes boiling water.\n",
    "manual/deep/README": "A file without an extension, which is a text all the same.\n",
    "manual/image.png": "\x89PNG",
    "manual/.hidden/a.txt": "Hidden.",
    "manual/drafts/plan.txt": "A plan that an ignore file leaves out.",
    "manual/.gitignore": "drafts/\n",
    "manual/old.log": "excluded by a pattern",
    "other/away.txt": "Not below the prefix.",
}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with s3_bucket() as bucket:
        for key, text in TEXTS.items():
            bucket.put(key, text.encode("latin-1"))
        yield bucket


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(64, max_tokens=48)) as kb:
        yield kb


OPTIONS = gnomon.collection.IndexOptions(exclude=("*.log",))


def test_paths_of_urls_are_paths_and_come_back() -> None:
    for url in ("s3://bucket/a b/c.txt", "gs://bucket", "hdfs://host:9000/x", "https://host/docs/"):
        path = path_of(url)
        assert path_text(path) == path_text(Path(url)) == url.rstrip("/")
        assert path_text(path / "x") == f"{url.rstrip('/')}/x"
    for local in ("/s3:/bucket", "C:/x", "postgresql://host/db/kb"):
        assert "://" not in path_text(Path(local)) or local.startswith("postgresql")


def test_a_prefix_is_indexed_as_a_folder_is(bucket: Bucket, kb: Collection) -> None:
    bucket.page = 2  # several pages of the listing
    report = kb.index(URL, options=OPTIONS)
    assert sorted(kb.ids()) == ["manual/deep/README", "manual/deep/tea.txt", "manual/sundial.md"]
    assert (report.indexed, report.ignored) == (3, 1)
    assert [(problem.path, problem.reason) for problem in report.problems] == [
        (f"{URL}/image.png", "no reader for .png files")
    ]
    document = kb.get("manual/deep/tea.txt")
    assert document is not None
    assert document.source == f"{URL}/deep/tea.txt"
    assert kb.search("how hot is the water for green tea")[0].document == "manual/deep/tea.txt"
    assert kb.ids(source=f"{URL}/deep") == ["manual/deep/README", "manual/deep/tea.txt"]


def test_only_what_changed_is_fetched_and_what_is_gone_is_removed(bucket: Bucket, kb: Collection) -> None:
    kb.index(URL, options=OPTIONS)
    bucket.asked.clear()
    assert kb.index(URL, options=OPTIONS).unchanged == 3
    assert set(bucket.gets()) == {"manual/.gitignore", "manual/deep/README"}  # their first bytes say what they are
    bucket.put("manual/sundial.md", "# Sundials\n\nNow about clocks.\n", second=7)
    bucket.put("manual/new.txt", "A file that is new.")
    del bucket.objects["manual/deep/tea.txt"]
    report = kb.index(URL, options=OPTIONS)
    assert (report.indexed, report.removed, report.unchanged) == (2, 1, 1)
    assert sorted(kb.ids()) == ["manual/deep/README", "manual/new.txt", "manual/sundial.md"]


def test_one_object_and_a_folder_beside_it(bucket: Bucket, kb: Collection, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("A file of this machine.")
    kb.index([f"{URL}/sundial.md", tmp_path / "here.txt"])
    assert sorted(kb.ids()) == ["here.txt", "sundial.md"]
    bucket.asked.clear()
    kb.index(tmp_path / "here.txt")
    assert bucket.asked == []
    assert len(kb) == 2


def test_a_corpus_in_a_bucket_stands_for_its_folder(bucket: Bucket, kb: Collection) -> None:
    rows = "\n".join(f'{{"_id": "d{n}", "title": "", "text": "row {n} of the corpus"}}' for n in range(5))
    bucket.put("beir/corpus.jsonl", rows)
    bucket.put("beir/notes.txt", "beside")
    kb.index("s3://docs/beir")
    assert sorted(kb.ids()) == [f"d{n}" for n in range(5)]


def test_a_file_that_fails_is_named_by_its_url(bucket: Bucket, kb: Collection) -> None:
    bucket.put("manual/bad.pdf", "%PDF-1.4 nothing")
    bucket.errors["HEAD", "manual/deep/tea.txt"] = [(403, "AccessDenied")] * 9
    bucket.errors["GET", "manual/sundial.md"] = [(503, "SlowDown")] * 2  # goes on by itself
    report = kb.index(URL, options=OPTIONS)
    assert report.indexed == 2
    reasons = {problem.path: problem.reason + problem.hint for problem in report.problems}
    assert "credentials" in reasons[f"{URL}/deep/tea.txt"]
    assert "pdf" in reasons[f"{URL}/bad.pdf"]
    assert not any("gnomon-" in reason or "s3:/d" in reason for reason in reasons.values())


def test_a_large_object_is_not_fetched(bucket: Bucket, kb: Collection) -> None:
    bucket.put("manual/large.txt", "x" * 2_000_000)
    report = kb.index(URL, options=gnomon.collection.IndexOptions(exclude=("*.log",), max_file_mb=1))
    assert any("2.0 MB" in problem.reason for problem in report.problems)
    assert "manual/large.txt" not in bucket.gets()


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("s3://docs/nothing", InvalidInput, "no such file or folder: s3://docs/nothing"),
        ("s3://elsewhere/x", InvalidInput, "no such file"),
        ("nosuch://host/x", InvalidInput, "nosuch"),
        (f"s3://{KEY}:{SECRET}@docs/x", InvalidInput, "with a user or a password"),
    ],
)
def test_wrong_addresses(bucket: Bucket, kb: Collection, url: str, kind: type[GnomonError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        kb.index(url)
    assert SECRET not in str(caught.value)


def test_no_rights_and_no_server(bucket: Bucket, kb: Collection) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "WRONG"
    os.environ["AWS_ENDPOINT_URL"] += "/"
    with pytest.raises(StorageError, match=URL) as caught:
        kb.index(URL)
    assert SECRET not in str(caught.value)
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    with pytest.raises(ServerUnreachable, match=URL):
        kb.index(URL)


def test_a_listing_that_breaks_off_removes_nothing(bucket: Bucket, kb: Collection) -> None:
    kb.index(URL, options=OPTIONS)
    bucket.errors["GET", ""] = [(500, "InternalError")] * 50
    with pytest.raises(GnomonError):
        kb.index(URL, options=OPTIONS)
    assert len(kb) == 3


def test_a_prefix_that_is_empty_keeps_what_was_indexed(bucket: Bucket, kb: Collection) -> None:
    kb.index(URL, options=OPTIONS)
    bucket.objects.clear()
    with pytest.raises(InvalidInput, match="3 files indexed from it are kept"):
        kb.index(URL, options=OPTIONS)
    assert len(kb) == 3


def test_the_estimate_reads_a_bucket_too(bucket: Bucket, kb: Collection, tmp_path: Path) -> None:
    assert kb.estimate(URL, options=OPTIONS).documents == 3


def test_other_schemes_are_those_of_fsspec(kb: Collection) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe({"/notes/a.txt": b"A note on whales.", "/notes/deep/b.md": b"# Tea"})
    try:
        assert kb.index("memory://notes").indexed == 2
        assert sorted(kb.ids()) == ["notes/a.txt", "notes/deep/b.md"]
        files.pipe({"/notes/a.txt": b"A note on shales."})  # as long, and this server keeps no times
        report = kb.index("memory://notes")
        assert (report.indexed, report.unchanged) == (1, 1)
    finally:
        files.rm("/notes", recursive=True)
