"""A cross-encoder's score without trained weights: the mean MaxSim of a pair's contextual tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnomon.core.errors import ModelUnsupported


class MaxSimScore(nn.Module):  # type: ignore[misc]
    """The mean, over a query's tokens, of the greatest cosine with a token of the document: -1 to 1.

    Late interaction's sum (Khattab and Zaharia 2020, equation 3, arXiv:2004.12832), as a mean, over tokens
    that attended to each other: MacAvaney et al. 2019, CEDR (arXiv:1904.07094). `frame` are the ids of the
    special tokens around texts, which match nothing; what stands before the first `separator` is the query. A
    pair with an empty side scores 0. There are no weights. `load`, `save` and `forward` are what
    sentence-transformers asks of a module, so that it loads a model that has one (with
    trust_remote_code=True, as for any module not its own).
    """

    def __init__(self, frame: Sequence[int], separator: int) -> None:
        super().__init__()
        self.separator = separator
        self.register_buffer("frame", torch.tensor(sorted(frame), dtype=torch.long), persistent=False)

    def score(self, ids: Tensor, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Ids [pairs, tokens] and their vectors [pairs, tokens, dim] to [pairs] scores in float32."""
        second = (ids == self.separator).cumsum(1) > 0
        words = ~torch.isin(ids, self.frame)
        if mask is not None:
            words = words & mask.bool()
        query, document = words & ~second, words & second
        with torch.autocast(hidden.device.type, enabled=False):
            rows = functional.normalize(hidden.float(), dim=2)
            # A query is much shorter than its document: what lies behind the last of its words asks nothing.
            present = query.any(0).nonzero()
            width = int(present[-1]) + 1 if len(present) else 1
            near = torch.bmm(rows[:, :width], rows.transpose(1, 2))
            near = near.masked_fill(~document[:, None, :], -2.0).amax(2)
            near = near.masked_fill(~(query[:, :width] & document.any(1, keepdim=True)), 0.0)
            return near.sum(1) / query.sum(1).clamp(min=1)

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """sentence-transformers' features: reads input_ids and token_embeddings, adds scores [pairs, 1]."""
        ids, hidden = features["input_ids"], features["token_embeddings"]
        features["scores"] = self.score(ids, hidden, features.get("attention_mask"))[:, None]
        return features

    def save(self, output_path: str, *_: Any, **__: Any) -> None:
        """Write config.json."""
        config = {"frame": self.frame.tolist(), "separator": self.separator}
        (Path(output_path) / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> MaxSimScore:
        """Load from a local folder. Raises ModelUnsupported if files are missing or invalid."""
        folder = Path(model_name_or_path) / subfolder
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls([int(one) for one in config["frame"]], int(config["separator"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnsupported(
                f"{folder} holds no score of matched tokens: {error}",
                expected="config.json with frame and separator",
                hint="save the model again",
            ) from error
