"""The prompt that precedes the texts of each role: the caller's, the folder's or the card's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon.core.errors import InvalidInput, MissingPrompt
from gnomon.encode.cards import Card

# The names that folders use for the two roles, in the order in which sentence-transformers looks for them.
_KEYS: Mapping[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def resolve_prompts(
    name: str, settings: Mapping[str, Any], *, card: Card | None, overrides: Mapping[str, str] | None
) -> dict[str, str]:
    """The prompt of each role, "" for none: of `overrides`, else of the folder, else of the card.

    `settings` is config_sentence_transformers.json. An empty prompt there means nothing, since
    sentence-transformers fills in "" for what is not set; an empty prompt in `overrides` means none. A default
    prompt of the folder goes to the roles that have none of their own.
    Raises InvalidInput for a role that does not exist, MissingPrompt where the model was trained with a
    prompt that is not known.
    """
    for role, prompt in (overrides or {}).items():
        if role not in _KEYS or not isinstance(prompt, str):
            raise InvalidInput(
                f"prompts for {name} with {role!r}: {prompt!r}",
                expected='a text for each of "query" and "document"',
                hint='for example prompts={"query": "query: ", "document": "passage: "}',
            )
    own_prompts = {key: text for key, text in (settings.get("prompts") or {}).items() if isinstance(text, str)}
    default = own_prompts.get(str(settings.get("default_prompt_name")), "")
    prompts = {}
    for role, keys in _KEYS.items():
        own = next((own_prompts[key] for key in keys if own_prompts.get(key)), "")
        if overrides is not None and role in overrides:
            prompts[role] = overrides[role]
        else:
            prompts[role] = own or default or (card.prompts.get(role, "") if card else "")
    _require_known_names(name, prompts, named=own_prompts, overrides=overrides or {})
    _require_card_prompts(name, prompts, card=card, overrides=overrides or {})
    return prompts


def _require_card_prompts(
    name: str, prompts: Mapping[str, str], *, card: Card | None, overrides: Mapping[str, str]
) -> None:
    missing = [role for role in (card.needs_prompts if card else ()) if not prompts[role] and role not in overrides]
    if missing:
        raise MissingPrompt(
            f"{name} was trained with a prompt for each {' and '.join(missing)}, and none is known",
            expected=f"prompts with {' and '.join(repr(role) for role in missing)}",
            hint=f"see the model's own page for the wording, then prompts={{{missing[0]!r}: '…'}}"
            ' ("" if there must be none)',
        )


def _require_known_names(
    name: str, prompts: Mapping[str, str], *, named: Mapping[str, str], overrides: Mapping[str, str]
) -> None:
    # A folder with named prompts of which none is for a role (such as "retrieval" or "STS") was trained with
    # prompts: to leave them all out would cost quality without notice.
    names = sorted(key for key, text in named.items() if text)
    if names and not overrides and not any(prompts.values()):
        raise MissingPrompt(
            f"{name} has prompts named {', '.join(names)}, none of them for queries or documents",
            expected="a prompt for each role",
            hint='choose: prompts={"query": "…", "document": "…"} ("" for none); a recipe\'s '
            "[model].prompts keeps them in the folder",
        )
