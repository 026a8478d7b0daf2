"""Files that are sound but odd: each of a size given in bytes, and of a kind that once held up an index run."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable

Make = Callable[[int], bytes]


def docx_merged(size: int) -> bytes:
    """A Word table of three columns, the first of which is one cell, merged over all rows."""
    merged = "<w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc>"
    first = '<w:tc><w:tcPr><w:vMerge w:val="restart"/></w:tcPr><w:p><w:r><w:t>Otters</w:t></w:r></w:p></w:tc>'
    cell = "<w:tc><w:p><w:r><w:t>river {0}</w:t></w:r></w:p></w:tc>" * 2
    rows = size // 220
    body = "".join(f"<w:tr>{merged if number else first}{cell.format(number)}</w:tr>" for number in range(max(rows, 2)))
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    return _docx(f"<w:document {space}><w:body><w:tbl><w:tblGrid/>{body}</w:tbl></w:body></w:document>")


def _docx(document: str) -> bytes:
    types = (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>'
    )
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("_rels/.rels", relations)
        archive.writestr("word/document.xml", document)
    return written.getvalue()


def html_attributes(size: int) -> bytes:
    """A page of one element with very many attributes."""
    attributes = " ".join(f"a{number}=1" for number in range(size // 10))
    return f"<html><body><p {attributes}>Otters swim.</p></body></html>".encode()


def html_nested(size: int) -> bytes:
    """Elements within each other."""
    return b"<html><body>" + b"<div><span>x" * (size // 12)


def html_rows(size: int) -> bytes:
    """Table cells that are never closed."""
    return b"<html><body><table>" + b"<tr><td>otter<td>river<table>" * (size // 30)


def jsonl_newlines(size: int) -> bytes:
    """A compressed file of nothing but newlines: `size` bytes when it is unpacked."""
    return gzip.compress(b"\n" * size, 1)


def csv_columns(size: int) -> bytes:
    """A header of very many columns, and a row."""
    names = ",".join(f"column{number}" for number in range(size // 24))
    return f"{names}\n{','.join('otter' for _ in range(size // 24))}\n".encode()


def csv_field(size: int) -> bytes:
    """A field that takes up nearly all of the file."""
    return b'name,text\notters,"' + b"otters swim in rivers, " * (size // 23) + b'"\n'


def csv_word(size: int) -> bytes:
    """A field of one word."""
    return b"name,text\notters," + b"x" * size + b"\n"


def line_of_words(size: int) -> bytes:
    """One line of words."""
    return b"otters swim in rivers and " * (size // 26)


def line_of_letters(size: int) -> bytes:
    """One line without a space."""
    return b"otter" * (size // 5)


def line_of_json(size: int) -> bytes:
    """One line of code."""
    return json.dumps({"rows": [{"id": number, "text": "an otter"} for number in range(size // 34)]}).encode()


def line_of_base64(size: int) -> bytes:
    """One line of letters and digits as base64 writes them."""
    import base64
    import random

    return base64.b64encode(random.Random(1).randbytes(size * 3 // 4))


def heading(size: int) -> bytes:
    """A Markdown heading of many words above a paragraph."""
    return b"# " + b"otters and rivers " * (size // 18) + b"\n\n" + b"Otters swim in rivers.\n\n" * 200


def headings(size: int) -> bytes:
    """Long Markdown headings, each below the other."""
    words = b"otters and rivers " * 60
    return b"".join(b"#" * (1 + at % 6) + b" " + words + b"\n\nOtters swim.\n\n" for at in range(size // 1100))


def heading_mark(size: int) -> bytes:
    """A heading of marks: what could be an inline mark, a link or a closing mark."""
    return b"# a" + b" #[*_`" * (size // 6) + b"\n\nOtters swim.\n"


def setext(size: int) -> bytes:
    """Lines that could be underlined headings."""
    return b"otters\n-\n= \n" * (size // 12)


def emphasis(size: int) -> bytes:
    """Markdown with inline marks that open and never close."""
    return b"# Otters\n\n" + b"*a **b _c __d " * (size // 14) + b"\n"


def nested_emphasis(size: int) -> bytes:
    """Marks within marks, all closed."""
    depth = size // 4
    return b"*a" * depth + b"a*" * depth


def links(size: int) -> bytes:
    """Markdown links that open and never close."""
    return b"[" * (size // 2) + b"a](" * (size // 6)


def quotes(size: int) -> bytes:
    """Quotes within each other, and lists."""
    return b"".join(b">" * (at % 200) + b" otters\n" for at in range(size // 110))


def fences(size: int) -> bytes:
    """Code fences of growing length."""
    return b"".join(b"`" * (3 + at % 300) + b"\notter\n" for at in range(size // 160))


def lists(size: int) -> bytes:
    """Lists, each within the other."""
    return b"".join(b"  " * (at % 100) + b"- otter\n" for at in range(size // 108))


def markdown_table(size: int) -> bytes:
    """A table of very many columns."""
    columns = size // 12
    return b"|a" * columns + b"|\n" + b"|-" * columns + b"|\n" + b"|otter x" * columns + b"|\n"


def underscores(size: int) -> bytes:
    """Marks alone."""
    return b"_*" * (size // 2)


def backticks(size: int) -> bytes:
    """Runs of backticks, each of its own length."""
    text, at = bytearray(b"Otters "), 1
    while len(text) < size:
        text += b"`" * at + b" a "
        at += 1
    return bytes(text)


def front_matter(size: int) -> bytes:
    """Front matter that does not end."""
    return b"---\n" + b"otter: river\n" * (size // 13)


def rst_nested(size: int) -> bytes:
    """Directives within each other."""
    return b"".join(b"   " * at + b".. note::\n\n" for at in range(int((size / 1.5) ** 0.5)))


def rst_marks(size: int) -> bytes:
    """Roles that never close."""
    return b"Otters\n======\n\n" + b"`a :b:`c *d **e " * (size // 16)


def json_maps(size: int) -> bytes:
    """A document whose metadata holds maps, 40 deep, around a text."""
    inner = '{"a":' * 40 + json.dumps("otter " * (size // 6)) + "}" * 40
    return f'{{"text": "Otters swim.", "meta": {inner}}}\n'.encode()


def json_lists(size: int) -> bytes:
    """Metadata of lists, deeply nested."""
    depth = size // 2
    return b'{"text": "Otters swim.", "meta": ' + b"[" * depth + b"]" * depth + b"}\n"


def json_numbers(size: int) -> bytes:
    """Metadata of one very long number."""
    return b'{"text": "Otters swim.", "meta": ' + b"9" * size + b"}\n"


def combining(size: int) -> bytes:
    """One letter with very many marks upon it."""
    return b"a" + "\u0301".encode() * (size // 2)


def spaces(size: int) -> bytes:
    """Little in much white space."""
    return b"otters" + b" \t\n" * (size // 3) + b"swim"


def thai(size: int) -> bytes:
    """A text without spaces in a script that many models don't know."""
    return ("ภาษาไทยไม่มีช่องว่างระหว่างคำ" * (size // 87)).encode()


FILES: dict[str, Make] = {
    "merged.docx": docx_merged,
    "attributes.html": html_attributes,
    "nested.html": html_nested,
    "rows.html": html_rows,
    "newlines.jsonl.gz": jsonl_newlines,
    "columns.csv": csv_columns,
    "field.csv": csv_field,
    "word.csv": csv_word,
    "words.txt": line_of_words,
    "letters.txt": line_of_letters,
    "line.json": line_of_json,
    "base64.txt": line_of_base64,
    "words.md": line_of_words,
    "letters.md": line_of_letters,
    "heading.md": heading,
    "headings.md": headings,
    "heading-mark.md": heading_mark,
    "setext.md": setext,
    "emphasis.md": emphasis,
    "nested-emphasis.md": nested_emphasis,
    "links.md": links,
    "quotes.md": quotes,
    "fences.md": fences,
    "lists.md": lists,
    "table.md": markdown_table,
    "underscores.md": underscores,
    "backticks.md": backticks,
    "front.md": front_matter,
    "nested.rst": rst_nested,
    "marks.rst": rst_marks,
    "maps.jsonl": json_maps,
    "lists.jsonl": json_lists,
    "numbers.jsonl": json_numbers,
    "combining.txt": combining,
    "spaces.txt": spaces,
    "thai.txt": thai,
}
"""A function of a size for each file, by the file's name."""
