"""Odd metadata, conditions and texts: the very same on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import GnomonError
from gnomon.testing.toys import HashEncoder
from support.postgres import PostgresServer

METADATA: list[dict[str, Any]] = [
    {"year": 2019, "nl": ["a\nb", "a\\[x]", "$^.*"]},
    {"year": [2020, "2021"], "tags": ["a", "b", None, ["c"]]},
    {"x": None, "e": [], "d": "2020-01-31T10:00:00Z"},
    {"big": 2**70, "neg": -5, "z": -0.0, "f": 0.1, "t": True},
    {"a.b": "x", 'q"uote': 1, "": "empty", "t": ["true", False], "$.x": "y"},
    {"lang": "Über", "d": "2020", "nul": "a\0b", "half": "a\ud800b"},
    {"n": [[1, 2], 3], "b": 1e23},
    {"b": 10**23, "big": [9007199254740993, "x"], "m": 1234567890123456768.0, "mi": -(2**63)},
    {"big": 9007199254740992.0, "m": 1234567890123456800, "mi": -(2.0**63), "mx": 2**1024 - 1},
    {"big": 9007199254740993.0, "m": 1234567890123456768, "nan": float("nan")},
]
CONDITIONS = [
    "year in (2020, 2019)", "year != 2020", "nl like 'a_b'", "nl like 'a%b'", "nl ilike 'A\\%'", "nl like '$^.*'",
    "tags = 'c'", "tags != 'c'", "x is null", "e is null", "t = true", "t != true", '"a.b" = \'x\'', '"q""uote" >= 1',
    '"$.x" = \'y\'', "lang ilike 'üB%'", "nul = 'ab'", "half like 'a_b'", "n = 1", "n = 3", "n != 1", "nan is null",
    "b = 1e23", "b > 99999999999999991611391.0", "big = 9007199254740993", "big = 9007199254740992.0",
    "big in (9007199254740993, 4)", "big > 9223372036854775807", "big != 9007199254740992.0", "m = 1234567890123456768",
    "m = 1234567890123456800", "m < 1234567890123456769", "mi = -9223372036854775808.0", "mi = -9223372036854775808",
    "mx > 1e308", "neg = -5", "z = 0", "f = 0.1", "f < 0.1", "d >= '2019'", "d = '2020-01'", "d like '2020%'",
    "id in ('d1', 'd2')", "id >= 'd3'", "id like 'd_'", "source like '%'", "not (year = 2019 or t = true)",
]  # fmt: skip


def outcome(kb: Collection, where: str) -> Any:
    try:
        return kb.ids(where)
    except GnomonError as error:
        return error.message


@pytest.mark.slow
def test_conditions_find_the_same_on_both(postgres: PostgresServer, tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": f"t{n}\0", "title": "a\0b", "metadata": each} for n, each in enumerate(METADATA)]
    found = []
    for place in (str(tmp_path / "kb"), postgres.url()):
        with gnomon.open(place, encoder=HashEncoder(8)) as kb:
            kb.add(rows)
            said = {where: outcome(kb, where) for where in CONDITIONS}
            stored = [(each.title, each.text, repr(each.metadata)) for each in kb.get(kb.ids())]
            facets = [each for each in kb.fields.facets(3) if each.name not in ("m", "mi", "big")]
            found.append((said, stored, facets, kb.fields.all()))
            with pytest.raises(GnomonError, match="NUL"):
                kb.get("a\0")
    for lite, server in zip(*found, strict=True):
        assert lite == server
