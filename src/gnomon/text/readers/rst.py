"""reStructuredText, Sphinx's included as far as it can be read without Sphinx."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.text.decode import decode
from gnomon.text.readers.blocks import GAP, Block, code, heading, item, joined, located, paragraph, row
from gnomon.text.settings import ProblemCallback, ReadSettings

_SETTINGS = {
    "_disable_config": True,
    "doctitle_xform": False,
    "docinfo_xform": False,
    "exit_status_level": 10,
    "file_insertion_enabled": False,
    "halt_level": 10,
    "input_encoding": "unicode",
    "line_length_limit": 1_000_000_000,  # docutils' own, 10,000, leaves a whole file out for one line
    "raw_enabled": False,
    "report_level": 10,
    "syntax_highlight": "none",
    "traceback": True,
    "warning_stream": False,
}
_MARKED = r"`[~!]?([^`]*?)(?:\s*<[^<>`]*>)?`"
_ROLE = re.compile(rf":[\w:.+-]+:{_MARKED}|{_MARKED}(?::[\w:.+-]+:|__?)?")
_DIRECTIVE = re.compile(r"\.\.\s+(?P<name>[\w:.+-]+)::[ \t]*(?P<words>[^\n]*)\n?(?P<body>.*)", re.DOTALL)
_OPTION = re.compile(r"\s*:[\w -]+:(\s|$)")
_CODE = frozenset({"code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode", "prompt"})
_SILENT = frozenset(
    """toctree contents raw include literalinclude image figure index highlight currentmodule tabularcolumns
    autosummary sectionauthor codeauthor meta graphviz plot""".split()
)
_DEEPEST = 20


def read_rst(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document, its title the first heading. Includes and raw parts are not followed.

    A directive that docutils does not know gives its arguments and its body, an unknown role its text.
    """
    tree = _tree(decode(path.read_bytes(), path, report))
    blocks = list(_blocks(tree, 0, 0))
    first = next((block.text for block in blocks if block.text.startswith("# ")), "")
    text, lines = located(blocks)
    yield Document(id="", text=text, title=first.removeprefix("# "), media_type="text/x-rst", locations=lines)


def _tree(text: str) -> Any:
    from docutils.core import publish_doctree

    return publish_doctree(text, settings_overrides=dict(_SETTINGS))


def _blocks(node: Any, section: int, depth: int) -> Iterator[Block]:
    """The blocks of a node's children: `section` is the depth of headings, `depth` that of lists."""
    for child in node.children:
        line = int(getattr(child, "line", None) or 0)
        for block in _block(child, node, section, depth=depth):
            yield block if block.line or not line else replace(block, line=line)


def _block(child: Any, node: Any, section: int, *, depth: int) -> Iterator[Block]:
    """The blocks of one node, a child of `node`."""
    kind = child.tagname
    if kind == "section":
        yield from _blocks(child, section + 1, depth)
    elif kind in ("title", "rubric"):
        level = section if kind == "title" and node.tagname == "section" else section + 1
        yield heading(level, _words(child))
    elif kind in ("literal_block", "doctest_block", "math_block"):
        yield code(child.astext())
    elif kind == "table":
        yield from _table(child)
    elif kind in ("bullet_list", "enumerated_list"):
        for entry in child.children:
            yield from _item(entry, section, depth)
    elif kind in ("paragraph", "term", "line", "attribution", "caption"):
        yield paragraph(_words(child))
    elif kind == "field":
        name, body = child.children
        yield paragraph(f"{_words(name)}: {joined(_blocks(body, section, depth))}")
    elif kind == "system_message":
        yield from _misread(child, section, depth)
    elif kind not in ("comment", "substitution_definition", "target", "image", "pending", "label"):
        yield from _blocks(child, section, depth)


def _item(entry: Any, section: int, depth: int) -> Iterator[Block]:
    blocks = list(_blocks(entry, section, depth + 1))
    if blocks:
        yield item(blocks[0].text.lstrip("- "), depth)
        yield from blocks[1:]


def _table(table: Any) -> Iterator[Block]:
    yield GAP
    for line in table.findall(lambda node: getattr(node, "tagname", "") == "row"):
        yield row([joined(_blocks(entry, 0, 0)) for entry in line.children])
    yield GAP


def _words(node: Any) -> str:
    """The text of a node and all inside it; a role that docutils could not read by what it marks."""
    parts = []
    for leaf in node.findall():
        if leaf.tagname == "#text" and leaf.parent.tagname == "problematic":
            parts.append(_ROLE.sub(lambda found: found[1] or found[2] or "", leaf.astext()).rstrip("_"))
        elif leaf.tagname == "#text":
            parts.append(leaf.astext())
    return "".join(parts)


def _misread(message: Any, section: int, depth: int) -> Iterator[Block]:
    """What docutils made an error of: the source of a directive stands in it as a literal block."""
    source = next((child.astext() for child in message.children if child.tagname == "literal_block"), "")
    found = _DIRECTIVE.match(source)
    if found is None or found["name"] in _SILENT or depth > _DEEPEST:
        return
    body = textwrap.dedent(found["body"]).split("\n")
    while body and (_OPTION.match(body[0]) or not body[0].strip()):
        del body[0]
    if found["name"] in _CODE:
        yield code("\n".join(body))
        return
    inner = "\n".join([found["words"], "", *body])
    yield from _blocks(_tree(inner), section, depth + 1)
