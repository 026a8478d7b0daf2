"""The grammar of conditions, by lark (an LALR parser), and its errors, which point at the column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from gnomon.core.conditions import OWN, And, Comparison, Condition, Constant, Field, IsNull, Or
from gnomon.core.errors import InvalidInput

MOST_TESTS, DEEPEST, LONGEST_PATTERN = 200, 20, 1000
"""Comparisons in a condition, `and` and `or` within each other, characters after like: what SQLite bears."""


Where = str | Mapping[str, Any] | Condition
"""A condition as a text ("year >= 2020"), as a mapping ({"year": {">=": 2020}}), or made of the classes above."""


def to_condition(where: Where) -> Condition:
    """The condition that a text (see `parse`) or a mapping (see `from_mapping`) says; a condition as it is.

    Raises InvalidInput for what is not understood.
    """
    if isinstance(where, Mapping):
        return from_mapping(where)
    if isinstance(where, Condition):
        return where
    if not isinstance(where, str):  # parse keeps what it has parsed, and an unhashable value would fail there
        raise InvalidInput(f"a condition of type {type(where).__name__}", expected="a text or a mapping", hint=EXAMPLE)
    return parse(where)


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """The condition that a text says.

    Comparisons: = != <> < <= > >=, [not] like (% any characters, _ one), [not] ilike (like, in upper or lower
    case), [not] in (…), 'text' [not] in a_list, is [not] null; joined by and, or, not and parentheses. Constants:
    'text' ('' for one quote), numbers, true, false. A name in double quotes is the metadata key of exactly that name.
    Raises InvalidInput that points at the column.
    """
    if not isinstance(text, str) or not text.strip():
        came = "an empty condition" if isinstance(text, str) else f"a condition of type {type(text).__name__}"
        raise InvalidInput(came, expected="a condition on documents", hint=EXAMPLE)
    if not _is_text(text):
        raise InvalidInput("a condition with characters that no text holds", expected="valid Unicode without NUL")
    return within_limits(read(text))


def from_mapping(where: Mapping[str, Any]) -> Condition:
    """The condition that a mapping says: all of its entries hold.

    An entry is a field with a value (equal to it; None: it has no value) or with a mapping of operators to values:
    = != < <= > >=, in, not in (lists), like, not like, ilike, not ilike (patterns as in the text form). Or it is
    "and" or "or" with a list of mappings, or "not" with one. A metadata key of such a name, or of the name of a
    document's own field, is put in double quotes: {'"id"': 3}. Values are texts, numbers, True and False, and mean
    what they mean in `parse`. Raises InvalidInput that names the entry.

    >>> from_mapping({"year": {">=": 2020}, "lang": "de"}) == parse("year >= 2020 and lang = 'de'")
    True
    """
    return within_limits(_entries(where, "where", 0))


EXAMPLE = "for example: id like 'docs/%' and year >= 2020 and lang in ('en', 'de')"


def negation(condition: Condition) -> Condition:
    """What holds where the condition is decided and does not: De Morgan, down to the comparisons."""
    if isinstance(condition, And):
        return Or(tuple(negation(part) for part in condition.parts))
    if isinstance(condition, Or):
        return And(tuple(negation(part) for part in condition.parts))
    return replace(condition, negated=not condition.negated)


def joined(kind: type[And] | type[Or], parts: tuple[Condition, ...]) -> Condition:
    """The parts under one And or Or; those that are of this kind themselves are merged in."""
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else [part])
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def fields(condition: Condition) -> list[Field]:
    """The fields of a condition, each once, as they come."""
    if isinstance(condition, And | Or):
        return list(dict.fromkeys(found for part in condition.parts for found in fields(part)))
    return [condition.field]


def within_limits(condition: Condition) -> Condition:
    """The condition. Raises InvalidInput where it has more comparisons, or is deeper, than SQLite bears."""
    tests, depth = _size(condition)
    if tests > MOST_TESTS or depth > DEEPEST:
        raise InvalidInput(
            f"a condition of {tests} comparisons, and and or {depth} deep within each other",
            expected=f"at most {MOST_TESTS} comparisons, {DEEPEST} deep",
            hint="write alternatives as field in ('a', 'b', …), which takes any number",
        )
    return condition


def _is_text(text: str) -> bool:
    """Whether a text is valid Unicode without NUL."""
    return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in text)


def _size(condition: Condition) -> tuple[int, int]:
    """How many comparisons, and how deep."""
    if isinstance(condition, And | Or):
        sizes = [_size(part) for part in condition.parts]
        return sum(tests for tests, _ in sizes), 1 + max(depth for _, depth in sizes)
    return 1, 0


_GRAMMAR = r"""
?start: alternative
?alternative: conjunction (_OR conjunction)*
?conjunction: factor (_AND factor)*
?factor: "(" alternative ")" | _NOT factor -> negated | test
?test: name COMPARES constant -> compared
     | name MATCHES TEXT -> matched
     | name _NOT MATCHES TEXT -> unmatched
     | name _IN "(" constant ("," constant)* ")" -> listed
     | name _NOT _IN "(" constant ("," constant)* ")" -> unlisted
     | constant _IN name -> contained
     | constant _NOT _IN name -> not_contained
     | name _IS _NULL -> absent
     | name _IS _NOT _NULL -> present
name: NAME | QUOTED
?constant: TEXT | NUMBER | TRUTH

COMPARES: "<=" | ">=" | "!=" | "<>" | "=" | "<" | ">"
MATCHES.2: /i?like(?![\w.-])/i
TRUTH.2: /(true|false)(?![\w.-])/i
_AND.2: /and(?![\w.-])/i
_OR.2: /or(?![\w.-])/i
_NOT.2: /not(?![\w.-])/i
_IN.2: /in(?![\w.-])/i
_IS.2: /is(?![\w.-])/i
_NULL.2: /null(?![\w.-])/i
NUMBER.2: /[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?(?![\w.])/i
TEXT: /'([^']|'')*'/
QUOTED: /"([^"]|"")+"/
NAME: /[^\W\d][\w.-]*/
%ignore /\s+/
"""

_SHOWN = {
    "NAME": "a field",
    "QUOTED": "",
    "COMPARES": "= != < <= > >=",
    "MATCHES": "like",
    "_IN": "in",
    "_IS": "is",
    "TEXT": "a text in single quotes",
    "NUMBER": "a number",
    "TRUTH": "true, false",
    "_NOT": "not",
    "LPAR": "(",
    "RPAR": ")",
    "COMMA": "a comma",
    "$END": "the end",
}
_WIDTH = 60
"""Columns of the condition that an error shows."""


def read(text: str) -> Condition:
    """The condition that a text says. Raises InvalidInput that points at the column."""
    try:
        return cast(Condition, _parser().parse(text))
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None
    except _Refusal as error:
        raise pointed(text, error.at, error.message, expected=error.expected) from None


def pointed(text: str, at: int, message: str, *, expected: str, hint: str = EXAMPLE) -> InvalidInput:
    """An error with the condition and a caret below its character `at`."""
    first = max(0, min(at - _WIDTH // 2, len(text) - _WIDTH))
    shown = "".join(" " if c.isspace() else c for c in text[first : first + _WIDTH])
    before, after = "… " if first else "", " …" if first + _WIDTH < len(text) else ""
    caret = " " * (len(before) + at - first) + "^"
    return InvalidInput(f"{message}, column {at + 1}\n{before}{shown}{after}\n{caret}", expected=expected, hint=hint)


class _Refusal(Exception):
    """What the grammar takes and the language does not."""

    def __init__(self, at: int, message: str, expected: str) -> None:
        self.at, self.message, self.expected = at, message, expected
        super().__init__(message)


@v_args(inline=True)
class _Values(Transformer[Token, Condition]):
    """Called at each reduction, so that no depth of parentheses makes it recurse."""

    def name(self, token: Token) -> Field:
        at = token.start_pos or 0
        if token.type == "QUOTED":
            return Field(token[1:-1].replace('""', '"'), at=at)
        return Field(str(token), own=token in OWN, at=at)

    def TEXT(self, token: Token) -> tuple[Constant, Token]:  # noqa: N802 - a terminal's name
        return Constant("text", token[1:-1].replace("''", "'")), token

    def NUMBER(self, token: Token) -> tuple[Constant, Token]:  # noqa: N802
        whole = not set(token) & set(".eE")
        if not math.isfinite(float(token)) or (whole and not -(2**63) <= int(token) < 2**63):
            raise _Refusal(token.start_pos or 0, f"{token} is too large", "a number of 64 bits")
        return Constant("number", int(token) if whole else float(token)), token

    def TRUTH(self, token: Token) -> tuple[Constant, Token]:  # noqa: N802
        return Constant("truth", token.lower() == "true"), token

    def compared(self, field: Field, operator: Token, constant: tuple[Constant, Token]) -> Condition:
        value, token = constant
        if value.kind == "truth" and operator not in ("=", "!=", "<>"):
            raise _Refusal(operator.start_pos or 0, f"{operator} with {token}", "= or != with true and false")
        if operator in ("!=", "<>"):
            return _test(field, "=", (constant,), negated=True)
        return _test(field, str(operator), (constant,))

    def matched(self, field: Field, operator: Token, pattern: tuple[Constant, Token]) -> Condition:
        if len(str(pattern[0].value)) > LONGEST_PATTERN:
            came = f"a pattern of {len(str(pattern[0].value))} characters"
            raise _Refusal(pattern[1].start_pos or 0, came, f"at most {LONGEST_PATTERN}")
        return _test(field, operator.lower(), (pattern,))

    def unmatched(self, field: Field, operator: Token, pattern: tuple[Constant, Token]) -> Condition:
        return negation(self.matched(field, operator, pattern))

    def listed(self, field: Field, *constants: tuple[Constant, Token]) -> Condition:
        return _test(field, "in", constants)

    def unlisted(self, field: Field, *constants: tuple[Constant, Token]) -> Condition:
        return _test(field, "in", constants, negated=True)

    def contained(self, constant: tuple[Constant, Token], field: Field) -> Condition:
        if field.own:
            came = f"{field.name} is no list"
            raise _Refusal(field.at, came, f"a list of metadata, or {field.name} like '%part%'")
        return _test(field, "=", (constant,))

    def not_contained(self, constant: tuple[Constant, Token], field: Field) -> Condition:
        return negation(self.contained(constant, field))

    def absent(self, field: Field) -> Condition:
        return IsNull(field)

    def present(self, field: Field) -> Condition:
        return IsNull(field, negated=True)

    def negated(self, condition: Condition) -> Condition:
        return negation(condition)

    def conjunction(self, *parts: Condition) -> Condition:
        return joined(And, parts)

    def alternative(self, *parts: Condition) -> Condition:
        return joined(Or, parts)


def _test(
    field: Field, operator: Any, constants: Iterable[tuple[Constant, Token]], *, negated: bool = False
) -> Comparison:
    pairs = list(constants)
    for constant, token in pairs:
        if field.own and constant.kind != "text":
            came = f"{field.name} compared with {token}"
            raise _Refusal(token.start_pos or 0, came, f"a text in single quotes, as {field.name} is text")
    return Comparison(field, operator, tuple(dict.fromkeys(constant for constant, _ in pairs)), negated)


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Values())


def _unexpected(text: str, error: UnexpectedInput) -> InvalidInput:
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    at = len(text.rstrip()) if ended else int(error.pos_in_stream or 0)
    names = error.accepts or error.expected if isinstance(error, UnexpectedToken) else set()
    if isinstance(error, UnexpectedCharacters):
        names = set(error.allowed or ())
    word = _word(text, at)
    came = "the condition ends too early" if ended else f"the condition is not understood at {word}"
    if text[at : at + 1] == "'" and text.count("'", at) % 2:
        came = "a text without its closing quote"
    hint = _hint(text, at, word, names=names) or EXAMPLE
    return pointed(text, at, came, expected=_expected(names), hint=hint)


def _word(text: str, at: int) -> str:
    end = at + 1
    while end < len(text) and end < at + 20 and (text[end].isalnum() or text[end] in "_.-"):
        end += 1
    return text[at:end]


def _hint(text: str, at: int, word: str, *, names: Iterable[str]) -> str:
    if "TEXT" in names and word.lower() == "null":
        return "write: field is null"
    if "TEXT" in names and (word.startswith('"') or word[:1].isalpha()):
        bare = word.strip('"')
        return f"put texts in single quotes: '{bare}'"
    if word.startswith("=") and text[at - 1 : at] == "=":
        return "write = once"
    return ""


def _expected(names: Iterable[str]) -> str:
    order = list(_SHOWN)
    if "NAME" in names:  # a constant that a list holds may stand there too, which would only confuse
        names = set(names) - {"TEXT", "NUMBER", "TRUTH"}
    wanted = sorted(names, key=lambda name: (order.index(name) if name in order else -1, name))
    shown = [_SHOWN.get(name, name.strip("_").lower()) for name in wanted]
    return ", ".join(dict.fromkeys(word for word in shown if word)) or "a condition"


def _entries(where: Any, at: str, depth: int) -> Condition:
    if depth > DEEPEST:
        raise InvalidInput(f"a condition more than {DEEPEST} mappings deep", expected=f"at most {DEEPEST}")
    if not isinstance(where, Mapping) or not where:
        came = "an empty mapping" if isinstance(where, Mapping) else f"{where!r}"
        raise _bad_entry(at, came, 'a mapping of fields to conditions, such as {"year": {">=": 2020}}')
    parts = [_entry(key, value, f"{at}[{key!r}]", depth=depth + 1) for key, value in where.items()]
    return joined(And, tuple(parts))


def _entry(key: Any, value: Any, at: str, *, depth: int) -> Condition:
    if not isinstance(key, str) or not key.strip() or not _is_text(key):
        raise _bad_entry(at, f"the key {key!r}", "the name of a field, or and, or, not")
    if key in ("and", "or"):
        if not isinstance(value, list | tuple) or not value:
            raise _bad_entry(at, f"{value!r}", "a list of mappings, at least one")
        parts = tuple(_entries(each, f"{at}[{number}]", depth) for number, each in enumerate(value))
        return joined(And if key == "and" else Or, parts)
    if key == "not":
        return negation(_entries(value, at, depth))
    quoted = len(key) > 2 and key[0] == key[-1] == '"'
    field = Field(key[1:-1].replace('""', '"')) if quoted else Field(key, own=key in OWN)
    if not isinstance(value, Mapping):
        return _comparison(field, "=", value, at=at)
    if not value:
        raise _bad_entry(at, "an empty mapping", f"operators: {', '.join(_OPERATORS)}")
    return joined(And, tuple(_comparison(field, operator, each, at=at) for operator, each in value.items()))


_OPERATORS = ("=", "!=", "<", "<=", ">", ">=", "in", "not in", "like", "not like", "ilike", "not ilike")


def _comparison(field: Field, operator: Any, value: Any, *, at: str) -> Condition:
    if operator not in _OPERATORS:
        raise _bad_entry(at, f"the operator {operator!r}", f"one of {', '.join(_OPERATORS)}")
    negated, operator = operator.startswith(("not ", "!")), operator.removeprefix("not ").replace("!=", "=")
    if operator == "in":
        if not isinstance(value, list | tuple | set | frozenset) or not value:
            raise _bad_entry(at, f"in {value!r}", "a list of values, at least one")
        constants = tuple(dict.fromkeys(_constant(field, each, at) for each in value))
        return Comparison(field, "in", constants, negated)
    if value is None and operator == "=":
        return IsNull(field, negated)
    if isinstance(value, list | tuple | set | frozenset):
        raise _bad_entry(at, f"{value!r}", "one value", hint='write {"in": […]} for any one of several values')
    constant = _constant(field, value, at)
    if constant.kind == "truth" and operator != "=":
        raise _bad_entry(at, f"{operator} with {value!r}", "= or != with True and False")
    if operator in ("like", "ilike") and (constant.kind != "text" or len(str(constant.value)) > LONGEST_PATTERN):
        raise _bad_entry(at, f"{operator} with {value!r}"[:80], f"a text of at most {LONGEST_PATTERN} characters")
    return Comparison(field, operator, (constant,), negated)


def _constant(field: Field, value: Any, at: str) -> Constant:
    plain = value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value  # numpy's
    if isinstance(plain, bool):
        constant = Constant("truth", plain)
    elif (isinstance(plain, int) and -(2**63) <= plain < 2**63) or (isinstance(plain, float) and math.isfinite(plain)):
        constant = Constant("number", plain)
    elif isinstance(plain, str) and _is_text(plain):
        constant = Constant("text", str(plain))
    else:
        hint = "write dates as metadata has them, such as '2026-01-31'" if hasattr(plain, "isoformat") else ""
        raise _bad_entry(at, f"{value!r}", "a text, a number of 64 bits, True, False or None", hint=hint)
    if field.own and constant.kind != "text":
        raise _bad_entry(at, f"{value!r}", f"a text, as {field.name} is text")
    return constant


def _bad_entry(at: str, came: str, expected: str, *, hint: str = "") -> InvalidInput:
    return InvalidInput(f"{at}: {came}", expected=expected, hint=hint)
