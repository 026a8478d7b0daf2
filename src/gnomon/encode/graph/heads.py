"""Classification heads: what follows the first token's hidden state, by family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Head:
    """Two linear layers with a non-linearity between them. Only BERT's first one lies inside its encoder."""

    inner: str
    outer: str
    activation: Literal["tanh", "relu"]
    within: bool = False


_ROBERTA = Head("classifier.dense", "classifier.out_proj", "tanh")
HEADS: Mapping[str, Head] = {
    "bert": Head("pooler.dense", "classifier", "tanh", within=True),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": _ROBERTA,
    "distilbert": Head("pre_classifier", "classifier", "relu"),
}
