"""gnomon demo: Python's own documentation, indexed and asked."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import os
import re
import shlex
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.documents import Document

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon import Collection
    from gnomon.core.ranking import Hit


# Jokes, programs, tests, code on its way out, and codecs' generated tables: not what anyone asks about.
LEFT_OUT = frozenset(
    "antigravity this idlelib test turtledemo lib2to3 ensurepip encodings distutils pydoc_data".split()
)
TEST_FOLDERS = frozenset(("test", "tests", "idle_test"))
SHORTEST = 30  # characters; below it a docstring says no more than the name
# Compiled modules by the public name under which people know what is in them.
COMPILED = {
    "builtins": "",
    "sys": "sys",
    "math": "math",
    "cmath": "cmath",
    "itertools": "itertools",
    "time": "time",
    "posix": "os",
    "nt": "os",
    "gc": "gc",
    "array": "array",
    "zlib": "zlib",
    "binascii": "binascii",
    "unicodedata": "unicodedata",
    "select": "select",
    "mmap": "mmap",
    "_io": "io",
    "_collections": "collections",
    "_functools": "functools",
    "_operator": "operator",
    "_datetime": "datetime",
    "_decimal": "decimal",
    "_sqlite3": "sqlite3",
    "_socket": "socket",
    "_struct": "struct",
    "_random": "random",
    "_hashlib": "hashlib",
    "_thread": "threading",
    "_csv": "csv",
    "_heapq": "heapq",
    "_bisect": "bisect",
    "_lzma": "lzma",
    "_bz2": "bz2",
    "_weakref": "weakref",
}
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def python_documentation() -> list[Document]:
    """Everything that the running Python says about itself, each id once, sorted by id."""
    found: dict[str, Document] = {}
    for documents in (_from_sources(), _from_compiled(), _topics()):
        for document in documents:
            found.setdefault(document.id, document)
    return [found[key] for key in sorted(found)]


def _document(name: str, text: str, *, kind: str, module: str, source: str) -> Document:
    return Document(
        id=f"python/{name}",
        title=name,
        text=text,
        source=source,
        metadata={"kind": kind, "module": module},
    )


def _from_sources() -> Iterator[Document]:
    root = Path(sysconfig.get_path("stdlib"))
    here = os.path.__name__  # posixpath or ntpath; the other one says the same
    for module in sorted(sys.stdlib_module_names - LEFT_OUT - ({"posixpath", "ntpath"} - {here})):
        if module.startswith("_"):
            continue
        if (root / module).is_dir():
            yield from _package(root / module, module, root)
        elif (root / f"{module}.py").is_file():
            shown = "os.path" if module == here else module
            yield from _file(root / f"{module}.py", {"": shown}, root)


def _package(folder: Path, name: str, root: Path) -> Iterator[Document]:
    """A package's documents. What it re-exports is named as its users know it: asyncio.gather."""
    start = folder / "__init__.py"
    if not start.is_file():
        return
    yield from _file(start, {"": name}, root)
    exports = _exports(start)
    for path in sorted(folder.iterdir()):
        if path.name in TEST_FOLDERS or path.name.startswith("__"):
            continue
        if path.is_dir():
            yield from _package(path, f"{name}.{path.name}", root)
        elif path.suffix == ".py":
            shown = exports.get(path.stem, frozenset())
            public = {} if path.stem.startswith("_") else {"": f"{name}.{path.stem}"}
            yield from _file(path, public | dict.fromkeys(shown, name), root)


def _exports(start: Path) -> dict[str, frozenset[str]]:
    """For each submodule of a package the names that its __init__ takes from it."""
    taken: dict[str, frozenset[str]] = {}
    for node in _parsed(start).body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            names = frozenset(alias.name for alias in node.names)
            path = start.parent / f"{node.module}.py"
            if "*" in names and path.is_file():
                names = _declared(_parsed(path))
            taken[node.module] = taken.get(node.module, frozenset()) | names
    return taken


def _declared(tree: ast.Module) -> frozenset[str]:
    """The names in `__all__`, where it is written out."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            values = node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else ()
            return frozenset(str(v.value) for v in values if isinstance(v, ast.Constant))
    return frozenset()


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # some distributions keep templates and old syntax there
        return ast.Module(body=[], type_ignores=[])


def _file(path: Path, names: dict[str, str], root: Path) -> Iterator[Document]:
    """A file's docstrings. `names` maps a top-level name to the module it is shown under, "" the others."""
    tree, source = _parsed(path), path.relative_to(root).as_posix()
    module = names.get("")
    if module and len(text := ast.get_docstring(tree) or "") >= SHORTEST:
        yield _document(module, text, kind="module", module=module, source=source)
    for node in tree.body:
        if isinstance(node, Definition) and (shown := names.get(node.name, module)):
            yield from _definition(node, shown, (shown, source, ""))


def _definition(node: Definition, prefix: str, place: tuple[str, str, str]) -> Iterator[Document]:
    """A class or function and the public methods in it. `place`: module, source, kind of what is around."""
    module, source, around = place
    if node.name.startswith("_"):
        return
    name = f"{prefix}.{node.name}"
    is_class = isinstance(node, ast.ClassDef)
    text = ast.get_docstring(node) or ""
    if len(text) >= SHORTEST:
        kind = "class" if is_class else "method" if around == "class" else "function"
        shown = f"{_signature(node)}\n\n{text}"
        yield _document(name, shown, kind=kind, module=module, source=source)
    if is_class:
        for inner in node.body:
            if isinstance(inner, Definition):
                yield from _definition(inner, name, (module, source, "class"))


def _signature(node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{word} {node.name}({ast.unparse(node.args)})"


def _from_compiled() -> Iterator[Document]:
    for compiled, public in COMPILED.items():
        try:
            module = importlib.import_module(compiled)
        except ImportError:  # of another platform, or left out of this build
            continue
        yield from _members(module, public)


def _members(module: ModuleType, public: str) -> Iterator[Document]:
    shown = public or "builtins"
    for name, thing in _public(vars(module).items()):
        if not (inspect.isclass(thing) or inspect.isroutine(thing)) or _is_alias(thing, name, module):
            continue
        full = f"{public}.{name}" if public else name
        is_class = inspect.isclass(thing)
        yield from _member(full, thing, "class" if is_class else "function", module=shown)
        if is_class:
            for method, value in _public(vars(thing).items()):
                if not (inspect.isroutine(value) or inspect.isdatadescriptor(value)):
                    continue  # a constant has the documentation of its type
                yield from _member(f"{full}.{method}", value, "method", module=shown)


def _is_alias(thing: object, name: str, module: ModuleType) -> bool:
    """Whether it is the same under another name here or among the builtins, as select.error is OSError."""
    own = getattr(thing, "__name__", name)
    return own != name and any(getattr(place, own, None) is thing for place in (module, builtins))


def _public(items: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(name, thing) for name, thing in items if not name.startswith("_")]


def _member(name: str, thing: object, kind: str, *, module: str) -> Iterator[Document]:
    text = inspect.cleandoc(getattr(thing, "__doc__", None) or "")
    if len(text) < SHORTEST:
        return
    # Not inspect.signature: it evaluates defaults, and some builds name what they do not have.
    arguments = re.sub(r"\$\w+(, /)?(, )?", "", getattr(thing, "__text_signature__", None) or "")
    shown = f"{name.rpartition('.')[2]}{arguments}\n\n{text}" if arguments else text
    yield _document(name, shown, kind=kind, module=module, source=f"{module} (compiled)")


def _topics() -> Iterator[Document]:
    """The language reference as `help("with")` shows it."""
    from pydoc_data.topics import topics

    for name, text in topics.items():
        title = text.strip().splitlines()[0]
        yield Document(
            id=f"python/topic/{name}",
            title=title,
            text=text,
            source=f'help("{name}")',
            metadata={"kind": "topic", "module": ""},
        )


FOLDER = Path("demo-kb")
SHOWN = 3
QUESTIONS = (
    "what is the value in the middle of a list of numbers",
    "what happens when an error is raised while another one is being handled",
    "give up waiting for a coroutine after a few seconds",
    "how do I make a temporary directory that cleans up after itself",
    "measure how long a small piece of code takes",
)


@dataclass(frozen=True)
class IndexingFigures:
    """What indexing the corpus did: its documents, and figures summed over the batches."""

    documents: int
    changed: int
    passages: int
    tokens: int
    seconds: float
    embed_seconds: float


@dataclass(frozen=True)
class TimedHits:
    """A question's hits, and how long they took."""

    question: str
    hits: Sequence[Hit]
    seconds: float


@app.command(epilog=example("gnomon demo", "gnomon demo --into demo-kb --json"))
def demo(
    into: Annotated[Path, typer.Option(help="The collection's folder.")] = FOLDER,
    as_json: Json = False,
) -> None:
    """Index the documentation of the running Python and answer five questions from it."""
    import gnomon

    # DROPPED
    from gnomon.cli.terminal import data_console, noted, notes_console, print_json, print_message, print_notes

    with noted() as notes:
        documents = python_documentation()
        with gnomon.open(into, progress=print_message) as kb:
            built = index_documents(kb, documents, notes_console())
            answers = search_all(kb, QUESTIONS)
            passages = kb.status().chunks
    if as_json:
        print_json(demo_json(into, built, answers, passages=passages) | {"warnings": notes})
        return
    print_notes(notes)
    print_answers(data_console(), answers)
    print_figures(data_console(), into, built, answers=answers, passages=passages)


def index_documents(kb: Collection, documents: Sequence[Document], console: Console) -> IndexingFigures:
    """Put the documents in, with a progress bar."""
    from gnomon.cli.progress import ProgressBar

    started = time.perf_counter()
    with ProgressBar(console) as bar:
        report = kb.add(documents, progress=bar.update)
    return IndexingFigures(
        documents=len(documents),
        changed=report.documents,
        passages=report.embedded,
        tokens=report.tokens,
        seconds=time.perf_counter() - started,
        embed_seconds=report.embed_seconds,
    )


def search_all(kb: Collection, questions: Sequence[str]) -> list[TimedHits]:
    """Each question's best hits, timed; one question before them warms the caches up."""
    kb.search("warm up", k=SHOWN)
    answers = []
    for question in questions:
        started = time.perf_counter()
        hits = kb.search(question, k=SHOWN)
        answers.append(TimedHits(question, hits, time.perf_counter() - started))
    return answers


def p50_ms(answers: Sequence[TimedHits]) -> float:
    """The middle of the answers' times, in milliseconds."""
    return 1000 * median(answer.seconds for answer in answers)


def print_answers(console: Console, answers: Sequence[TimedHits]) -> None:
    """Each question with its hits."""
    from rich.text import Text

    from gnomon.cli.rendering.results import print_hits
    from gnomon.cli.terminal import print_hanging

    for answer in answers:
        print_hanging(console, Text("? ", style="bold cyan"), Text(answer.question, style="bold cyan"))
        console.print()
        print_hits(console, answer.hits)
        console.print()


def print_figures(
    console: Console, into: Path, built: IndexingFigures, *, answers: Sequence[TimedHits], passages: int
) -> None:
    """What was built, how fast, and what to try next."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, duration, print_rows, rate

    indexed = f"{count(built.changed)} of {count(built.documents)} documents were new or changed"
    embedded = "nothing to embed"
    if built.tokens:
        speed = rate(built.tokens, built.embed_seconds)
        embedded = f"{count(built.passages)} passages, {count(built.tokens)} tokens, {speed} tokens/s"
    rows = [
        ("holds", f"{count(passages)} passages of this Python's own documentation, in {into}"),
        ("indexed", f"{indexed}, in {duration(built.seconds)}"),
        ("embedded", embedded),
        ("a query", f"{p50_ms(answers):.1f} ms: the middle of these {len(answers)}"),
    ]
    print_rows(console, [(Text(label, style="dim"), Text(said)) for label, said in rows])
    console.print()
    console.print("Try next", style="bold")
    for command in next_commands(into):
        console.print(clean(f"  {command}"), soft_wrap=True)


def next_commands(into: Path) -> tuple[str, ...]:
    """Three commands that work at once on what the demo built."""
    from gnomon.cli.terminal import program

    name, at = program(), shlex.quote(str(into))
    return (
        f'{name} search {at} "ask for a password without showing it" --explain',
        f"{name} search {at} lru_cache --mode lexical --by document -k 3",
        f"{name} status {at}",
    )


def demo_json(into: Path, built: IndexingFigures, answers: Sequence[TimedHits], *, passages: int) -> dict[str, object]:
    """The same for scripts."""
    from dataclasses import asdict

    from gnomon.cli.rendering.results import hit_json

    asked = [
        {
            "question": answer.question,
            "seconds": round(answer.seconds, 6),
            "hits": [hit_json(hit, rank) for rank, hit in enumerate(answer.hits, 1)],
        }
        for answer in answers
    ]
    return {
        "collection": str(into),
        "passages": passages,
        "indexed": asdict(built),
        "query_p50_ms": round(p50_ms(answers), 3),
        "answers": asked,
        "next": list(next_commands(into)),
    }
