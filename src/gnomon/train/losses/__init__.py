"""Losses over the score matrix [queries, documents], whatever made the scores."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.renamed import renamed
from gnomon.train.contracts import Loss
from gnomon.train.losses.distillation import EmbeddingRegression, ListwiseKL, MarginMSE
from gnomon.train.losses.infonce import InfoNCE
from gnomon.train.losses.pairwise import Contrastive, CoSENT, CosineRegression, TripletMargin
from gnomon.train.losses.regularisation import Flops
from gnomon.train.losses.wrappers import LayerWise, MaskFalseNegatives, Matryoshka

__all__ = [
    "LOSSES",
    "WRAPPERS",
    "CoSENT",
    "Contrastive",
    "CosineRegression",
    "EmbeddingRegression",
    "Flops",
    "InfoNCE",
    "LayerWise",
    "ListwiseKL",
    "MarginMSE",
    "MaskFalseNegatives",
    "Matryoshka",
    "TripletMargin",
    "make_loss",
    "wrap_loss",
]

LOSSES: Mapping[str, Any] = MappingProxyType(
    {
        "infonce": InfoNCE,
        "triplet": TripletMargin,
        "contrastive": Contrastive,
        "cosent": CoSENT,
        "margin_mse": MarginMSE,
        "listwise_kl": ListwiseKL,
        "cosine": CosineRegression,
        "embedding_regression": EmbeddingRegression,
    }
)
WRAPPERS: Mapping[str, Any] = MappingProxyType(
    {"matryoshka": Matryoshka, "layer_wise": LayerWise, "mask_false_negatives": MaskFalseNegatives, "flops": Flops}
)


def make_loss(name: str, **settings: Any) -> Loss:
    """The loss of this name with these settings. Raises InvalidInput, naming the nearest known one."""
    return _made(LOSSES, "loss", name, settings=settings)


def wrap_loss(name: str, inner: Loss, **settings: Any) -> Loss:
    """The loss inside the wrapper of this name. Raises InvalidInput, naming the nearest known one."""
    return _made(WRAPPERS, "wrapper of losses", name, settings={"loss": inner, **settings})


def _made(table: Mapping[str, Any], what: str, name: str, *, settings: dict[str, Any]) -> Loss:
    if name not in table:
        raise _unknown(f"the {what} {name!r}", name, sorted(table))
    known = [key for key in inspect.signature(table[name]).parameters if key not in ("args", "kwargs")]
    for key in settings:
        if key not in known:
            offered = [option for option in known if option != "loss"]
            raise _unknown(f"the setting {key!r} of the {what} {name!r}", key, offered)
    try:
        made: Loss = table[name](**settings)
    except TypeError as error:
        raise InvalidInput(
            f"the {what} {name!r} with {sorted(settings) or 'no settings'}: {error}",
            expected=f"its settings: {', '.join(known)}",
        ) from error
    return made


def _unknown(message: str, name: str, known: list[str]) -> InvalidInput:
    near = difflib.get_close_matches(name, known, 1, 0.4)
    return InvalidInput(
        f"{message}, which does not exist",
        expected=f"one of {', '.join(known)}" if known else "no settings: it has none",
        hint=f"did you mean {near[0]!r}?" if near else "see the list",
    )


def _no_name(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__getattr__ = renamed(__name__, _no_name, {"OBJECTIVES": "LOSSES", "objective": "make_loss", "wrapped": "wrap_loss"})
