"""Front matter of Markdown files: YAML between `---` lines, or TOML between `+++` lines, at a file's top."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.text.field_types import NotConvertible, convert, type_of
from gnomon.text.metadata import plain_metadata

_LONGEST = 65_536
"""Characters between the two lines."""
_MOST_VALUES = 10_000
"""Values with every alias followed: some lines of aliases can stand for billions."""
_OPENING = re.compile(r"(?P<mark>---|\+\+\+)[ \t]*\n(?![ \t]*\n)")  # before an empty line it is a rule
_KEY = re.compile(r"^[\w\"'][^\n:=]{0,99}[:=]", re.MULTILINE)


@dataclass(frozen=True)
class FrontMatter:
    """The metadata at a file's top, and the text below. `lines`: how many lines of the file stand above that text.

    `problem`: why something that looks like front matter is none. It then stays in the text.
    """

    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    problem: str = ""


def front_matter(text: str) -> FrontMatter:
    """Split a file's text (newlines as `\\n`) into front matter and the rest.

    Types are those of YAML 1.2 and TOML, so that `no` and 00123 are texts. What two rules of `---` enclose and is no
    mapping is text.
    """
    opening = _OPENING.match(text)
    if opening is None:
        return FrontMatter(text)
    closing = re.compile(r"^(?:---|\.\.\.)[ \t]*$" if opening["mark"] == "---" else r"^\+\+\+[ \t]*$", re.MULTILINE)
    end = closing.search(text, opening.end(), opening.end() + _LONGEST)
    if end is None:
        return FrontMatter(text)
    inside = text[opening.end() : end.start()]
    try:
        values = _yaml(inside) if opening["mark"] == "---" else tomllib.loads(inside)
        if values is not None and not isinstance(values, dict):
            return FrontMatter(text)
        metadata = plain_metadata(values or {})
    except (ValueError, RecursionError) as error:  # InvalidInput is a ValueError too
        reason = error.message if isinstance(error, InvalidInput) else str(error) or type(error).__name__
        looks_like_it = _KEY.search(inside) is not None
        return FrontMatter(text, problem=" ".join(reason.split()) if looks_like_it else "")
    after = end.end() + 1
    return FrontMatter(text[after:], metadata, text.count("\n", 0, after))


def words_of(metadata: dict[str, Any]) -> str:
    """The texts of front matter but its title as lines, "owners: Kim, Lee": what people search a document by too."""
    lines = []
    for name, value in metadata.items():
        texts = [each for each in (value if isinstance(value, list) else [value]) if type_of(each) == "text"]
        words = ", ".join(" ".join(each.split()) for each in texts if _is_words(each))
        if words and name != "title":
            lines.append(f"{name}: {words}")
    return "\n".join(lines)


def _is_words(text: str) -> bool:
    """Whether a text has letters, and is neither a path nor an address."""
    return any(character.isalpha() for character in text) and ("/" not in text or " " in text)


def _yaml(text: str) -> Any:
    """The values of a YAML document. Raises ValueError, with the line, for what is none."""
    import yaml

    loader = _loader()(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        at = f", line {error.problem_mark.line + 2}" if error.problem_mark else ""
        raise ValueError(f"{error.problem or error.context or 'not understood'}{at}") from None
    except (yaml.YAMLError, TypeError) as error:  # TypeError: an unhashable key within a set
        raise ValueError(str(error)) from None
    finally:
        loader.dispose()


def _check_size(root: Any) -> None:
    import yaml

    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values, with its aliases followed")
        if isinstance(node, yaml.MappingNode):
            waiting += [each for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


@cache
def _loader() -> Any:
    """PyYAML's safe loader with the types of YAML 1.2: in 1.1 `no` is false, 012 is ten and 12:30 is 750."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own form

    def number(loader: Any, node: Any) -> Any:
        try:
            return convert(loader.construct_scalar(node), "number")
        except NotConvertible:
            return loader.construct_scalar(node)

    def date(loader: Any, node: Any) -> Any:
        try:
            return loader.construct_yaml_timestamp(node)
        except ValueError:  # a 13th month
            return loader.construct_scalar(node)

    tags = (
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("float", r"^-?[.0-9][0-9.eE+-]*$", "-.0123456789"),
        ("merge", r"^<<$", "<"),
    )
    stamp = yaml.SafeLoader.yaml_implicit_resolvers["2"]
    (dates,) = (pattern for tag, pattern in stamp if tag.endswith("timestamp"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:timestamp", dates, list("0123456789"))
    for tag, pattern, first in tags:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))
    Loader.add_constructor("tag:yaml.org,2002:float", number)
    Loader.add_constructor("tag:yaml.org,2002:str", lambda loader, node: loader.construct_scalar(node).rstrip("\n"))
    Loader.add_constructor("tag:yaml.org,2002:timestamp", date)
    return Loader
