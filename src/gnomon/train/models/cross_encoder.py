"""Cross-encoders: query and document are read together and get one score."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.modules import list_modules
from gnomon.train.contracts import Features, Kind
from gnomon.train.maxsim_score import MaxSimScore
from gnomon.train.models.backbone import (
    BackboneSettings,
    NewBackbone,
    TrainableBackbone,
    base_folder,
    new_network,
    open_backbone,
    open_network,
    pad_ids,
    quiet_transformers,
    text_limit,
)
from gnomon.train.models.save import (
    IDENTITY,
    ModuleWriter,
    replacing_model,
    transformer_config,
    write_cross_settings,
    write_json,
    write_modules,
)
from gnomon.train.models.tokenizer import ModelTokenizer, open_tokenizer


class TrainableMaxSimCrossEncoder(nn.Module):  # type: ignore[misc]
    """A `PairScorer`: the score is that of MaxSimScore, whose docstring has the papers.

    Tokens of both sides are of type 0: the networks it starts from have learned little of another. Raises
    ModelUnsupported for a tokenizer that puts nothing between the texts of a pair.
    """

    kind: Kind = "cross"

    def __init__(self, backbone: TrainableBackbone, head: MaxSimScore | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head or _head(backbone)

    def pairs(self, queries: Sequence[str], documents: Sequence[str], *, source: str = "") -> Features:
        """Pair i is query i with document i; the longer side of a pair that is too long is cut.

        A cross-encoder has no prompts, so `source` says nothing to it.
        """
        return Features(self.backbone.tokenizer.encode_pairs(queries, documents)[0], "query")

    def judge(self, features: Features) -> Tensor:
        """[pairs] scores in float32, -1 to 1."""
        ids, mask = pad_ids(features.ids, self.backbone.pad_id, self.backbone.device)
        return self.head.score(ids, self.backbone.run(ids, mask)[0], mask)

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers' CrossEncoder loads, with trust_remote_code=True."""
        self.backbone.network.config.num_labels = 1
        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            modules.add_backbone(self.backbone.save)
            self.backbone.tokenizer.save(made, model_input_names=["input_ids", "attention_mask"])
            self.head.save(str(modules.add("MaxSimScore")))
            write_modules(made, modules)
            write_cross_settings(made)


def open_maxsim_cross(
    folder: Path, *, settings: BackboneSettings | None = None, max_tokens: int | None = None
) -> TrainableMaxSimCrossEncoder:
    """From any folder with a network; a head that is there already is kept."""
    backbone = open_backbone(folder, settings=settings, max_tokens=max_tokens)
    return TrainableMaxSimCrossEncoder(backbone, MaxSimScore.load(str(at)) if (at := _matched(folder)) else None)


def has_maxsim_score(folder: Path) -> bool:
    """Whether a cross-encoder's folder has this score."""
    return _matched(folder) is not None


def _matched(folder: Path) -> Path | None:
    return next((entry.folder for entry in list_modules(folder) or () if entry.kind == "MaxSimScore"), None)


def _head(backbone: TrainableBackbone) -> MaxSimScore:
    """A MaxSimScore for the tokenizer's special tokens: all tokens of a pair with empty sides."""
    frame = backbone.tokenizer.encode_pairs([""], [""])[0][0].tolist()
    after = backbone.tokenizer.frame()[1]
    if not after:
        raise ModelUnsupported(
            "a tokenizer that puts nothing between the texts of a pair",
            expected="a special token after each text, as BERT's tokenizers add",
            hint='say head = "classifier", or start from another model',
        )
    return MaxSimScore(sorted({*frame, backbone.pad_id}), after[0])


_HEAD = "AutoModelForSequenceClassification"


class TrainableCrossEncoder(nn.Module):  # type: ignore[misc]
    """A `PairScorer`. Nogueira and Cho 2019, Passage re-ranking with BERT (arXiv:1901.04085).

    `activation` is the torch module that sentence-transformers applies to the score; `judge` does not.
    """

    kind: Kind = "cross"

    def __init__(self, network: Any, tokenizer: ModelTokenizer, *, activation: str = IDENTITY) -> None:
        super().__init__()
        self.network, self.tokenizer, self.activation = network, tokenizer, activation
        config = network.config
        self._pad_id = tokenizer.special_id("pad_token") or int(getattr(config, "pad_token_id", 0) or 0)
        self._typed = _reads_types(network, tokenizer)

    def pairs(self, queries: Sequence[str], documents: Sequence[str], *, source: str = "") -> Features:
        """Pair i is query i with document i; the longer side of a pair that is too long is cut.

        A cross-encoder has no prompts, so `source` says nothing to it.
        """
        ids, kinds = self.tokenizer.encode_pairs(queries, documents)
        return Features(ids, "query", kinds=kinds if self._typed else None)

    def judge(self, features: Features) -> Tensor:
        """[pairs] scores in float32, before any activation."""
        device = next(self.network.parameters()).device
        ids, mask = pad_ids(features.ids, self._pad_id, device)
        types = {}
        if self._typed and features.kinds is not None:
            types["token_type_ids"] = pad_ids(features.kinds, 0, device)[0]
        logits: Tensor = self.network(input_ids=ids, attention_mask=mask, return_dict=True, **types).logits
        return logits[:, 0].float()

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers' CrossEncoder loads."""
        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            modules.add("Transformer")
            with quiet_transformers():
                self.network.save_pretrained(made)
            names = ["input_ids", *(["token_type_ids"] if self._typed else []), "attention_mask"]
            self.tokenizer.save(made, model_input_names=names)
            config = {
                **transformer_config(),
                "transformer_task": "sequence-classification",
                "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
                "module_output_name": "scores",
            }
            write_json(made / "sentence_bert_config.json", config)
            write_modules(made, modules)
            write_cross_settings(made, self.activation)


def _reads_types(network: Any, tokenizer: ModelTokenizer) -> bool:
    """Whether the sides of a pair have token types: the network has two, and the tokenizer gives them."""
    named = tokenizer.config.get("model_input_names") or ["token_type_ids"]
    reads = "token_type_ids" in inspect.signature(network.forward).parameters
    return reads and "token_type_ids" in named and int(getattr(network.config, "type_vocab_size", 0) or 0) > 1


def open_cross(
    folder: Path,
    *,
    settings: BackboneSettings | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> TrainableCrossEncoder:
    """A cross-encoder from a folder; where its weights have no head for one score, a new one from the seed.

    Raises ModelUnsupported for a head of several scores.
    """
    base = base_folder(folder)
    tokenizer = open_tokenizer(base, max_tokens=text_limit(base, max_tokens))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = open_network(base, settings or BackboneSettings(), _HEAD, num_labels=1)
        except RuntimeError as error:
            raise ModelUnsupported(
                f"{base} has a head that does not give one score: {str(error).splitlines()[0]}",
                expected="a backbone, or a cross-encoder with one score",
                hint="choose another model to start from",
            ) from error
    config = read_json(folder / "config_sentence_transformers.json")
    activation = config.get("activation_fn") if config.get("model_type") == "CrossEncoder" else None
    return TrainableCrossEncoder(network, tokenizer, activation=str(activation or IDENTITY))


def new_cross(
    new: NewBackbone, tokenizer: ModelTokenizer, *, settings: BackboneSettings | None = None
) -> TrainableCrossEncoder:
    """A cross-encoder of random weights."""
    network, tokenizer = new_network(new, tokenizer, settings or BackboneSettings(), head=_HEAD, num_labels=1)
    return TrainableCrossEncoder(network, tokenizer)
