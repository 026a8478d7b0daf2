"""Settings as plain values: what is written is read back equal; whatever is unknown or of another type is refused."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import from_plain, key_paths, to_plain
from gnomon.core.space import Space
from gnomon.text.chunk import ChunkSettings
from gnomon.train.recipe.tables import DevTable, NewNetworkTable, OptimTable, OutputTable


@dataclass(frozen=True, slots=True)
class Inner:
    weight: float
    name: str = "a"

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise InvalidInput(f"weight = {self.weight}", expected="0 or more")


@dataclass(frozen=True)
class Outer:
    count: int
    flag: bool = False
    kind: Literal["one", "two"] = "one"
    path: Path = Path("x")
    scale: tuple[float, float] | None = None
    words: tuple[str, ...] = ()
    parts: tuple[Inner, ...] = ()
    inner: Inner | None = None
    by_row: Mapping[int, float] = field(default_factory=dict)
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


numbers = st.floats(allow_nan=False)
inners = st.builds(Inner, weight=st.floats(0, 1e9), name=st.text())
outers = st.builds(
    Outer,
    count=st.integers(),
    flag=st.booleans(),
    kind=st.sampled_from(("one", "two")),
    path=st.sampled_from((Path("a/b"), Path())),
    scale=st.none() | st.tuples(numbers, numbers),
    words=st.lists(st.text()).map(tuple),
    parts=st.lists(inners, max_size=3).map(tuple),
    inner=st.none() | inners,
    by_row=st.dictionaries(st.integers(), numbers, max_size=3),
    columns=st.dictionaries(st.text(), st.text() | st.lists(st.text()).map(tuple), max_size=3),
    more=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=3),
)
positive = st.integers(1, 10**6)
settings = st.one_of(
    outers,
    st.builds(ChunkSettings, max_tokens=st.integers(64, 512), overlap=st.integers(0, 32), prepend_title=st.booleans()),
    st.builds(Space, fingerprint=st.text(), dim=positive),
    st.builds(NewNetworkTable, model_type=st.text(), layers=positive, more=st.dictionaries(st.text(), st.integers())),
    st.builds(OptimTable, lr=st.floats(1e-9, 1), epochs=positive, steps=st.none() | positive),
    st.builds(DevTable, metric=st.text(), every=positive),
    st.builds(OutputTable, folder=st.text(min_size=1), keep=positive),
)


@given(settings)
def test_what_is_written_is_read_back_equal(value):
    plain = json.loads(json.dumps(to_plain(value)))
    assert plain == to_plain(value)
    assert from_plain(type(value), plain) == value


def test_plain_values_of_numpy_and_paths():
    made = to_plain({"a": np.float32(0.5), "b": np.arange(2), 3: (Path("a") / "b", {"y", "x"}), "d": np.bool_(1)})
    assert made == {"a": 0.5, "b": [0, 1], "3": ["a/b", ["x", "y"]], "d": True}
    assert type(made["a"]) is float
    assert math.isnan(to_plain(math.nan))
    with pytest.raises(InvalidInput, match="a value of the class object"):
        to_plain({"a": object()})


def test_whole_numbers_are_taken_for_floats_and_lists_for_tuples():
    made = from_plain(Outer, {"count": 1, "scale": [0, 5], "inner": {"weight": 2}, "columns": {"q": ["a", "b"]}})
    assert made == Outer(1, scale=(0.0, 5.0), inner=Inner(2.0), columns={"q": ("a", "b")})
    assert isinstance(made.inner.weight, float)
    assert from_plain(Outer, {"count": 1, "path": Path("a")}).path == Path("a")
    assert from_plain(tuple[Inner, ...], [{"weight": 1}]) == (Inner(1.0),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"count": "3"}, r"^Outer: count = '3'\nExpected: a whole number"),
        ({"count": True}, r"Outer: count = True\nExpected: a whole number"),
        ({"count": 1.0}, r"Outer: count = 1.0\nExpected: a whole number"),
        ({"count": None}, r"Outer: count = None\nExpected: a whole number"),
        ({"count": 1, "flag": 1}, r"flag = 1\nExpected: true or false"),
        ({"count": 1, "kind": "tow"}, r"kind = 'tow'\nExpected: one of one, two\nHint: did you mean 'two'"),
        ({"count": 1, "path": 3}, r"path = 3\nExpected: a text"),
        ({"count": 1, "words": "abc"}, r"words = 'abc'\nExpected: a list"),
        ({"count": 1, "words": ["a", 1]}, r"words\[1\] = 1\nExpected: a text"),
        ({"count": 1, "scale": [1]}, r"scale = \[1\]\nExpected: a list of 2"),
        ({"count": 1, "scale": [1, True]}, r"scale\[1\] = True\nExpected: a number"),
        ({"count": 1, "parts": {"weight": 1}}, r"parts = .*\nExpected: a list: \[\[parts\]\]"),
        ({"count": 1, "parts": [3]}, r"parts\[0\] = 3\nExpected: a table, as in \[\[parts\]\]"),
        ({"count": 1, "parts": [{"weight": 1}, {"weight": "a"}]}, r"\[parts\[1\]\]: weight = 'a'\nExpected: a number"),
        ({"count": 1, "parts": [{"weight": 1}, {"weight": -1}]}, r"\[parts\[1\]\]: weight = -1.0\nExpected: 0 or more"),
        ({"count": 1, "inner": 3}, r"inner = 3\nExpected: a table, as in \[inner\]"),
        ({"count": 1, "inner": {}}, r"\[inner\] has no weight"),
        ({"count": 1, "inner": {"wieght": 1}}, r"\[inner\] has the key 'wieght'.*did you mean 'weight' in \[inner\]"),
        ({"count": 1, "columns": {"q": 1}}, r"\[columns\]: q = 1\nExpected: a text"),
        ({"count": 1, "by_row": {"a": 1}}, r"by_row.* = 'a'\nExpected: a whole number"),
        ({"count": 1, "more": []}, r"more = \[\]\nExpected: a table"),
        ({"count": 1, "weight": 3}, r"Outer has the key 'weight', which is unknown.*'weight' in \[parts\]"),
        ({"count": 1, "nothing": 3}, r"Outer has the key 'nothing'.*Hint: take it out"),
        ({"cuont": 1}, r"Outer has the key 'cuont'.*did you mean 'count' in Outer"),
        ({}, r"^Outer has no count\nExpected: count in Outer\nHint: add count"),
        (3, r"^Outer: 3\nExpected: a table"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data, message):
    with pytest.raises(InvalidInput, match=f"(?s){message}"):
        from_plain(Outer, data)


def test_unknown_keys_can_be_ignored_and_hints_come_from_aliases():
    assert from_plain(Outer, {"count": 1, "later": 2, "inner": {"weight": 1, "z": 1}}, ignore_unknown=True).count == 1
    with pytest.raises(InvalidInput, match=r"(?s)the file has the key 'size'.*did you mean 'count' in the file"):
        from_plain(Outer, {"size": 1}, name="the file", key_aliases={"size": "count"})
    with pytest.raises(InvalidInput, match=r"did you mean 'one'"):
        from_plain(Outer, {"count": 1, "kind": "1st"}, suggest_value={"1st": "one"}.get)


def test_the_paths_of_all_keys():
    assert [path for path in key_paths(Outer) if "." in path] == [
        "parts.weight", "parts.name", "inner.weight", "inner.name"
    ]  # fmt: skip


def test_it_is_imported_without_its_converter():
    code = "import gnomon.core.serialize, sys; print('cattrs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
