"""What `gnomon plan --documents` prints: a collection at another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gnomon.cli.places import Place
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.text import Text

    from gnomon.migrate import ScalePlan


@dataclass(frozen=True)
class Size:
    """The options of `gnomon plan` that say how large: documents as people write it, the engine, hours and prices."""

    documents: str | None
    store: str | None
    hours: float
    core_price: float | None
    price: float | None

    @property
    def is_asked_for(self) -> bool:
        """Whether a size is to be planned. Raises InvalidInput for its options without one."""
        if self.documents is None and (self.store is not None or self.core_price is not None):
            raise InvalidInput(
                "--store or --core-price without --documents",
                expected="the number of documents to plan for",
                hint="for example: gnomon plan kb --documents 100M --store qdrant",
            )
        return self.documents is not None


def show_scale(places: Sequence[Place], size: Size, *, others: Sequence[Any], as_json: bool) -> None:
    """Measure the collection, and print what it would take. Raises InvalidInput for options that do not go together."""
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes, print_rows
    from gnomon.migrate import parse_count, plan_scale

    if any(other is not None for other in others):
        raise InvalidInput(
            "--documents with options of another model",
            expected="the collection as it is, at another size",
            hint="plan the change of the model by itself: gnomon plan kb --to MODEL",
        )
    if len(places) > 1:
        raise InvalidInput(f"{len(places)} places with --documents", expected="one collection")
    documents = parse_count(size.documents or "")
    with noted() as notes, gnomon.open(places[0], create=False, progress=print_message) as kb:
        found = plan_scale(
            kb, documents, store=size.store, hours=size.hours, core_price=size.core_price, price=size.price
        )
    if as_json:
        print_json({**found.to_json(), "warnings": notes})
        return
    print_notes(notes)
    console = data_console()
    print_rows(console, _rows(found))
    console.print()
    console.print(_engines(found))


def _rows(plan: ScalePlan) -> list[tuple[Text, Text]]:
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, counted, duration, size
    from gnomon.core.budget import dollars

    passages = f"{count(plan.chunks)} of {counted(plan.documents, 'document')}, {count(plan.tokens)} tokens"
    rows = [
        ("model", clean(f"{plan.model}, {plan.dim} dimensions")),
        ("passages", Text(f"{passages} (calculated: as many a document as now)")),
    ]
    if plan.sample:
        speed = (
            f"{count(round(plan.tokens_per_core_second))} tokens a second and core (measured on {plan.sample} texts)"
        )
        rows += [
            ("to embed", Text.assemble((f"{plan.core_hours:,.1f} core hours", "bold"), f": {speed}")),
            ("cores", Text(f"{count(plan.cores)} to be done in {plan.hours:g} hours")),
            ("here", Text(f"about {duration(plan.hours_here * 3600)} on this machine")),
        ]
    else:
        rows.append(("to embed", Text("by the model's server, at its rate limit")))
    if plan.cost is not None:
        rows.append(("cost", Text(dollars(plan.cost), style="bold")))
    rows += [
        ("catalog", Text(f"{size(plan.catalog_bytes)} on disk: texts, metadata, each vector once (as measured here)")),
        ("words", Text(f"{size(plan.words_bytes)} on disk: the keyword index (as measured here)")),
    ]
    return [(Text(label, style="dim"), body) for label, body in rows]


def _engines(plan: ScalePlan) -> Any:  # a rich Table
    from rich.table import Table

    from gnomon.cli.terminal import size

    table = Table("vectors in", "memory", "disk", "how", box=None, header_style="dim", pad_edge=False)
    for engine in plan.engines:
        memory = size(engine.memory) if engine.memory else "-"
        table.add_row(engine.engine, memory, size(engine.disk), f"{engine.how} ({engine.origin})")
    return table
