"""Which reader reads which file: by extension, by name, and by its first bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.plugins import has_plugin
from gnomon.text.settings import ProblemCallback, ReadSettings

Beginning = Callable[[Path, int], AbstractContextManager[Path]]
BuiltInReader = Callable[[Path, ReadSettings, ProblemCallback], Iterator[Document]]

_READERS = {
    "text": "plain:read_text",
    "code": "plain:read_code",
    "markdown": "plain:read_markdown",
    "html": "html:read_html",
    "pdf": "pdf:read_pdf",
    "docx": "docx:read_docx",
    "rst": "rst:read_rst",
    "csv": "csv:read_csv",
    "jsonl": "jsonl:read_jsonl",
    "beir": "jsonl:read_beir",
    "notebook": "notebook:read_notebook",
    "email": "email:read_email",
    "epub": "epub:read_epub",
    "odt": "odt:read_odt",
    "rtf": "rtf:read_rtf",
    "slides": "slides:read_slides",
    "sheet": "sheet:read_sheet",
}
_CODE = """
    asm awk bash bat bib c cc cfg clj cljs cmake conf cpp cs css cxx dart diff el elm erl ex exs f90 fish fs
    gd go gradle graphql groovy h hh hpp hrl hs hxx ini java jl js json json5 jsonc jsx kt kts less lisp lua
    m mk ml mli mm nim nix patch php pl plist pm properties proto ps1 py pyi pyx r rb rkt rs s scala scm scss
    sh sol sql sty svelte swift tcl tex tf thrift toml ts tsx v vb vhdl vim vue xml xsd yaml yml zig zsh
"""
KIND_BY_EXTENSION: dict[str, str] = {
    **{f".{name}": "code" for name in _CODE.split()},
    **{f".{name}": "text" for name in "txt text log adoc asciidoc asc org srt vtt man".split()},
    **{f".{name}": "markdown" for name in "md markdown mdx mkd qmd rmd".split()},
    **{f".{name}": "html" for name in "html htm xhtml".split()},
    **{f".{name}": "csv" for name in "csv tsv".split()},
    **{f".{name}": "jsonl" for name in "jsonl ndjson jsonl.gz ndjson.gz".split()},
    **{f".{name}": "docx" for name in "docx docm dotx".split()},
    **{f".{name}": "odt" for name in "odt ott".split()},
    **{f".{name}": "sheet" for name in "xlsx xlsm xlsb xls ods".split()},
    **{f".{name}": "slides" for name in "pptx pptm ppsx".split()},
    ".pdf": "pdf",
    ".rst": "rst",
    ".ipynb": "notebook",
    ".eml": "email",
    ".epub": "epub",
    ".rtf": "rtf",
}
_KIND_BY_BEGINNING = {b"%PDF-": "pdf", b"{\\rtf": "rtf"}
_SNIFFED_BYTES = 8192


def beginning_of(path: Path, _: int) -> AbstractContextManager[Path]:
    """The file itself, which begins as it does; see `kind_of`."""
    return nullcontext(path)


def kind_of(path: Path, *, named: bool = False, beginning: Beginning = beginning_of) -> str:
    """The kind of a file, or "" where no reader takes it.

    A file without extension, or one that the caller named itself (`named`), is text if it looks like it. `beginning`
    gives a file of this machine that begins as it does, for one that lies elsewhere.
    Raises OSError when such a file cannot be opened.
    """
    name = path.name.lower()
    for extension in ("".join(path.suffixes[-2:]).lower(), path.suffix.lower()):
        if has_plugin("gnomon.readers", extension):
            return f"plugin:{extension}"
        if extension in KIND_BY_EXTENSION:
            return KIND_BY_EXTENSION[extension]
    if name in ("makefile", "dockerfile", "rakefile", "gemfile", "jenkinsfile", "vagrantfile"):
        return "code"
    if not named and path.suffix:
        return ""
    with beginning(path, _SNIFFED_BYTES) as copy:
        with copy.open("rb") as file:
            first = file.read(_SNIFFED_BYTES)
        for mark, kind in _KIND_BY_BEGINNING.items():
            if first.startswith(mark):
                return kind
        return "text" if looks_like_text(copy) else ""


def looks_like_text(path: Path) -> bool:
    """Whether the first 8 kB hold no NUL and hardly a control character, in UTF-8 or not."""
    from gnomon.text.decode import is_binary
    from gnomon.text.open_file import open_regular

    with open_regular(path) as file:
        return not is_binary(file.read(_SNIFFED_BYTES))


def built_in(kind: str) -> BuiltInReader:
    """The reader of a built-in kind, its module imported now."""
    if kind not in _READERS:
        raise InvalidInput(
            f"the kind of file {kind!r}",
            expected=f"one of {', '.join(_READERS)}, or plugin:.EXTENSION for an installed reader",
            hint="take the kind that `discover` gives",
        )
    module, function = _READERS[kind].split(":")
    reader: BuiltInReader = getattr(import_module(f"gnomon.text.readers.{module}"), function)
    return reader
