"""One model in full: what is known of it, with the sources, and how to use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.cli.models.table import ModelRow
    from gnomon.encode.cards import Card

_RUNTIMES = {
    "graph": "without torch, from its weights",
    "onnx": "without torch, from its ONNX file",
    "static": "without torch: a table of vectors",
    "provider": "at its provider",
    "": "no: gnomon has no recipe for its family; a server of it can be used by its address",
}


def print_page(console: Console, row: ModelRow) -> None:
    """All that is known of a model, and how to use it."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows

    print_rows(console, [(Text(label, style="dim"), clean(text)) for label, text in _facts(row) if text])
    console.print()
    print_hanging(console, Text("next  ", style="bold"), clean(_next(row.card)))


def card_json(row: ModelRow) -> dict[str, Any]:
    """A card with what holds for it on this machine, plain."""
    from gnomon.core.serialize import to_plain

    available = row.available
    return {
        **to_plain(row.card),
        "provider": row.card.provider,
        "runtime": available.runtime,
        "runs_here": available.runtime not in ("", "provider"),
        "here": str(available.folder) if available.folder else None,
        "key": available.key or None,
        "key_is_set": available.has_key,
        "speed": to_plain(row.speed) if row.speed else None,
    }


def _facts(row: ModelRow) -> list[tuple[str, str]]:
    card, available = row.card, row.available
    found = f"on this machine: {available.folder}" if available.folder else "fetched when first used"
    where = f"{_RUNTIMES[available.runtime]}; {found}" if available.runtime not in ("", "provider") else ""
    key = f"{available.key} is {'' if available.has_key else 'not '}set" if available.key else ""
    return [
        ("model", card.name),
        ("hub id", card.hub_id),
        ("kind", _kind(card)),
        ("vectors", _vectors(card)),
        ("reads", _reads(card)),
        ("prompts", _prompts(card)),
        ("languages", _languages(card)),
        ("licence", card.licence),
        ("price", _price(card)),
        ("published", "\n".join(f"{s.metric} {s.value:g} ({s.source}, {s.date})" for s in card.scores)),
        ("speed", _speed(row)),
        ("runs", where or f"{_RUNTIMES[available.runtime]}{f'; {key}' if key else ''}"),
        ("note", card.cost),
        (
            "its code",
            "its repository has Python files that transformers would run; gnomon runs none" * card.remote_code,
        ),
        ("digest", card.digest),
        ("source", f"{card.source}{f', {card.date}' if card.date else ''}"),
    ]


def _kind(card: Card) -> str:
    size = f", {card.parameters:g} million parameters" if card.parameters else ""
    family = f", of the family {card.family}" if card.family else ""
    return f"{card.kind}{size}{family}"


def _vectors(card: Card) -> str:
    if card.kind == "cross":
        return "none: it scores pairs of texts"
    others = ", ".join(map(str, card.dims_matryoshka))
    cuts = f", {'also given in' if card.provider else 'may be cut to'} {others}" if others else ""
    pooling = f", {card.pooling} pooling" if card.pooling else ""
    shared = f"; comparable with the other models of {card.space_shared_by}" if card.space_shared_by else ""
    return f"{card.dim} dimensions, {card.similarity}{pooling}{', normalised' if card.normalise else ''}{cuts}{shared}"


def _reads(card: Card) -> str:
    parts = [f"{n:,} {what}" for n, what in ((card.limits.texts, "texts"), (card.limits.tokens, "tokens")) if n]
    request = f"; at most {' and '.join(parts)} in a request" if parts else ""
    return f"{card.max_tokens:,} tokens{request}"


def _prompts(card: Card) -> str:
    given = [f"{role}: {json.dumps(prompt)}" for role, prompt in card.prompts.items() if prompt]
    missing = [f"{role}: must be given, see its source" for role in card.needs_prompts if not card.prompts.get(role)]
    return "\n".join(given + missing) or ("none" if card.one_vector else "")


def _languages(card: Card) -> str:
    if card.languages == ("mul",):
        return f"{card.language_count} or more" if card.language_count else "many"
    return ", ".join(card.languages)


def _price(card: Card) -> str:
    if card.price is None:
        return "not known" if card.provider else ""
    per = (
        f"{card.price.usd_per_million_tokens:.2f} USD a million tokens"
        if card.price.usd_per_million_tokens is not None
        else f"{card.price.usd_per_thousand_searches:.2f} USD a thousand searches"
    )
    return f"{per} ({card.price.source}, {card.price.date})"


def _speed(row: ModelRow) -> str:
    if row.speed is None:
        return ""
    speed = row.speed
    return (
        f"{speed.tokens_per_second:,.0f} tokens and {speed.texts_per_second:,.1f} texts a second, "
        f"{speed.query_ms:.1f} ms a query on {speed.cpu} ({speed.when})"
    )


def _next(card: Card) -> str:
    if card.kind == "cross":
        return f"gnomon migrate kb --set rerank.model={card.name if card.provider else card.hub_id}"
    return f"gnomon index docs/ --into kb --model {card.name}"
