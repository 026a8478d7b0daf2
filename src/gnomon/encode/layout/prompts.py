"""Which prompt goes before the texts of each role, and who said so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon.core.errors import InvalidInput, MissingPrompt
from gnomon.encode.hub.cards import Card

# The names that folders use for the two roles, in the order in which sentence-transformers looks for them.
_KEYS: Mapping[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def resolve_prompts(
    name: str, folder: Mapping[str, Any], *, card: Card | None, given: Mapping[str, str] | None
) -> dict[str, str]:
    """The prompt of each role, "" for none: the caller's, else the folder's, else the card's.

    `folder` is config_sentence_transformers.json. An empty prompt there says nothing, since
    sentence-transformers fills in "" for what nobody set; an empty prompt from the caller means none. A
    default prompt of the folder goes to the roles that have none of their own.
    Raises InvalidInput for a role that does not exist, MissingPrompt where the model was trained with a
    prompt that nobody gives.
    """
    for role, prompt in (given or {}).items():
        if role not in _KEYS or not isinstance(prompt, str):
            raise InvalidInput(
                f"prompts for {name} with {role!r}: {prompt!r}",
                expected='a text for each of "query" and "document"',
                hint='for example prompts={"query": "query: ", "document": "passage: "}',
            )
    said = {key: text for key, text in (folder.get("prompts") or {}).items() if isinstance(text, str)}
    default = said.get(str(folder.get("default_prompt_name")), "")
    prompts = {}
    for role, keys in _KEYS.items():
        own = next((said[key] for key in keys if said.get(key)), "")
        if given is not None and role in given:
            prompts[role] = given[role]
        else:
            prompts[role] = own or default or (card.prompts.get(role, "") if card else "")
    _demand_named(name, prompts, said=said, given=given or {})
    _demand_card(name, prompts, card=card, given=given or {})
    return prompts


def _demand_card(name: str, prompts: Mapping[str, str], *, card: Card | None, given: Mapping[str, str]) -> None:
    missing = [role for role in (card.needs_prompts if card else ()) if not prompts[role] and role not in given]
    if missing:
        raise MissingPrompt(
            f"{name} was trained with a prompt for each {' and '.join(missing)}, and none is known",
            expected=f"prompts with {' and '.join(repr(role) for role in missing)}",
            hint=f"see the model's own page for the wording, then prompts={{{missing[0]!r}: '…'}}"
            ' ("" if there must be none)',
        )


def _demand_named(name: str, prompts: Mapping[str, str], *, said: Mapping[str, str], given: Mapping[str, str]) -> None:
    # A folder with named prompts of which none is for a role (such as "retrieval" or "STS") was trained with
    # prompts: to leave them all out would cost quality in silence.
    named = sorted(key for key, text in said.items() if text)
    if named and not given and not any(prompts.values()):
        raise MissingPrompt(
            f"{name} has prompts named {', '.join(named)}, none of them for queries or documents",
            expected="a prompt for each role",
            hint='say which: prompts={"query": "…", "document": "…"} ("" for none); a recipe\'s '
            "[model].prompts keeps them in the folder",
        )
