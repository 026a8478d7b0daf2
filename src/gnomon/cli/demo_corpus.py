"""The documentation of the running Python itself, as documents: docstrings and pydoc's topics.

Sources are parsed, not imported: some modules open windows or browsers when they are. Only compiled modules,
whose documentation is nowhere else, are imported; theirs do nothing.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from gnomon.core.documents import Document

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
        yield from _member(full, thing, "class" if is_class else "function", shown)
        if is_class:
            for method, value in _public(vars(thing).items()):
                if not (inspect.isroutine(value) or inspect.isdatadescriptor(value)):
                    continue  # a constant has the documentation of its type
                yield from _member(f"{full}.{method}", value, "method", shown)


def _is_alias(thing: object, name: str, module: ModuleType) -> bool:
    """Whether it is the same under another name here or among the builtins, as select.error is OSError."""
    own = getattr(thing, "__name__", name)
    return own != name and any(getattr(place, own, None) is thing for place in (module, builtins))


def _public(items: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
    return [(name, thing) for name, thing in items if not name.startswith("_")]


def _member(name: str, thing: object, kind: str, module: str) -> Iterator[Document]:
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
