"""Whatever it is given, a public function raises nothing but GnomonError, ValueError and TypeError.

Arguments are drawn by what their annotation says: of the right type, and of odd content. What takes a type that cannot
be drawn is left out.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
import shutil
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import GnomonError
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder
from support.odd_inputs import TEXTS, make_world

PACKAGES = [
    "gnomon", "gnomon.collection", "gnomon.retrieve", "gnomon.evaluate", "gnomon.encode", "gnomon.text",
    "gnomon.answer", "gnomon.answer.tables", "gnomon.migrate", "gnomon.migrate.adapter", "gnomon.doctor",
    "gnomon.doctor.stores", "gnomon.monitor", "gnomon.train", "gnomon.train.data", "gnomon.word_vectors",
]  # fmt: skip
ALLOWED = (GnomonError, ValueError, TypeError)
INTS, FLOATS = [-1, 0, 1, 3, 10**20], [-1.0, 0.0, 0.5, 1.0, float("nan"), float("inf"), 1e300]
UNKNOWN = object()
"""For a type that cannot be drawn."""


def public_callables() -> dict[str, Callable[..., Any]]:
    """The public functions and classes by name, each once."""
    found: dict[str, Callable[..., Any]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if (inspect.isfunction(value) or inspect.isclass(value)) and value not in found.values():
                found[f"{package}.{name}"] = value
    return found


class Draw:
    """Draws values for annotations, in a folder of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random, self.folder = random.Random(seed), folder
        self.names = sorted(each.name for each in folder.iterdir())
        self.encoder = HashEncoder()
        self.opened: list[gnomon.Collection] = []

    def path(self) -> Path:
        name = self.random.choice(["kb", "model", "missing", "a" * 300, *self.names])
        return self.folder / name

    def array(self, annotation: str) -> np.ndarray[Any, Any]:
        shape = self.random.choice([(0,), (3,), (2, 4)]) if " " not in annotation else (self.random.choice([0, 1, 3]),)
        if "rows dim" in annotation:
            shape = (self.random.choice([0, 2]), self.encoder.space.dim)
        array = np.full(shape, self.random.choice([0.0, 1.0, np.nan]), dtype=np.float32)
        return np.nan_to_num(array).astype(np.int64) if "Int[" in annotation else array

    def collection(self) -> gnomon.Collection:
        self.opened.append(gnomon.open(self.folder / "kb"))
        return self.opened[-1]

    def value(self, annotation: str) -> Any:
        """A value for an annotation, or UNKNOWN."""
        choose = self.random.choice
        literal = re.search(r"Literal\[(.*?)\]", annotation)
        if literal:
            return choose([*re.findall(r"'(.*?)'", literal[1]), "nothing"])
        if re.search(r"Callable|Progress|Mapping\[str, (Float|Mapping)", annotation):
            return UNKNOWN
        makers: list[tuple[str, Callable[[], Any]]] = [
            (r"\bCollection\b", self.collection),
            (r"\bnp\.ndarray|\bArray\b", lambda: self.array(annotation)),
            (r"\bPath\b", lambda: choose([self.path(), str(self.path())]) if "str" in annotation else self.path()),
            (r"\bWhere\b", lambda: choose(["year > 3", "nothing = 1", "(", {"year": {">": "x"}}, {"a": []}, ""])),
            (r"Mapping\[str, str\]", lambda: choose([{}, {"q": ""}, {"q": "a note"}, {"": "\ud800"}])),
            (r"Mapping\[str, float\]", lambda: {"a": choose(FLOATS)}),
            (r"Mapping\[", lambda: choose([{}, {"x": 1}, {"id": None}, {"text": "a"}, {"a": {"b": [1]}}])),
            (r"(Sequence|list|tuple|Iterable)\[str", lambda: choose([[], [""], ["a", "a"], list(TEXTS)])),
            (r"(Sequence|list|tuple|Iterable)\[(int|float)", lambda: choose([[], [-1], [0, 1], [10**20]])),
            (r"\bVectors\b", lambda: choose([self.encoder.encode(["a"], role="query"), Vectors.concatenate])),
            (r"\bEncoder\b", lambda: self.encoder),
            (r"\bSpace\b", lambda: self.encoder.space),
            (r"^bool|\| bool", lambda: choose([True, False])),
            (r"\bint\b", lambda: choose(INTS)),
            (r"\bfloat\b", lambda: choose(FLOATS)),
            (r"\bstr\b", lambda: choose(TEXTS)),
        ]
        for pattern, make in makers:
            if re.search(pattern, annotation):
                value = make()
                return UNKNOWN if value is Vectors.concatenate else value
        return UNKNOWN

    def arguments(self, call: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]] | None:
        """Arguments for a call; None where it needs one of a type that cannot be drawn."""
        positional, named = [], {}
        for parameter in inspect.signature(call).parameters.values():
            optional = parameter.default is not parameter.empty
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if optional and self.random.random() < 0.6:
                continue
            value = self.value(str(parameter.annotation))
            if value is UNKNOWN:
                if optional:
                    continue
                return None
            if parameter.kind is parameter.KEYWORD_ONLY or named or optional:
                named[parameter.name] = value
            else:
                positional.append(value)
        return positional, named


CALLABLES = public_callables()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world"))


def try_callable(name: str, trials: int, world: Path, place: Path) -> int:
    """The number of calls that could be made."""
    call, made = CALLABLES[name], 0
    folder = place / "world"
    for trial in range(trials):
        if not folder.exists():
            shutil.copytree(world, folder)
        draw = Draw(folder, seed=trial)
        drawn = draw.arguments(call)
        if drawn is not None:
            made += 1
            failure = _failure(call, *drawn)
            assert not failure, f"{name}{drawn}\n{failure}"
        for kb in draw.opened:
            kb.close()
        if draw.opened:
            shutil.rmtree(folder)
    return made


def _failure(call: Callable[..., Any], positional: list[Any], named: dict[str, Any]) -> str:
    try:
        made = call(*positional, **named)
        if isinstance(made, Iterator):
            list(zip(range(1000), made, strict=False))
    except ALLOWED:
        return ""
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("jaxtyping", "beartype"):
            return ""  # only the tests check arrays when functions are called
        return "".join(traceback.format_exception(error))
    return ""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_nothing_but_errors_of_input_is_raised(name: str, world: Path, tmp_path: Path) -> None:
    try_callable(name, 2, world, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(CALLABLES))
def test_nothing_but_errors_of_input_is_raised_in_many_calls(name: str, world: Path, tmp_path: Path) -> None:
    try_callable(name, 30, world, tmp_path)


def test_most_functions_can_be_called_with_what_is_drawn(world: Path) -> None:
    functions = [name for name, call in CALLABLES.items() if inspect.isfunction(call)]
    callable_ones = [
        name for name in functions if any(Draw(world, seed).arguments(CALLABLES[name]) is not None for seed in range(9))
    ]
    assert len(callable_ones) > 0.5 * len(functions)
