"""The grammar of conditions, by lark (an LALR parser), and its errors, which point at the column."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import (
    EXAMPLE,
    LONGEST_PATTERN,
    OWN,
    Absent,
    Condition,
    Constant,
    Every,
    Field,
    Some,
    Test,
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
    "COMPARES": "= != < <= > >=",
    "MATCHES": "like",
    "TRUTH": "true, false",
    "NUMBER": "a number",
    "TEXT": "a text in single quotes",
    "NAME": "a field",
    "QUOTED": "",
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
        condition: Condition = _parser(text).parse(text)
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None
    except VisitError as error:
        raise error.orig_exc from None
    return condition
