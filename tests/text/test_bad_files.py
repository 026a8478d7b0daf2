"""Files that cannot be read: each with what came, what was wanted and the next step."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import zipfile
from pathlib import Path

import docx
import pypdf
import pytest

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.discover import DiscoveredFile
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings


def attempt(path: Path, kind: str, **chosen: object) -> tuple[list[Document], list[str]]:
    """What a reader makes of the file, and what it reports."""
    reports: list[str] = []
    found = DiscoveredFile(path, path.name, 0, 0, kind)
    return list(read(found, settings=ReadSettings(**chosen), report=reports.append)), reports


def encrypted(content: bytes, password: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(content))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b" " * 6_000_000)
    return out.getvalue()


def other_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return out.getvalue()


JUNK = random.Random(1).randbytes(4000)
LINE = json.dumps({"text": "words"}).encode()
BAD = [
    # name, kind, content, what the error says
    ("a.txt", "text", JUNK, "binary data, not text.*UTF-8 or another encoding.*exclude"),
    ("a.md", "markdown", b"\x00\x01\x02" * 50, "binary data"),
    ("a.txt", "text", b"%PDF-1.4 and so on", "binary data"),
    ("a.csv", "csv", JUNK, "binary data"),
    ("a.html", "html", JUNK, "binary data"),
    ("a.rst", "rst", JUNK, "binary data"),
    ("a.pdf", "pdf", b"", "cannot be read as pdf: PdfiumError.*sound pdf file.*save it again"),
    ("a.pdf", "pdf", b"%PDF-1.4\n", "cannot be read as pdf"),
    ("a.pdf", "pdf", JUNK, "cannot be read as pdf"),
    ("a.docx", "docx", b"", "no .docx file, or a damaged one.*zip archive.*save it again"),
    ("a.docx", "docx", JUNK, "no .docx file, or a damaged one"),
    (
        "a.docx",
        "docx",
        b"\xd0\xcf\x11\xe0" + JUNK,
        "encrypted, or in the format of Office before.*password",
    ),
    ("a.docx", "docx", other_zip(), "holds no Word document"),
    ("a.docx", "docx", bomb(), "unpacks to 6 MB of XML.*at most 4 times max_file_mb, 4 MB"),
    ("a.jsonl", "jsonl", b"{}\n[1]\nnot", "none of 3 lines is a document; line 1: no text in one of.*none"),
    ("a.jsonl", "jsonl", b'{"question": "q", "x": 1}', "its fields are question, x.*rename the field"),
    ("a.jsonl", "jsonl", b'{"text": "caf\xe9"}', "not UTF-8 at byte 13"),
    ("a.jsonl", "jsonl", b"[" * 100_000, "line 1: no JSON"),
    ("a.jsonl.gz", "jsonl", b"no gzip", "cannot be read as jsonl: BadGzipFile"),
    ("a.jsonl.gz", "jsonl", gzip.compress(LINE)[:-12], "cannot be read as jsonl: EOFError"),
    ("a.jsonl.gz", "jsonl", gzip.compress(b" " * 3_000_000), "line 1 is longer than 1 MB.*raise max_file_mb"),
    ("a.txt", "text", b"x" * 1_000_001, "has 1.0 MB.*at most 1 MB.*raise max_file_mb to 2"),
]


@pytest.mark.parametrize(("name", "kind", "content", "said"), BAD, ids=[f"{n}-{s[:25]}" for n, _, _, s in BAD])
def test_bad_files_say_what_to_do(tmp_path, name, kind, content, said, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableFile, match=f"(?s){said}") as raised:
        attempt(tmp_path / name, kind, max_file_mb=1)
    assert name in raised.value.message
    assert raised.value.expected
    assert raised.value.hint
    assert capfd.readouterr() == ("", "")


def test_a_file_that_vanished(tmp_path):
    for kind in ("text", "pdf", "docx", "csv", "jsonl"):
        with pytest.raises(UnreadableFile, match=r"(?s)gone now.*stays while it is read.*index again"):
            attempt(tmp_path / "a.txt", kind)


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(UnreadableFile, match=r"(?s)Is a directory.*look at the disk"):
        attempt(tmp_path, "text")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path):
    (tmp_path / "a.txt").write_text("secret")
    (tmp_path / "a.txt").chmod(0)
    with pytest.raises(UnreadableFile, match=r"(?s)may not be read.*permission.*chmod u\+r"):
        attempt(tmp_path / "a.txt", "text")


def test_encrypted_and_empty_pdf(tmp_path, pdf):
    path = tmp_path / "a.pdf"
    path.write_bytes(encrypted(pdf(["Hidden words."]), "secret"))
    with pytest.raises(UnreadableFile, match=r"(?s)is encrypted.*opens without password.*qpdf --decrypt"):
        attempt(path, "pdf")
    path.write_bytes(encrypted(pdf(["Open words."]), ""))
    assert attempt(path, "pdf")[0][0].text == "Open words."
    path.write_bytes(pdf(["", ""]))
    with pytest.raises(UnreadableFile, match=r"(?s)no text on its 2 pages.*text layer.*ocrmypdf"):
        attempt(path, "pdf")


def test_damaged_pdf_and_docx_are_read_or_refused(tmp_path, pdf, capfd):
    """Bytes changed at random places: documents or UnreadableFile, never another error, never output."""
    made = docx.Document()
    made.add_heading("Title", 0)
    made.add_paragraph("words " * 50)
    made.save(tmp_path / "sound.docx")
    sound = {"pdf": pdf(["First.", "Second."]), "docx": (tmp_path / "sound.docx").read_bytes()}
    dice = random.Random(7)
    refused = 0
    for kind, content in sound.items():
        for _ in range(60):
            broken = bytearray(content[: dice.randrange(len(content) // 2, len(content) + 1)])
            for _ in range(8):
                broken[dice.randrange(len(broken))] = dice.randrange(256)
            path = tmp_path / f"a.{kind}"
            path.write_bytes(bytes(broken))
            try:
                attempt(path, kind)
            except UnreadableFile:
                refused += 1
    assert 20 < refused < 120
    assert capfd.readouterr() == ("", "")


def test_bad_lines_are_reported_with_their_number_and_the_others_read(tmp_path):
    lines = [LINE, b"{broken", b"", b"[1]", LINE, b'{"text": 5}', b'{"_id": "5", "text": "again"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines, *[b"no"] * 9]))
    documents, reports = attempt(tmp_path / "a.jsonl", "jsonl")
    assert [document.id for document in documents] == ["a.jsonl#1", "a.jsonl#5"]
    assert [report.split(", line ")[-1][:12] for report in reports[:4]] == [
        "2: no JSON: ",
        "4: a JSON li",
        "6: no text i",
        "7: the id '5",
    ]
    assert len(reports) == 6
    assert "8 more lines left out" in reports[-1]


def test_tables_with_problems(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2,3\n4\n")
    documents, reports = attempt(tmp_path / "a.csv", "csv")
    assert [document.text for document in documents] == ["a: 1\nb: 2\ncolumn 3: 3", "a: 4"]
    assert reports == [f"{tmp_path / 'a.csv'}, row 1: 3 values for 2 columns"]
    with pytest.raises(UnreadableFile, match=r"(?s)no column 'body'.*one of its columns: a, b.*Hint"):
        attempt(tmp_path / "a.csv", "csv", text_column="body")


def test_a_guessed_encoding_is_reported(tmp_path):
    (tmp_path / "a.txt").write_bytes("Das Wetter in Köln ist schön, die Straßen sind naß.".encode("cp1252") * 9)
    documents, reports = attempt(tmp_path / "a.txt", "text")
    assert "Köln" in documents[0].text
    assert "not UTF-8; read as" in reports[0]


def test_invalid_bytes_deep_in_a_large_file(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"plain ascii words\n" * 60_000 + b"caf\xe9 au lait\n" * 50)
    documents, reports = attempt(tmp_path / "a.txt", "text")
    assert documents[0].text.count("café au lait") == 50
    assert len(reports) == 1
