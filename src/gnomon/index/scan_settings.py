"""Settings of an index of vectors: how candidates are found, and how many are rescored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gnomon.core.errors import InvalidInput

Find = Literal["exact", "scan", "hnsw", "ivf"]
Chosen = Literal["auto", "exact", "hnsw", "ivf"]
"""What a user chooses by name; auto is the scan."""


@dataclass(frozen=True, slots=True)
class ScanSettings:
    """When codes are made, of which kind, and how much is rescored.

    Up to `exact_below` rows are scanned exactly. A search rescores `rescored` candidates and `per_result`
    more for each result asked for, up to 8 times as many where it takes that to find `wanted_recall` of the
    ten nearest of `sample` queries. Codes that even so find less than `min_recall` are not used. Filters that
    allow up to `filtered_exactly` ids skip the codes (None: where that costs less). `rows` is how rows are
    kept: float16 halves disk and memory, and rounds each number to 11 bits. `find` is how candidates are
    found: by a scan of short codes, along a graph (hnsw), among the codes of the nearest lists (ivf), or not
    at all (exact: every row is compared at any size).
    """

    exact_below: int = 20_000
    rescored: int = 300
    per_result: int = 4
    filtered_exactly: int | None = None
    wanted_recall: float = 0.998
    min_recall: float = 0.99
    sample: int = 64
    rows: Literal["float32", "float16"] = "float32"
    find: Find = "scan"

    def __post_init__(self) -> None:
        if self.rows not in ("float32", "float16"):
            raise InvalidInput(f"rows {self.rows!r}", expected="float32 or float16")
        if self.find not in get_args(Find):
            raise InvalidInput(f"find {self.find!r}", expected=f"one of {', '.join(get_args(Find))}")
        if not 0 <= self.min_recall <= self.wanted_recall <= 1:
            raise InvalidInput(
                f"min_recall {self.min_recall} and wanted_recall {self.wanted_recall}",
                expected="0 <= min_recall <= wanted_recall <= 1",
            )
        if min(self.rescored, self.per_result, self.sample) < 1 or self.exact_below < 0:
            raise InvalidInput("a scan setting below its least", expected="rescored, per_result, sample >= 1")


def require_chosen(name: str) -> None:
    """Raise InvalidInput, which names the choices, for anything else than one of them."""
    if name not in get_args(Chosen):
        raise InvalidInput(
            f"index {name!r}",
            expected=f"one of {', '.join(get_args(Chosen))}",
            hint="take auto where you have measured nothing: it finds what exact finds",
        )


def chosen_settings(name: str) -> ScanSettings:
    """The settings for an index chosen by name. Raises InvalidInput for a name that is none.

    hnsw and ivf aim at 0.99 of the ten nearest rather than 0.998, as their gain is in what they leave out.
    """
    require_chosen(name)
    if name == "exact":
        return ScanSettings(find="exact")
    if name == "hnsw":
        return ScanSettings(find="hnsw", rescored=200, wanted_recall=0.99)
    if name == "ivf":
        return ScanSettings(find="ivf", wanted_recall=0.99)
    return ScanSettings()
