import subprocess
import sys
from collections import Counter

import pytest

from gnomon.cli.demo import SHORTEST, python_documentation


@pytest.fixture(scope="module")
def documents():
    return python_documentation()


def test_there_are_thousands_and_each_id_is_there_once(documents):
    ids = [document.id for document in documents]
    assert len(ids) >= 4000
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)


def test_it_is_small_enough_to_embed_in_a_minute(documents):
    characters = sum(len(document.text) for document in documents)
    assert characters < 3_000_000  # about 4.2 characters a token


def test_it_is_the_same_every_time(documents):
    again = python_documentation()
    assert [(d.id, d.content_hash, dict(d.metadata)) for d in again] == [
        (d.id, d.content_hash, dict(d.metadata)) for d in documents
    ]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("asyncio.gather", "function", "Return a future aggregating results"),  # re-exported by asyncio
        ("pathlib.Path.resolve", "method", "resolving all symlinks"),  # in pathlib/_local.py from 3.13 on
        ("subprocess", "module", "allows you to spawn processes"),
        ("functools.lru_cache", "function", "Least-recently-used cache decorator"),
        ("os.replace", "function", "overwriting the destination"),  # compiled, in posix or nt
        ("os.path.expanduser", "function", "constructions"),  # posixpath or ntpath
        ("list.sort", "method", "in ascending order"),  # a builtin's method
        ("collections.Counter", "class", "Dict subclass for counting hashable items"),
        ("topic/with", "topic", "context manager"),
    ],
)
def test_what_people_ask_about_is_there_under_its_public_name(documents, name, kind, words):
    found = {document.id: document for document in documents}[f"python/{name}"]
    assert found.metadata["kind"] == kind
    assert words in " ".join(found.text.split())
    assert found.title


def test_a_function_shows_its_signature(documents):
    by_id = {document.id: document for document in documents}
    assert by_id["python/asyncio.gather"].text.startswith("def gather(*coros_or_futures")
    assert by_id["python/list.sort"].text.startswith("sort(*, key=None, reverse=False)\n\n")


def test_private_names_and_programs_are_left_out(documents):
    names = [document.id.removeprefix("python/") for document in documents]
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]
    tops = Counter(name.split(".")[0] for name in names)
    assert not {"antigravity", "this", "idlelib", "test", "turtledemo", "lib2to3"} & set(tops)


def test_nothing_is_there_twice_under_an_alias(documents):
    names = {document.id.removeprefix("python/") for document in documents}
    assert {"OSError", "array.array", "datetime.date.today"} <= names
    # An alias of a builtin, one of a neighbour, and a constant that would show its type's documentation.
    assert not {"select.error", "array.ArrayType", "datetime.date.min"} & names


def test_sources_name_no_place_on_this_machine(documents):
    assert not [d.source for d in documents if d.source.startswith(("/", sys.prefix, sys.base_prefix))]


def test_nothing_is_as_short_as_a_name(documents):
    assert min(len(document.text) for document in documents) >= SHORTEST


def test_no_module_of_python_source_is_imported_for_it():
    # In a process of its own: here, other tests have imported half of the library.
    code = """
import sys, gnomon.cli.demo as corpus
before = set(sys.modules)
corpus.python_documentation()
new = {n for n in set(sys.modules) - before if getattr(sys.modules[n], "__file__", None)}
print(sorted(n for n in new if sys.modules[n].__file__.endswith(".py")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    imported = set(eval(done.stdout))
    # The topics are a module of text. The others are what compiled modules import for themselves.
    assert "pydoc_data.topics" in imported
    assert not {"antigravity", "tkinter", "turtle", "idlelib", "webbrowser", "unittest"} & imported
    assert len(imported) < 20, imported
