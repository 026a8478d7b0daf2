"""The grammar of conditions, by lark (an LALR parser), and its errors, which point at the column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import (
    EXAMPLE,
    LONGEST_PATTERN,
    OWN,
    Absent,
    Comparison,
    Condition,
    Constant,
    Every,
    Field,
    Some,
    joined,
    negation,
)

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
        raise pointed(text, error.at, error.came, wanted=error.wanted) from None


def pointed(text: str, at: int, came: str, *, wanted: str, next_step: str = EXAMPLE) -> InvalidInput:
    """An error with the condition and a caret below its character `at`."""
    first = max(0, min(at - _WIDTH // 2, len(text) - _WIDTH))
    shown = "".join(" " if c.isspace() else c for c in text[first : first + _WIDTH])
    before, after = "… " if first else "", " …" if first + _WIDTH < len(text) else ""
    caret = " " * (len(before) + at - first) + "^"
    return InvalidInput(
        f"{came}, column {at + 1}\n{before}{shown}{after}\n{caret}", wanted=wanted, next_step=next_step
    )


class _Refusal(Exception):
    """What the grammar takes and the language does not."""

    def __init__(self, at: int, came: str, wanted: str) -> None:
        self.at, self.came, self.wanted = at, came, wanted
        super().__init__(came)


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

    def absent(self, field: Field) -> Condition:
        return Absent(field)

    def present(self, field: Field) -> Condition:
        return Absent(field, negated=True)

    def negated(self, condition: Condition) -> Condition:
        return negation(condition)

    def conjunction(self, *parts: Condition) -> Condition:
        return joined(Every, parts)

    def alternative(self, *parts: Condition) -> Condition:
        return joined(Some, parts)


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
    hint = _hint(text, at, word, names) or EXAMPLE
    return pointed(text, at, came, wanted=_expected(names), next_step=hint)


def _word(text: str, at: int) -> str:
    end = at + 1
    while end < len(text) and end < at + 20 and (text[end].isalnum() or text[end] in "_.-"):
        end += 1
    return text[at:end]


def _hint(text: str, at: int, word: str, names: Iterable[str]) -> str:
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
    wanted = sorted(names, key=lambda name: (order.index(name) if name in order else -1, name))
    shown = [_SHOWN.get(name, name.strip("_").lower()) for name in wanted]
    return ", ".join(dict.fromkeys(word for word in shown if word)) or "a condition"
