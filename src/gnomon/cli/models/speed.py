"""`gnomon models --measure`: how fast models encode on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import GnomonError, InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.encode.speed import Speed


def measure_models(names: Sequence[str], *, as_json: bool) -> int:
    """Measure the named models, or every one with a card that is on this machine, and remember the figures.

    A model that cannot be measured is told and does not stop the others. Returns the exit code: 1 where none could be
    measured. Raises InvalidInput where no model is on this machine and none is named.
    """
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.core.serialize import to_plain

    wanted = list(names) or present()
    if not wanted:
        raise InvalidInput(
            "--measure, and no model with a card is on this machine",
            expected="a model to measure",
            hint="name one, which is then fetched: gnomon models --measure all-MiniLM-L6-v2",
        )
    measured: list[Speed] = []
    failed: list[dict[str, str]] = []
    with noted() as notes, ProgressBar() as bar:
        for name in wanted:
            try:
                measured.append(_measured(name, bar.update))
            except GnomonError as error:
                failed.append({"model": name, "error": error.message, "hint": error.hint})
    if as_json:
        print_json({"measured": [to_plain(speed) for speed in measured], "failed": failed, "warnings": notes})
    else:
        print_notes(notes)
        print_speeds(data_console(), measured, failed)
    return 0 if measured else 1


def present() -> list[str]:
    """The names of the models that are on this machine and run here."""
    from gnomon.encode.availability import availability
    from gnomon.encode.cards import all_cards

    return [card.name for card in all_cards() if card.one_vector and availability(card).label == "yes"]


def print_speeds(console: Console, measured: Sequence[Speed], failed: Sequence[dict[str, str]]) -> None:
    """A line a model, and the processor."""
    from rich.text import Text

    from gnomon.cli.evaluation import print_table
    from gnomon.cli.terminal import clean, print_hanging, print_rows

    if measured:
        rows = [
            [
                clean(speed.model, style="bold"),
                Text(f"{speed.tokens_per_second:,.0f}"),
                Text(f"{speed.texts_per_second:,.1f}"),
                Text(f"{speed.query_ms:.1f}"),
            ]
            for speed in measured
        ]
        print_table(console, ["model", "tokens/s", "texts/s", "ms/query"], rows)
        console.print()
        print_rows(console, [(Text("on", style="dim"), clean(measured[0].cpu))])
        print_rows(console, [(Text("next", style="bold"), Text("gnomon models --sort speed"))])
    for row in failed:
        print_hanging(console, clean(f"{row['model']}   ", style="red"), clean(f"{row['error']}\n{row['hint']}"))


def _measured(name: str, progress: Any) -> Speed:
    from gnomon.core.progress import Progress
    from gnomon.core.usage import MeteredEncoder
    from gnomon.encode import load_encoder
    from gnomon.encode.cards import card_for
    from gnomon.encode.speed import measure, remember

    progress(Progress("loading", message=f"measuring {name}"))
    encoder = load_encoder(name, progress=progress)
    if isinstance(encoder, MeteredEncoder):
        raise InvalidInput(
            f"{name} runs at its provider: its speed is that of the network and of the account's limits",
            expected="a model that runs here",
            hint=f"gnomon models --try {name} all-MiniLM-L6-v2 --data DIR times its searches",
        )
    card = card_for(name)
    speed = measure(encoder, card.name if card else name, progress=progress)
    remember(speed)
    return speed
