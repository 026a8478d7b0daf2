"""Chat templates of pairs: jinja2 templates of messages with the roles system, query and document.

Rendered as transformers 5.23 renders them for sentence-transformers 6.2, within jinja2's sandbox, since a template is
others' code. What the sandbox has not (other extensions, the time of day) is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.files import read_json

if TYPE_CHECKING:
    from jinja2 import Template

# What sentence-transformers takes for a sign that a message's content is to be a list of parts.
_OF_PARTS = ("content[0]", ".type", "'type'", '"type"', "message.content[")
_SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
EXAMPLE = (
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }} '
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}'
)


@dataclass(frozen=True)
class ChatTemplate:
    """A template and where it is from, for messages. `of_parts`: a message's content is a list of parts.

    `tokens` are the special tokens that it may name, such as eos_token.
    """

    source: str
    place: str
    of_parts: bool = False
    tokens: Mapping[str, str] = field(default_factory=dict)

    def render(self, query: str, document: str, *, system: str) -> str:
        """The pair as the model reads it; without a system message where `system` is "".

        Raises ModelUnsupported for what the sandbox refuses, and for an error that the template raises.
        """
        from jinja2 import TemplateError

        said = {"system": system, "query": query, "document": document}
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if self.of_parts else text}
            for role, text in said.items()
            if text or role != "system"
        ]
        try:
            return self._template.render(messages=messages, add_generation_prompt=False, **self.tokens)
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise ModelUnsupported(
                f"{self.place} cannot be rendered for a query and a document: {type(error).__name__}: {error}",
                expected="a chat template of messages alone, with the roles query and document",
                hint=f"write a chat_template.jinja that renders both beside the weights, such as {EXAMPLE}",
            ) from error

    def carries_pairs(self) -> bool:
        """Whether query and document both reach what is rendered; also False where rendering fails."""
        probes = (("alpha", "bravo"), ("charlie", "bravo"), ("alpha", "foxtrot"))
        try:
            base, *varied = (self.render(*probe, system="") for probe in probes)
        except ModelUnsupported:
            return False
        return base not in varied

    @cached_property
    def _template(self) -> Template:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
        from jinja2.utils import Namespace

        class Names(Namespace):
            """Names that a template sets; none that Python itself looks for."""

            def __setitem__(self, name: str, value: Any) -> None:
                if str(name).startswith("_"):
                    raise ValueError(f"a template may not set {name!r}")
                super().__setitem__(name, value)

        def namespace(**values: Any) -> Names:
            made = Names()
            for name, value in values.items():
                made[name] = value
            return made

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **more: json.dumps(value, **{"ensure_ascii": False, **more})
        environment.globals["namespace"] = namespace
        return environment.from_string(self.source)


def read_chat_template(tokenizer: Path, *, message_format: str = "") -> ChatTemplate | None:
    """The template beside a tokenizer: chat_template.jinja, else that of tokenizer_config.json; None without one.

    `message_format` "flat" or "structured" is how sentence-transformers was told to write messages.
    """
    beside = read_json(tokenizer.parent / "tokenizer_config.json")
    file = tokenizer.parent / "chat_template.jinja"
    named = beside.get("chat_template")
    if isinstance(named, list):  # several, by name
        named = next((one.get("template") for one in named if one.get("name") == "default"), None)
    source = file.read_text(encoding="utf-8") if file.is_file() else named
    if not source:
        return None
    return ChatTemplate(
        str(source),
        str(file if file.is_file() else tokenizer.parent / "tokenizer_config.json"),
        of_parts=message_format == "structured" if message_format else any(sign in source for sign in _OF_PARTS),
        tokens=_special_tokens(beside),
    )


def _special_tokens(beside: Mapping[str, Any]) -> dict[str, str]:
    found = {name: beside.get(name) for name in _SPECIAL_TOKENS}
    texts = {name: token.get("content") if isinstance(token, dict) else token for name, token in found.items()}
    return {name: str(text) for name, text in texts.items() if text is not None}
