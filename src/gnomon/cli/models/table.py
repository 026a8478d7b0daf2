"""The table of models: which are shown, in which order, in which columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.encode.availability import Availability
    from gnomon.encode.cards import Card
    from gnomon.encode.speed import Speed

Sort = Literal["score", "price", "size", "speed", "tokens", "name"]
ModelKind = Literal["embedding", "provider", "late", "sparse", "reranker"]
SHOWN_METRIC = "MTEB(eng, v1) retrieval"
GROUPS: Mapping[ModelKind, str] = {
    "embedding": "embedding models",
    "provider": "embedding models at a provider",
    "late": "late interaction: a vector a token",
    "sparse": "sparse: weights of words",
    "reranker": "rerankers",
}
NAME_WIDTH = 40


@dataclass(frozen=True)
class ModelRow:
    """A card with what holds for it on this machine."""

    card: Card
    available: Availability
    speed: Speed | None

    @property
    def group(self) -> ModelKind:
        """The part of the table that it is in."""
        kind = self.card.kind
        groups: Mapping[str, ModelKind] = {
            "cross": "reranker",
            "late": "late",
            "sparse": "sparse",
            "provider": "provider",
        }
        return groups.get(kind, "embedding")

    def score(self, metric: str = SHOWN_METRIC) -> float | None:
        """The published score of a metric."""
        return next((score.value for score in self.card.scores if score.metric == metric), None)


@dataclass(frozen=True)
class ModelFilter:
    """Which models are shown; None and False let all pass. `max_parameters` is in millions."""

    language: str | None = None
    max_parameters: float | None = None
    licence: str | None = None
    kind: ModelKind | None = None
    runs_here: bool = False

    def passes(self, row: ModelRow) -> bool:
        """Whether a model is shown."""
        card = row.card
        licence = self.licence and self.licence.casefold() not in card.licence.casefold()
        language = self.language and not {self.language.casefold(), "mul"} & set(card.languages)
        too_large = self.max_parameters is not None and not 0 < card.parameters <= self.max_parameters
        elsewhere = self.runs_here and row.available.runtime in ("provider", "")
        return not (licence or language or too_large or elsewhere) and self.kind in (None, row.group)


_ORDERS: Mapping[Sort, Callable[[ModelRow], Any]] = {
    "score": lambda row: -(row.score() or 0.0),
    "price": lambda row: _price(row.card) if _price(row.card) is not None else float("inf"),
    "size": lambda row: row.card.parameters or float("inf"),
    "speed": lambda row: -(row.speed.tokens_per_second if row.speed else 0.0),
    "tokens": lambda row: -row.card.max_tokens,
    "name": lambda row: row.card.name.casefold(),
}


def rows_of(cards: Sequence[Card], wanted: ModelFilter, sort: Sort | None) -> list[ModelRow]:
    """The models that pass, in the order of the cards or as sorted. Raises InvalidInput where none passes."""
    from gnomon.encode.availability import availability
    from gnomon.encode.speed import speed_of

    rows = [ModelRow(card, availability(card), speed_of(card.name)) for card in cards]
    found = [row for row in rows if wanted.passes(row)]
    if not found:
        raise InvalidInput(
            f"none of the {len(rows)} models is of that kind",
            expected="conditions that some model meets",
            hint="leave one of them out; `gnomon models` lists all",
        )
    return sorted(found, key=_ORDERS[sort]) if sort else found


def print_table(console: Console, rows: Sequence[ModelRow], *, every_column: bool) -> None:
    """A part a kind, a line a model; names longer than their column are folded."""
    from rich.table import Table
    from rich.text import Text

    columns = _columns(rows, every_column=every_column)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("model", overflow="fold", max_width=None if every_column else NAME_WIDTH)
    for heading in columns:
        left = heading in ("licence", "here", "family", "cut to")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for group, title in GROUPS.items():
        members = [row for row in rows if row.group == group]
        if members:
            table.add_row(Text(title, style="dim italic"))
        for row in members:
            cells = [cell(row) for cell in columns.values()]
            table.add_row(Text(row.card.name, style="bold"), *cells)
    console.print(table, soft_wrap=every_column)
    _print_legend(console, rows, columns)


def _columns(rows: Sequence[ModelRow], *, every_column: bool) -> dict[str, Callable[[ModelRow], Text | str]]:
    columns: dict[str, Callable[[ModelRow], Text | str]] = {
        "dim": lambda row: str(row.card.dim) if row.card.dim else "",
        "tokens": lambda row: _thousands(row.card.max_tokens),
        "lang": lambda row: _languages(row.card),
        "size": lambda row: _size(row.card),
        "score": lambda row: "" if (score := row.score()) is None else f"{score:.1f}",
        "tok/s": lambda row: f"{row.speed.tokens_per_second:,.0f}" if row.speed else "",
        "licence": lambda row: row.card.licence if every_column else _short(row.card.licence),
        "here": _here,
    }
    if every_column:
        columns["ms/query"] = lambda row: f"{row.speed.query_ms:.1f}" if row.speed else ""
        columns["family"] = lambda row: row.card.family
        columns["cut to"] = lambda row: " ".join(map(str, row.card.dims_matryoshka))
    if not any(row.speed for row in rows):
        del columns["tok/s"]
    return columns


def _print_legend(console: Console, rows: Sequence[ModelRow], columns: Mapping[str, object]) -> None:
    lines = {
        "size": "parameters: they decide how long a text takes; at a provider USD a million tokens",
        "score": f"{SHOWN_METRIC}, nDCG@10, as published; your own queries: gnomon models --try",
        "tok/s": "tokens a second on this machine, by gnomon models --measure",
        "here": "yes: on this machine; fetch: when first used; key: it is set; no: gnomon does not run it",
    }
    console.print()
    for heading, text in lines.items():
        if heading in columns:
            console.print(f"{heading:>6}  {text}", style="dim", soft_wrap=True)


def _here(row: ModelRow) -> Text:
    from rich.text import Text

    styles = {"yes": "green", "key": "green", "no": "red"}
    return Text(row.available.label, style=styles.get(row.available.label, "dim"))


def _price(card: Card) -> float | None:
    return card.price.usd_per_million_tokens if card.price else None


def _languages(card: Card) -> str:
    if card.languages == ("mul",):
        return f"{card.language_count}+" if card.language_count else "many"
    return " ".join(card.languages)


def _size(card: Card) -> str:
    if (price := _price(card)) is not None:
        return f"${price:.2f}"
    if not card.parameters:
        return ""
    return f"{card.parameters / 1000:.1f} B" if card.parameters >= 1000 else f"{card.parameters:.0f} M"


def _thousands(tokens: int) -> str:
    """512, 8k, 128k, any."""
    if tokens >= 1_000_000:
        return "any"
    return str(tokens) if tokens < 1000 else f"{round(tokens / 1000 if tokens % 1000 == 0 else tokens / 1024)}k"


def _short(licence: str) -> str:
    """CC-BY-NC-SA-4.0 as CC-BY-NC: what it allows, without the version."""
    return licence if len(licence) <= 11 else licence[:8].rstrip("-")
