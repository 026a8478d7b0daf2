"""Whether weights are the ones that a card knows."""

from __future__ import annotations

from pathlib import Path

from gnomon.core.errors import WeightsMismatch
from gnomon.encode.cards import Card, all_cards
from gnomon.encode.digest import digest_file


def verify(folder: Path, card: Card | None) -> None:
    """Raise WeightsMismatch where the card knows a digest and model.safetensors has not got it."""
    if card is None or not card.digest:
        return
    weights = folder / "model.safetensors"
    found = digest_file(weights) if weights.is_file() else ""
    if not found.startswith(card.digest) or not found:
        raise WeightsMismatch(
            f"{weights} {f'has SHA-256 {found[:12]}…' if found else 'is missing'}",
            wanted=f"{card.digest[:12]}…, the known weights of {card.name}",
            next_step=f"delete {folder} and try again; to use these weights all the same, give their folder "
            "by its path",
        )


def card_of_folder(folder: Path) -> Card | None:
    """The card whose known weights lie in the folder, whatever the folder is called; else None."""
    weights = folder / "model.safetensors"
    known = [card for card in all_cards() if card.digest]
    if not known or not weights.is_file():
        return None
    found = digest_file(weights)
    return next((card for card in known if found.startswith(card.digest)), None)
