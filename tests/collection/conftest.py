"""Small folders and collections with a toy encoder: instant, no files of weights.

The tests of a module that says `ON_BOTH = True` run on SQLite, and as slow tests on PostgreSQL; those of them that
are marked `sqlite` look into its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.collection.indexes import derived, state
from gnomon.testing.toys import HashEncoder

encoder = partial(HashEncoder, 64, max_tokens=48)
TEXTS = {
    "sundial.md": "# Sundials\n\nA gnomon is the part of a sundial that casts the shadow.\n",
    "whales.txt": "The blue whale is the largest animal known to have lived.\n",
    "deep/tea.txt": "Green tea is brewed at seventy degrees; black tea takes boiling water.\n",
    "deep/code.py": "def parseConfigFile(path):\n    '''Read the kettle's settings.'''\n    return path\n",
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a place on both, where its module says so."""
    if "backend" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH", False):
        both = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]
        only = any(metafunc.definition.iter_markers("sqlite"))
        metafunc.parametrize("backend", both[:1] if only else both, indirect=True)


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """Where catalogs are: "sqlite" or "postgresql"."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture(scope="module")
def new_place(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """Gives a place for a new collection: a folder, or an address in PostgreSQL."""
    if backend == "sqlite":
        yield lambda: str(tmp_path_factory.mktemp("place") / "kb")
        return
    server = request.getfixturevalue("_postgres_of_session")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNOMON_HOME", str(tmp_path_factory.mktemp("home")))
        yield server.url


@pytest.fixture
def place(backend: str, new_place: Callable[[], str], tmp_path: Path) -> str:
    """The place of the test's collection: tmp_path/kb, or an address."""
    return str(tmp_path / "kb") if backend == "sqlite" else new_place()


@pytest.fixture
def opened(place: str) -> Iterator[Callable[..., Collection]]:
    """Opens the collection at `place`, and closes it at the end."""
    made: list[Collection] = []

    def make(**options: object) -> Collection:
        options.setdefault("encoder", encoder())
        made.append(gnomon.open(place, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for collection in made:
        collection.close()


@pytest.fixture
def with_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few vectors an index has, they have files of their own."""
    for module in (derived, state):
        monkeypatch.setattr(module, "is_saved", lambda _: True)


@pytest.fixture
def kb(opened: Callable[..., Collection], docs: Path) -> Collection:
    """A collection that holds `docs`."""
    collection = opened()
    collection.index([docs])
    return collection
