"""A cross-encoder that reads a pair together and matches its tokens: it ranks before any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.modules import read_parts
from gnomon.train.backbone import Backbone, BackboneSettings, open_backbone
from gnomon.train.contracts import Features, Kind
from gnomon.train.maxsim_score import MaxSimScore
from gnomon.train.padding import padded
from gnomon.train.saving import Parts, whole_folder, write_cross_settings, write_modules


class MatchingCrossEncoder(nn.Module):  # type: ignore[misc]
    """Keeps `PairScorer`: the score is that of MaxSimScore, whose docstring has the papers.

    Tokens of both sides are of type 0: the networks it starts from have learned little of another. Raises
    ModelUnsupported for a tokenizer that puts nothing between the texts of a pair.
    """

    kind: Kind = "cross"

    def __init__(self, backbone: Backbone, head: MaxSimScore | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head or _head(backbone)

    def pairs(self, queries: Sequence[str], documents: Sequence[str], *, source: str = "") -> Features:
        """Pair i is query i with document i; the longer side of a pair that is too long is cut.

        A cross-encoder has no prompts, so `source` says nothing to it.
        """
        return Features(self.backbone.tokenizer.encode_pairs(queries, documents)[0], "query")

    def judge(self, features: Features) -> Tensor:
        """[pairs] scores in float32, -1 to 1."""
        ids, mask = padded(features.ids, self.backbone.pad_id, self.backbone.device)
        return self.head.score(ids, self.backbone.run(ids, mask)[0], mask)

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers' CrossEncoder loads, with trust_remote_code=True."""
        self.backbone.network.config.num_labels = 1
        with whole_folder(folder) as made:
            parts = Parts(made)
            parts.add_backbone(self.backbone)
            self.backbone.tokenizer.save(made, model_input_names=["input_ids", "attention_mask"])
            self.head.save(str(parts.place("MaxSimScore")))
            write_modules(made, parts)
            write_cross_settings(made)


def open_matching(
    folder: Path, *, settings: BackboneSettings | None = None, max_tokens: int | None = None
) -> MatchingCrossEncoder:
    """From any folder with a network; a head that is there already is kept."""
    backbone = open_backbone(folder, settings=settings, max_tokens=max_tokens)
    return MatchingCrossEncoder(backbone, MaxSimScore.load(str(at)) if (at := _matched(folder)) else None)


def matches(folder: Path) -> bool:
    """Whether a cross-encoder's folder has this score."""
    return _matched(folder) is not None


def _matched(folder: Path) -> Path | None:
    return next((part.at for part in read_parts(folder) or () if part.kind == "MaxSimScore"), None)


def _head(backbone: Backbone) -> MaxSimScore:
    """The special tokens around texts, by the tokenizer: of a pair with empty sides there is nothing else."""
    frame = backbone.tokenizer.encode_pairs([""], [""])[0][0].tolist()
    after = backbone.tokenizer.frame()[1]
    if not after:
        raise ModelUnsupported(
            "a tokenizer that puts nothing between the texts of a pair",
            wanted="a special token after each text, as BERT's tokenizers add",
            next_step='say head = "classifier", or start from another model',
        )
    return MaxSimScore(sorted({*frame, backbone.pad_id}), after[0])
