"""Documents of many kinds of fields, and conditions on them, to check with what stores filter by."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from gnomon.core.conditions import And, Comparison, Condition, Constant, Field, FieldType, IsNull, Kind, Operator, Or

FIELD_TYPES: Mapping[str, FieldType] = {"year": "number", "lang": "text", "done": "boolean", "day": "date"}
ODD = 'an "odd" näme.of $it'
MORE_FIELD_TYPES: Mapping[str, FieldType] = {ODD: "text"}
_VALUES: Mapping[str, list[Any]] = {
    "year": [2019, 2020, 2020.0, 0.5, -3, "2021", "n/a", None, 2**53 + 1],
    "lang": ["en", "de", "En", "a%b", "[x]", "Über", "", "o'k", "2020", 7, None, "ünder\nline"],
    "done": [True, False, True, "true", "maybe", None, 1],
    "day": ["2019-05-01", "2020-01-31T10:00:00", "2020-01-31", "2020", "2020-02-29T23:59:59.5Z", "soon", None, 2020],
    ODD: ["a", "b", "c\\d"],
}


def documents(number: int, *, seed: int = 0) -> tuple[dict[str, Any], dict[str, str]]:
    """The metadata, with values of other types and lists among them, and the own fields of a document."""
    rng = random.Random(f"{seed} {number}")
    metadata: dict[str, Any] = {}
    for name, values in _VALUES.items():
        if rng.random() < 0.8:
            lists = rng.random() < 0.3
            metadata[name] = rng.choices(values, k=rng.randrange(4)) if lists else rng.choice(values)
    own = {
        "id": f"{rng.choice(['docs', 'Notes'])}/{number}.md",
        "source": f"/data/{number}.md",
        "title": rng.choice(["", "Tea", "tea [2]", "Whales"]),
        "media_type": rng.choice(["text/markdown", "text/plain", ""]),
    }
    return metadata, own


def compared(name: str, operator: Operator, *values: Any, kind: Kind | None = None, negated: bool = False) -> Condition:
    """A comparison of a field, one of the document's own where it has such a name, with values of a kind."""
    own = name in ("id", "source", "title", "media_type")
    constants = tuple(Constant(kind or _kind_of(value), value) for value in values)
    return Comparison(Field(name, own), operator, constants, negated)


def _kind_of(value: Any) -> Kind:
    return "truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"


def _conditions() -> dict[str, Condition]:
    made: dict[str, Condition] = {}
    operators: tuple[Operator, ...] = ("=", "<", "<=", ">", ">=")
    for operator in operators:
        for value in (2020, 0.5, -3, 2**53):
            made[f"year {operator} {value}"] = compared("year", operator, value)
        for text in ("en", "", "o'k", "Über", "2020"):
            made[f"lang {operator} '{text}'"] = compared("lang", operator, text)
        for date in ("2020", "2020-01", "2020-01-31", "2020-01-31T10:00:00", "2020-02-29T23:59:59.5"):
            made[f"day {operator} '{date}'"] = compared("day", operator, date, kind="date")
        made[f"id {operator} 'docs/20.md'"] = compared("id", operator, "docs/20.md")
        made[f"title {operator} 'Tea'"] = compared("title", operator, "Tea")
    made |= {
        "year in (2019, 2020)": compared("year", "in", 2019, 2020),
        "lang in ('en', 'de', '[x]')": compared("lang", "in", "en", "de", "[x]"),
        "lang in ('en', 7)": compared("lang", "in", "en", 7),
        "done = true": compared("done", "=", True),
        "done = false": compared("done", "=", False),
        "day in ('2020', '2019-05-01')": compared("day", "in", "2020", "2019-05-01", kind="date"),
        "media_type = 'text/plain'": compared("media_type", "=", "text/plain"),
        "media_type = ''": compared("media_type", "=", ""),
        "missing = 1": compared("missing", "=", 1),
        "odd = 'a'": compared(ODD, "=", "a"),
        "odd = 'c\\d'": compared(ODD, "=", "c\\d"),
    }
    for pattern in ("e%", "_n", "%b", "a%b", "[x]", "%", "ü%", "%\nline"):
        made[f"lang like '{pattern}'"] = compared("lang", "like", pattern)
        made[f"lang ilike '{pattern}'"] = compared("lang", "ilike", pattern)
    made["id like 'docs/%'"] = compared("id", "like", "docs/%")
    made |= {f"not {text}": _negated(one) for text, one in made.items()}
    for name in ("year", "lang", "done", "day", "missing"):
        made[f"{name} is null"] = IsNull(Field(name))
        made[f"{name} is not null"] = IsNull(Field(name), negated=True)
    made["title is null"] = IsNull(Field("title", own=True))
    made["title is not null"] = IsNull(Field("title", own=True), negated=True)
    late, tea, done = made["year >= 2020"], made["title = 'Tea'"], made["done = true"]
    made["late and tea"], made["late or tea"] = And((late, tea)), Or((late, tea))
    made["late and (tea or not done)"] = And((late, Or((tea, _negated(done)))))
    made["(late and done) or tea"] = Or((And((late, done)), tea))
    return made


def _negated(condition: Condition) -> Condition:
    if not isinstance(condition, Comparison):
        raise TypeError(f"{condition} is no comparison")
    return Comparison(condition.field, condition.operator, condition.constants, negated=True)


CONDITIONS: Mapping[str, Condition] = _conditions()
"""Conditions of every form, by the text that they might be written as."""
